"""The section on a training step: sentences, tables by phase, category and module, and the memory over the step as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from msgspec import UNSET

from archaudit.index import index_modules
from archaudit.metrics.quantities import format_pair, format_short
from archaudit.render.formatting import ARROW, NOTHING, count, make_visible, name_path
from archaudit.render.view.figures import make_trend
from archaudit.render.view.training_records import Area, MemoryCurve, TrainingTable, TrainingView
from archaudit.schema import (
    MEMORY_CATEGORIES,
    TRAINING_PHASES,
    MemoryPoint,
    Profile,
    Report,
    Training,
    TrainingCost,
    TrainingPhase,
)

_PHASES: dict[TrainingPhase, str] = {
    "forward": "the forward pass",
    "backward": "the backward pass",
    "recompute": "a recomputation in the backward pass",
    "optimizer": "the optimizer's step",
}
# Rows of a table of modules: more do not help to find the largest.
_MOST_ROWS = 10
_COSTS = {
    "forward_flops": "forward",
    "backward_flops": "backward",
    "recompute_flops": "recompute",
    "optimizer_flops": "optimizer",
    "gradient_bytes": "gradients",
    "optimizer_bytes": "states",
    "saved_bytes": "saved",
}


def view_profile_training(profile: Profile) -> TrainingView | None:
    """The section on one model; None without a training step."""
    if profile.training is UNSET:
        return None
    training = profile.training
    return TrainingView(
        sentences=tuple(_list_sentences(training)),
        tables=(
            _table_phases((training,)),
            _table_categories((training.memory.peak,)),
            _table_modules(profile, training),
            _table_saved(training),
        ),
        curves=(_draw_curve("", training),),
        notes=tuple(_list_notes((("", training),))),
    )


def view_training(report: Report) -> TrainingView | None:
    """The section on both models; None unless a training step of both was measured."""
    before, after = report.before.training, report.after.training
    if before is UNSET or after is UNSET:
        return None
    return TrainingView(
        sentences=tuple(_compare(before, after)),
        tables=(
            _table_phases((before, after)),
            _table_categories((before.memory.peak, after.memory.peak)),
            *_table_moved(report, before, after),
        ),
        curves=(_draw_curve("before", before, after), _draw_curve("after", after, before)),
        notes=tuple(_list_notes((("before", before), ("after", after)))),
    )


# --- sentences --------------------------------------------------------------------------------------------------------


def _flops(value: int) -> str:
    return f"{format_short(value)} FLOPs"


def _bytes(value: int) -> str:
    return format_short(value, "bytes")


def _describe_settings(training: Training) -> str:
    settings = training.settings
    parts = [settings.optimizer, *((f"autocast to {settings.amp}",) if settings.amp else ())]
    if settings.checkpoint:
        where = "by the model's flag" if settings.checkpoint == "model" else f"of {settings.checkpoint}"
        parts.append(f"checkpoints {where}{', reentrant' if settings.reentrant else ''}")
    return f"{', '.join(map(make_visible, parts))}; the loss is {training.loss}"


def _describe_moment(point: MemoryPoint) -> str:
    where = f" in {name_path(point.module)}" if point.phase != "optimizer" else ""
    return f"{_PHASES[point.phase]}, at {make_visible(point.operator)}{where}"


def _list_sentences(training: Training) -> Iterator[str]:
    totals = training.totals
    sign = "" if training.flops_complete else "at least "
    backward = f" ({totals.backward_flops / totals.forward_flops:.2f} × forward)" if totals.forward_flops else ""
    again = f", {_flops(totals.recompute_flops)} computed again" if totals.recompute_flops else ""
    step = f", {_flops(totals.optimizer_flops)} in the optimizer" if totals.optimizer_flops else ""
    yield f"One training step with {_describe_settings(training)}."
    yield f"It takes {sign}{_flops(totals.forward_flops)} forward, {_flops(totals.backward_flops)} backward{backward}{again}{step}."
    yield f"The peak of memory is {_bytes(training.memory.peak.total)}, in {_describe_moment(training.memory.peak)}."
    yield from _describe_limit(training)


def _describe_limit(training: Training) -> Iterator[str]:
    limit = training.limit
    if limit is None:
        return
    memory = _bytes(limit.memory_bytes)
    if limit.batch is None:
        yield f"The largest batch in {memory} is not known: {make_visible(limit.reason)}."
    elif limit.batch == 0:
        yield f"No batch fits in {memory}: the smallest that was measured needs {_bytes(limit.next_peak_bytes or 0)}."
    else:
        fits, more = format_pair(limit.peak_bytes or 0, limit.next_peak_bytes or 0, "bytes")
        yield f"The largest batch that fits in {memory} is {limit.batch:,}: its peak is {fits}, and that of {limit.batch + 1:,} is {more}."


def _compare(before: Training, after: Training) -> Iterator[str]:
    yield f"One training step with {_describe_settings(after)}."
    if before.settings != after.settings:
        yield f"The model before was measured with {_describe_settings(before)}."
    flops = make_trend(before.totals.training_flops, after.totals.training_flops)
    yield (
        f"It takes {_flops(before.totals.training_flops)} {ARROW} {_flops(after.totals.training_flops)} ({flops.percent}), and "
        f"the peak of memory is {_bytes(before.memory.peak.total)} {ARROW} {_bytes(after.memory.peak.total)} "
        f"({make_trend(before.memory.peak.total, after.memory.peak.total).percent})."
    )
    first, second = before.memory.peak, after.memory.peak
    grown = [(second.bytes.get(name, 0) - first.bytes.get(name, 0), name) for name in MEMORY_CATEGORIES]
    parts = [
        f"{name} {'+' if delta > 0 else '-'}{_bytes(abs(delta))}" for delta, name in sorted(grown, key=lambda each: -abs(each[0])) if delta
    ]
    if parts:
        yield f"At the peak: {', '.join(parts)}."
    if (first.phase, first.module, first.operator) == (second.phase, second.module, second.operator):
        yield f"The peak stays in {_describe_moment(second)}."
    else:
        yield f"The peak moves from {_describe_moment(first)} to {_describe_moment(second)}."
    for side, training in (("before", before), ("after", after)):
        for sentence in _describe_limit(training):
            yield f"{side.capitalize()}: {sentence[0].lower()}{sentence[1:]}"


def _list_notes(sides: Iterable[tuple[str, Training]]) -> Iterator[str]:
    for side, training in sides:
        where = f"{side}: " if side else ""
        for operator in (operator for operator in training.operators if operator.status == "unknown"):
            yield f"{where}{make_visible(operator.name)} in the {operator.phase} pass is not counted: {make_visible(operator.note)}"
        if training.kernel_recompute_flops:
            yield f"{where}{_flops(training.kernel_recompute_flops)} of the backward pass are products that fused attention computes again"
        for text in training.assumptions:
            yield f"{where}{make_visible(text)}"
    yield (
        "memory: sizes are rounded up to 512 bytes, as the allocator on CUDA does; gradients are freed before the forward pass; "
        "workspaces inside kernels, the context of the device and fragmentation are not included"
    )


# --- tables -----------------------------------------------------------------------------------------------------------


def _table_phases(sides: Sequence[Training]) -> TrainingTable:
    rows = []
    for phase in TRAINING_PHASES:
        values = [int(getattr(training.totals, f"{phase}_flops")) for training in sides]
        if any(values) or phase in ("forward", "backward"):
            rows.append((phase, *_make_cells(values, "")))
    rows.append(("total", *_make_cells([training.totals.training_flops for training in sides], "")))
    return TrainingTable(label="FLOPs by phase", headings=("phase", *_head(sides, "FLOPs")), rows=tuple(rows))


def _table_categories(peaks: Sequence[MemoryPoint]) -> TrainingTable:
    rows = [(name, *_make_cells([peak.bytes.get(name, 0) for peak in peaks], "bytes")) for name in MEMORY_CATEGORIES]
    rows.append(("total", *_make_cells([peak.total for peak in peaks], "bytes")))
    return TrainingTable(label="Memory at the peak", headings=("category", *_head(peaks, "bytes")), rows=tuple(rows))


def _head(sides: Sequence[object], single: str) -> tuple[str, ...]:
    return ("before", "after", "delta", "change") if len(sides) > 1 else (single, "exact")


def _make_cells(values: Sequence[int], unit: str) -> tuple[str, ...]:
    if len(values) == 1:
        return (format_short(values[0], unit), f"{values[0]:,}")
    trend = make_trend(values[0], values[1], unit)
    return (trend.sides.before.short, trend.sides.after.short, trend.sides.delta.short, trend.percent)


def sum_subtrees(profile: Profile, training: Training) -> dict[str, TrainingCost]:
    """The cost of each module with everything below it, by path."""
    totals: dict[str, TrainingCost] = {}
    modules = index_modules(profile)
    for path, cost in training.modules.items():
        for above in (path, *modules.walk_up(path)) if path in modules else (path,):
            totals[above] = totals.get(above, TrainingCost()) + cost
    return totals


def _table_modules(profile: Profile, training: Training) -> TrainingTable:
    """The largest modules without children by FLOPs and saved bytes, in the order of the model."""
    costs = {path: training.modules.get(path, TrainingCost()) for path in (module.path for module in profile.modules)}
    share = training.totals.training_flops or 1, training.totals.saved_bytes or 1
    weights = {path: cost.training_flops / share[0] + cost.saved_bytes / share[1] for path, cost in costs.items()}
    chosen = set(sorted(weights, key=lambda path: -weights[path])[:_MOST_ROWS])
    used = [name for name in _COSTS if getattr(training.totals, name)]
    rows = [
        (name_path(path), *(_show(int(getattr(costs[path], name)), name) for name in used))
        for path in costs
        if path in chosen and weights[path]
    ]
    hidden = sum(1 for path in costs if weights[path]) - len(rows)
    rows += [(f"and {count(hidden, 'smaller module')}", *("" for _ in used))] if hidden else []
    return TrainingTable(label="Largest modules", headings=("module", *(_COSTS[name] for name in used)), rows=tuple(rows))


def _show(value: int, name: str) -> str:
    return format_short(value, "bytes" if name.endswith("bytes") else "") if value else NOTHING


def _table_saved(training: Training) -> TrainingTable:
    rows = [
        (name_path(row.module), make_visible(row.operator), f"{row.count:,}", _bytes(row.bytes))
        for row in training.memory.saved[:_MOST_ROWS]
    ]
    return TrainingTable(
        label="Kept for the backward pass, by the operator that made it",
        headings=("module", "operator", "tensors", "bytes"),
        rows=tuple(rows),
        texts=2,
    )


def _table_moved(report: Report, before: Training, after: Training) -> Iterator[TrainingTable]:
    """The modules whose kept tensors differ most between both sides, as they were matched."""
    rows: list[tuple[int, tuple[str, ...]]] = []
    for pair in report.modules:
        first = before.modules.get(pair.before_path, TrainingCost()) if pair.before_path is not None else TrainingCost()
        second = after.modules.get(pair.after_path, TrainingCost()) if pair.after_path is not None else TrainingCost()
        if first.saved_bytes != second.saved_bytes:
            path = pair.after_path if pair.after_path is not None else pair.before_path
            cells = _make_cells([first.saved_bytes, second.saved_bytes], "bytes")
            rows.append((second.saved_bytes - first.saved_bytes, (name_path(path), *cells)))
    rows.sort(key=lambda row: -abs(row[0]))
    if rows:
        hidden = len(rows) - _MOST_ROWS
        shown = [row for _, row in rows[:_MOST_ROWS]]
        shown += [(f"and {count(hidden, 'smaller change')}", "", "", "", "")] if hidden > 0 else []
        yield TrainingTable(
            label="Kept for the backward pass", headings=("module", "before", "after", "delta", "change"), rows=tuple(shown)
        )


# --- the picture ------------------------------------------------------------------------------------------------------


LEFT, TOP, WIDTH, HEIGHT = 70, 16, 640, 220
_COLORS = ("#4c78a8", "#e45756", "#b279a2", "#f58518", "#72b7b2", "#9d9d9d")
_BLOCKS = "▁▂▃▄▅▆▇█"
_MOST_BLOCKS = 60


def _draw_curve(side: str, training: Training, other: Training | None = None) -> MemoryCurve:
    """The live bytes by category over the step. Both sides of a comparison have one scale."""
    points = training.memory.curve
    peak = training.memory.peak
    largest = max(peak.total, other.memory.peak.total if other is not None else 0) or 1
    steps = max(1, training.memory.operators - 1)
    xs = [round(LEFT + WIDTH * point.step / steps, 1) for point in points]
    floors = [0] * len(points)
    areas = []
    for name, color in zip(MEMORY_CATEGORIES, _COLORS, strict=True):
        tops = [floor + point.bytes.get(name, 0) for floor, point in zip(floors, points, strict=True)]
        upper = [f"{x},{_height(top, largest)}" for x, top in zip(xs, tops, strict=True)]
        lower = [f"{x},{_height(floor, largest)}" for x, floor in zip(xs, floors, strict=True)]
        areas.append(Area(name=name, color=color, points=" ".join((*upper, *reversed(lower)))))
        floors = tops
    borders = [(xs[number], point.phase) for number, point in enumerate(points) if _starts_phase(points, number)]
    return MemoryCurve(
        side=side,
        label=f"Memory over one training step{f', {side}' if side else ''}",
        alt=f"{side or 'The model'}: peak {_bytes(peak.total)} in {_describe_moment(peak)}",
        areas=tuple(areas),
        peak_x=round(LEFT + WIDTH * peak.step / steps, 1),
        peak_y=_height(peak.total, largest),
        peak_label=f"{_bytes(peak.total)} in {_describe_moment(peak)}",
        y_ticks=((_height(largest, largest), _bytes(largest)), (_height(0, largest), "0")),
        x_ticks=tuple(borders),
        blocks=_draw_blocks([point.total for point in points], largest),
    )


def _starts_phase(points: Sequence[MemoryPoint], number: int) -> bool:
    """Whether a phase starts there; a recomputation is part of the backward pass."""
    phase, earlier = points[number].phase, {point.phase for point in points[:number]}
    return phase != "recompute" and phase not in earlier


def _height(value: float, largest: float) -> float:
    return round(TOP + HEIGHT * (1 - value / largest), 1)


def _draw_blocks(totals: Sequence[int], largest: int) -> str:
    """The curve as a line of characters."""
    parts = min(len(totals), _MOST_BLOCKS)
    bounds = [len(totals) * part // parts for part in range(parts + 1)] if parts else [0]
    highest = [max(totals[first:last]) for first, last in pairwise(bounds)]
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, value * len(_BLOCKS) // (largest + 1))] for value in highest)
