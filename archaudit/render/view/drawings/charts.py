"""Where the parameters and the FLOPs are: each module as wide as its share, its children below it, both sides at one scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from archaudit.metrics.quantities import format_change, format_exact, format_percent, format_short
from archaudit.render.formatting import count, make_visible, name_path
from archaudit.render.view.drawing_records import Cell, Icicle, IciclePair, Step, Waterfall
from archaudit.render.view.figures import make_delta, make_figure
from archaudit.render.view.layer_table.layers import classify
from archaudit.render.view.summary import INCOMPLETE_NOTE
from archaudit.schema import Group, ModuleRecord, Profile, Report

_LEVELS = 4
# Narrower than this (per cent of the width) a cell cannot be seen, and joins its neighbours that cannot either.
_NARROWEST = 0.4
_MOST_TOLD = 3
_MARKS = {"added": "+", "removed": "-", "changed": "~", "cost": "Δ", "": "", "rest": ""}
_METRICS = (("params", "Parameters", "params"), ("flops", "FLOPs", "FLOPs"))


class _Tree(NamedTuple):
    """One side: its modules by the path of their parent, and what became of each."""

    profile: Profile
    children: Mapping[str, Sequence[ModuleRecord]]
    kinds: Mapping[str | None, str]


def view_icicles(report: Report) -> tuple[IciclePair, ...]:
    """Both sides, for params and for FLOPs."""
    trees = [
        _plant(report.before, {row.before_path: classify(row) for row in report.modules}),
        _plant(report.after, {row.after_path: classify(row) for row in report.modules}),
    ]
    return _view(("before", "after"), trees)


def view_profile_icicles(profile: Profile) -> tuple[IciclePair, ...]:
    """One profile, for params and for FLOPs."""
    return _view(("",), [_plant(profile, {})])


def _plant(profile: Profile, kinds: Mapping[str | None, str]) -> _Tree:
    children: dict[str, list[ModuleRecord]] = {}
    known = {module.path for module in profile.modules}
    for module in profile.modules:
        above = module.path.rpartition(".")[0]
        while above and above not in known:  # a dot may be part of a name
            above = above.rpartition(".")[0]
        if module.path:
            children.setdefault(above, []).append(module)
    return _Tree(profile, children, kinds)


def _view(sides: Sequence[str], trees: Sequence[_Tree]) -> tuple[IciclePair, ...]:
    pairs = []
    for metric, label, unit in _METRICS:
        largest = max(int(getattr(tree.profile.totals, metric)) for tree in trees)
        if not largest:
            continue
        complete = metric == "params" or all(tree.profile.flops_complete for tree in trees)
        icicles = tuple(_view_side(side, tree, metric, unit, largest) for side, tree in zip(sides, trees, strict=True))
        pairs.append(IciclePair(label=label, icicles=icicles, note="" if complete else "the counted part: an operator has no formula"))
    return tuple(pairs)


def _view_side(side: str, tree: _Tree, metric: str, unit: str, largest: int) -> Icicle:
    cells: list[Cell] = []
    total = int(getattr(tree.profile.totals, metric))
    root = next((module for module in tree.profile.modules if not module.path), None)
    pending = [(root, 0, 0.0)] if root is not None else []
    while pending:
        module, level, left = pending.pop()
        value = int(getattr(module.total, metric))
        cells.append(_draw(module, level, left, 100 * value / largest, (value, total, unit, tree.kinds.get(module.path, ""))))
        if level + 1 < _LEVELS:
            pending += _place_children(tree.children.get(module.path, ()), (metric, unit, largest), (level + 1, left), cells)
    ranked = sorted((cell for cell in cells if cell.level == 1), key=lambda cell: -cell.width)[:_MOST_TOLD]
    alt = f"{unit} by module{f', {side}' if side else ''}: {format_short(total)} in all; " + "; ".join(cell.title for cell in ranked)
    return Icicle(side=side, alt=alt, levels=1 + max((cell.level for cell in cells), default=0), cells=tuple(cells))


def _place_children(
    children: Sequence[ModuleRecord], scale: tuple[str, str, int], place: tuple[int, float], cells: list[Cell]
) -> list[tuple[ModuleRecord, int, float]]:
    """Each child with the level and left edge that it goes to; those too narrow to be seen are drawn at once, as one."""
    metric, unit, largest = scale
    level, left = place
    placed = []
    narrow: list[int] = []
    for module in children:
        value = int(getattr(module.total, metric))
        width = 100 * value / largest
        if width < _NARROWEST:
            narrow += [value] * (value > 0)
            continue
        placed.append((module, level, left))
        left += width
    if narrow and 100 * sum(narrow) / largest >= _NARROWEST / 2:
        title = f"{count(len(narrow), 'smaller module')}: {format_exact(sum(narrow))} {unit}"
        width = round(100 * sum(narrow) / largest, 2)
        cells.append(Cell(level=level, left=round(left, 2), width=width, label="", title=title, kind="rest", mark=""))
    return placed


def _draw(module: ModuleRecord, level: int, left: float, width: float, told: tuple[int, int, str, str]) -> Cell:
    value, total, unit, kind = told
    share = format_percent(value / total) if total else ""
    name = name_path(module.path)
    return Cell(
        level=level,
        left=round(left, 2),
        width=round(width, 2),
        label=name if not level else name_path(module.path.rpartition(".")[2]),
        title=f"{name}: {format_exact(value)} {unit}, {share}{f', {kind}' if kind else ''}",
        kind=kind,
        mark=_MARKS[kind],
    )


# --- the waterfall: from the total before to the total after, one step a group ---


# More steps than this no longer fit on a screen; the smallest are drawn as one.
_MOST_STEPS = 12
_WATERFALL_METRICS = (("params", "Parameters"), ("flops", "FLOPs"))


def view_waterfalls(report: Report) -> tuple[Waterfall, ...]:
    """One for params and one for FLOPs; none without groups, and none where nothing changed or the change cannot be said."""
    if not report.groups:
        return ()
    return tuple(
        _view_waterfall(report, metric, label)
        for metric, label in _WATERFALL_METRICS
        if getattr(report.delta, metric) and (metric == "params" or report.flops_complete)
    )


def _view_waterfall(report: Report, metric: str, label: str) -> Waterfall:
    before, after = int(getattr(report.before.totals, metric)), int(getattr(report.after.totals, metric))
    parts = _gather(report.groups, metric)
    peaks = [before, after]
    running = before
    for _, delta in parts:
        running += delta
        peaks.append(running)
    largest = max(peaks) or 1
    steps = [_draw_whole("before", before, largest)]
    running = before
    for name, delta in parts:
        low = min(running, running + delta)
        steps.append(
            Step(
                label=name,
                value=make_delta(delta),
                note=f"{format_change(before, before + delta)} of the total",
                kind="fewer" if delta < 0 else "more",
                start=_percent(low, largest),
                width=max(0.3, _percent(abs(delta), largest)),
            )
        )
        running += delta
    steps.append(_draw_whole("after", after, largest))
    return Waterfall(label=label, steps=tuple(steps), note="" if report.flops_complete else INCOMPLETE_NOTE)


def _gather(groups: Iterable[Group], metric: str) -> list[tuple[str, int]]:
    """The groups that change the total, in order; of too many the smallest are one step at the end."""
    parts = [(make_visible(group.name), int(getattr(group.delta, metric))) for group in groups if getattr(group.delta, metric)]
    if len(parts) <= _MOST_STEPS:
        return parts
    kept = set(sorted(range(len(parts)), key=lambda place: -abs(parts[place][1]))[: _MOST_STEPS - 1])
    rest = [delta for place, (_, delta) in enumerate(parts) if place not in kept]
    return [*(part for place, part in enumerate(parts) if place in kept), (f"{len(rest):,} smaller groups", sum(rest))]


def _draw_whole(label: str, value: int, largest: int) -> Step:
    return Step(label=label, value=make_figure(value), note="", kind="whole", start=0.0, width=_percent(value, largest))


def _percent(value: int, largest: int) -> float:
    return round(100 * value / largest, 2)
