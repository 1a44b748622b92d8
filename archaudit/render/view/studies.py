"""Histories and sweeps as tables and plots of text and numbers: what every format shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from archaudit.metrics import METRICS
from archaudit.quantities import format_change, format_short
from archaudit.render.formatting import make_visible, name_path
from archaudit.render.view.figures import make_delta, make_figure
from archaudit.schema import Bisection, History, HistoryStep, Jump, Record, Sweep, Variant

# Room around a plot for the numbers of its axes, and its size, in pixels.
LEFT, TOP, WIDTH, HEIGHT = 70, 12, 640, 180


class Column(Record, frozen=True, kw_only=True):
    """A column of a study's table; `rank` says how soon it goes where there is no room, `least` how far it may be narrowed."""

    heading: str
    cells: tuple[str, ...]
    rank: int = 0
    right: bool = False
    least: int = 0


class Point(Record, frozen=True, kw_only=True):
    """A point of a plot in pixels; `marked` ones are told apart."""

    x: float
    y: float
    label: str
    marked: bool = False


class Plot(Record, frozen=True, kw_only=True):
    """A plot: points, joined to a line or not, and the numbers at its axes. `names` and `values` are for what draws by itself."""

    label: str
    alt: str
    points: tuple[Point, ...]
    line: str = ""
    y_ticks: tuple[tuple[float, str], ...] = ()
    x_ticks: tuple[tuple[float, str], ...] = ()
    names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()


class StudyView(Record, frozen=True, kw_only=True):
    """A study, ready to be written in any format. `details` has what is told below a row of the table, by its place."""

    title: str
    sentence: str
    columns: tuple[Column, ...]
    details: dict[int, tuple[str, ...]] = msgspec.field(default_factory=dict)
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()


def view_history(history: History, metrics: Sequence[str] = ("params", "flops")) -> StudyView:
    """Newest last, as a chart is read; jumps below their commits."""
    steps = history.steps
    measured = [step for step in steps if step.totals is not None]
    columns = [
        Column(heading="commit", cells=tuple(make_visible(step.short) for step in steps)),
        Column(heading="date", cells=tuple(step.date for step in steps), rank=2),
        *(column for metric in metrics for column in _metric_columns(steps, metric)),
        Column(heading="subject", cells=tuple(make_visible(step.subject) for step in steps), least=12),
    ]
    details = {place: tuple(_tell_step(step)) for place, step in enumerate(steps) if step.error or step.jumps}
    jumps = sum(bool(step.jumps) for step in steps)
    others = f"{history.untouched:,} other{'' if history.untouched == 1 else 's'} did not"
    sentence = f"{len(steps):,} commits touched what the model is read from, {others}; {jumps:,} made it jump."
    return StudyView(
        title=f"{make_visible(history.reference)}: history",
        sentence=sentence if len(steps) != 1 else f"One commit touched what the model is read from; {others}.",
        columns=tuple(columns),
        details=details,
        plots=tuple(_plot_steps(measured, metric) for metric in metrics if len(measured) > 1),
        notes=("FLOPs are 2 × MACs. Commits are those along first parents; a jump is a change of more than 1 % to the commit before.",),
    )


def view_sweep(sweep: Sweep) -> StudyView:
    """One row a variant; those that no other beats in both metrics of the plot are marked."""
    variants = sweep.variants
    choices = list(dict.fromkeys(name for variant in variants for name in variant.choices))
    several = len({variant.reference for variant in variants}) > 1
    columns = [
        Column(heading="best", cells=tuple("*" if variant.pareto else "" for variant in variants)),
        *([Column(heading="model", cells=tuple(make_visible(each.reference) for each in variants), least=14)] if several else []),
        *(Column(heading=name, cells=tuple(make_visible(each.choices.get(name, "")) for each in variants)) for name in choices),
        Column(heading="input", cells=tuple(make_visible(each.input) for each in variants), least=10),
        *(_variant_column(variants, metric) for metric in dict.fromkeys((*sweep.metrics, "params", "flops"))),
        _variant_column(variants, "peak_activation_bytes", rank=1),
    ]
    first, second = (METRICS[name].label for name in sweep.metrics)
    failed = sum(variant.error is not None for variant in variants)
    missing = f"; {failed:,} could not be measured" if failed else ""
    title = make_visible(variants[0].reference) if variants and not several else "several models"
    return StudyView(
        title=f"{title}: sweep",
        sentence=f"{len(variants):,} variants{missing}; * marks those that no other beats in both {first} and {second}.",
        columns=tuple(columns),
        details={place: (make_visible(each.error),) for place, each in enumerate(variants) if each.error is not None},
        plots=_plot_variants(sweep),
        notes=("FLOPs are 2 × MACs. Short bytes are in powers of 1024.",),
    )


def tell_bisection(found: Bisection) -> list[str]:
    """What came of the search, a sentence a line."""
    condition = make_visible(found.condition)
    looked = f"{found.profiles:,} of {found.commits:,} commits were looked at."
    if found.first is None and found.skipped:
        where = "anywhere in the range" if len(found.skipped) == found.commits else "at the end of the range"
        told = f"whether {condition} holds {where} is open: these could not be measured or judged"
        return [told, *map(_tell_skipped, found.skipped), looked]
    if found.first is None:
        return [f"{condition} does not hold at the end of the range.", looked]
    first = f"{found.first.short} {found.first.date} {make_visible(found.first.subject)}"
    if found.outcome == "always":
        return [f"{condition} holds from the first commit of the range on: {first}", looked]
    if found.outcome == "unsure":
        told = f"{condition} holds first at one of these, which could not be measured or judged, or at {first}"
        return [told, *map(_tell_skipped, found.skipped), looked]
    return [f"{condition} holds first at {first}", looked]


def _tell_skipped(step: HistoryStep) -> str:
    return f"  {step.short} {make_visible(step.subject)}: {make_visible(step.error or 'it cannot be judged')}"


def _metric_columns(steps: Sequence[HistoryStep], metric: str) -> list[Column]:
    known = METRICS[metric]
    figures, changes = [], []
    last: int | None = None
    for step in steps:
        value = read_value(step, metric)
        figures.append(make_figure(value, known.unit, complete=step.flops_complete or not known.needs_complete_flops).short)
        changes.append(format_change(last, value) if value is not None and last is not None and value != last else "")
        last = value if value is not None else last
    return [
        Column(heading=known.label if metric != "params" else "params", cells=tuple(figures), right=True),
        Column(heading="change", cells=tuple(changes), rank=1, right=True),
    ]


def read_value(record: HistoryStep | Variant, metric: str) -> int | None:
    """A metric of a step or a variant; None where it was not measured."""
    if record.totals is None:
        return None
    if metric.startswith("peak_") or metric == "saved_bytes":
        value: int | None = getattr(record.peaks, metric.removeprefix("peak_"))
        return value
    known = METRICS[metric]
    return known.of_cost(record.totals) if known.of_cost is not None else None


def _tell_step(step: HistoryStep) -> list[str]:
    if step.error:
        return [f"not measured: {make_visible(step.error)}"]
    return [_tell_jump(jump) for jump in step.jumps]


def _tell_jump(jump: Jump) -> str:
    known = METRICS[jump.metric]
    head = f"{known.label} {format_change(jump.before, jump.after)}"
    layers = ", ".join(
        f"{name_path(layer.path)}{f' ({make_visible(layer.type)})' if layer.type else ''} {make_delta(layer.delta, known.unit).short}"
        for layer in jump.layers
    )
    return f"{head}: {layers}" if layers else head


def _variant_column(variants: Sequence[Variant], metric: str, rank: int = 0) -> Column:
    known = METRICS[metric]
    figures = [
        make_figure(read_value(each, metric), known.unit, complete=each.flops_complete or not known.needs_complete_flops).short
        for each in variants
    ]
    label = {"params": "params", "peak_activation_bytes": "peak bytes"}.get(metric, known.label)
    return Column(heading=label, cells=tuple(figures), right=True, rank=rank)


def _plot_steps(steps: Sequence[HistoryStep], metric: str) -> Plot:
    known = METRICS[metric]
    kept = [(step, value) for step in steps if (value := read_value(step, metric)) is not None]
    values = [value for _, value in kept]
    places = [LEFT + WIDTH * place / max(1, len(kept) - 1) for place in range(len(kept))]
    heights, ticks = _scale(values, known.unit)
    points = tuple(
        Point(
            x=round(x, 1),
            y=y,
            label=make_visible(f"{step.short} {step.subject}: {format_short(value, known.unit)}"),
            marked=any(jump.metric == metric for jump in step.jumps),
        )
        for x, y, (step, value) in zip(places, heights, kept, strict=True)
    )
    stairs = [f"{points[0].x},{points[0].y}"]
    for before, after in pairwise(points):  # a commit holds until the next
        stairs += [f"{after.x},{before.y}", f"{after.x},{after.y}"]
    return Plot(
        label=known.label,
        alt=f"{known.label} from {format_short(values[0], known.unit)} to {format_short(values[-1], known.unit)} over {len(kept)} commits",
        points=points,
        line=" ".join(stairs),
        y_ticks=ticks,
        x_ticks=((float(LEFT), kept[0][0].short), (float(LEFT + WIDTH), kept[-1][0].short)),
        names=tuple(step.short for step, _ in kept),
        values=tuple(values),
    )


def _plot_variants(sweep: Sweep) -> tuple[Plot, ...]:
    across, up = sweep.metrics
    kept = [
        (each, x, y) for each in sweep.variants if (x := read_value(each, across)) is not None and (y := read_value(each, up)) is not None
    ]
    if len(kept) < 2:
        return ()
    largest = max(x for _, x, _ in kept) or 1
    heights, ticks = _scale([y for _, _, y in kept], METRICS[up].unit)
    points = tuple(
        Point(
            x=round(LEFT + WIDTH * x / largest, 1),
            y=height,
            label=make_visible(f"{each.reference} {' '.join(f'{name}={text}' for name, text in each.choices.items())} {each.input}"),
            marked=each.pareto,
        )
        for (each, x, _), height in zip(kept, heights, strict=True)
    )
    front = sorted((point for point in points if point.marked), key=lambda point: point.x)
    return (
        Plot(
            label=f"{METRICS[up].label} over {METRICS[across].label}",
            alt=f"{len(kept)} variants, {len(front)} of them not beaten in both",
            points=points,
            line=" ".join(f"{point.x},{point.y}" for point in front),
            y_ticks=ticks,
            x_ticks=((float(LEFT), "0"), (float(LEFT + WIDTH), format_short(largest, METRICS[across].unit))),
        ),
    )


def _scale(values: Sequence[int], unit: str) -> tuple[list[float], tuple[tuple[float, str], ...]]:
    """Heights of values from zero up, in pixels from the top, and the axis' numbers."""
    largest = max(values) or 1
    heights = [round(TOP + HEIGHT * (1 - value / largest), 1) for value in values]
    return heights, ((float(TOP + HEIGHT), "0"), (float(TOP), format_short(largest, unit)))
