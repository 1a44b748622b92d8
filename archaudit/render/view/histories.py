"""A history as a table and charts over commits, and the result of a bisection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from archaudit.metrics.catalog import METRICS
from archaudit.metrics.quantities import format_change, format_exact, format_short
from archaudit.render.formatting import count, join_names, make_visible, name_path
from archaudit.render.view.axes import Tick, make_axis
from archaudit.render.view.figures import make_delta, make_figure
from archaudit.render.view.plots import (
    END_ROOM,
    LEFT,
    WIDTH,
    Column,
    Line,
    Plot,
    Point,
    StudyView,
    name_points,
    place_up,
    read_value,
    title_axis,
)
from archaudit.schema import Bisection, History, HistoryStep, Jump

# `4 with changed settings (out_channels, in_features)`: the details.
_DETAILS = re.compile(r" \([^()]*\)")
# A longer text is also below the row: the column is as wide as the terminal permits.
_LONGEST_STRUCTURE = 16
# So many commits are named in the row of a run, and in the note on skipped ones.
_MOST_FOLDED = 4
_MOST_SKIPPED = 8


def view_history(history: History, metrics: Sequence[str] = ("params", "flops")) -> StudyView:
    """The view of a history: newest commit last, jumps below their commits."""
    runs = _fold_runs(history.steps)
    steps = [run[0] for run in runs]
    measured = [step for step in steps if step.totals is not None]
    columns = [
        Column(heading="commit", cells=tuple(make_visible(step.short) for step in steps)),
        Column(heading="date", cells=tuple(step.date for step in steps), rank=2),
        *(column for metric in metrics for column in _metric_columns(steps, metric)),
        *_structure_columns(steps),
        Column(heading="subject", cells=tuple(make_visible(run[0].subject) for run in runs), least=12),
    ]
    details = {place: tuple(lines) for place, run in enumerate(runs) if (lines := _describe_run(run))}
    jumps = sum(bool(step.jumps) for step in steps)
    others = f"{history.untouched:,} other{'' if history.untouched == 1 else 's'} did not"
    touched = len(history.steps) + len(history.skipped)
    reached = f"; {len(history.steps):,} of the {touched:,} changed code that the model can reach" if history.skipped else ""
    sentence = f"{touched:,} commits touched the model's source files, {others}{reached}; {jumps:,} changed a metric by more than 1 %."
    notes = ["FLOPs = 2 × MACs. Only commits along first parents are listed. A jump is a change of more than 1 % from the commit before."]
    if history.skipped:
        names = join_names([make_visible(step.short) for step in history.skipped], _MOST_SKIPPED)
        skipped = count(len(history.skipped), "commit")
        notes.append(f"Not measured: {skipped} that changed no code that the model can reach ({names}).")
    return StudyView(
        title=f"{make_visible(history.reference)}: history",
        sentence=sentence if touched != 1 else f"One commit touched the model's source files; {others}.",
        columns=tuple(columns),
        details=details,
        plots=tuple(_plot_steps(measured, metric) for metric in metrics if len(measured) > 1),
        notes=tuple(notes),
    )


def _fold_runs(steps: Sequence[HistoryStep]) -> list[list[HistoryStep]]:
    """The steps in runs of one architecture."""
    runs: list[list[HistoryStep]] = []
    for step in steps:
        if step.same and runs and runs[-1][0].totals is not None:
            runs[-1].append(step)
        else:
            runs.append([step])
    return runs


def _structure_columns(steps: Sequence[HistoryStep]) -> list[Column]:
    if not any(step.structure for step in steps):
        return []
    return [Column(heading="structure", cells=tuple(_shorten_structure(step) for step in steps), rank=3, least=16)]


def _shorten_structure(step: HistoryStep) -> str:
    """What changed without the details, which are below the row."""
    short = re.sub(r"([\d,]+) with changed settings", r"settings of \1", _DETAILS.sub("", step.structure))
    return make_visible(short.replace("with resized tensors", "resized"))


def describe_bisection(found: Bisection) -> list[str]:
    """The result of a bisection, a sentence per line."""
    condition = make_visible(found.condition)
    looked = f"{found.profiles:,} of {found.commits:,} commits were measured."
    if found.first is None and found.skipped:
        where = "anywhere in the range" if len(found.skipped) == found.commits else "at the end of the range"
        sentence = f"It is not known whether {condition} holds {where}: these commits could not be measured or judged"
        return [sentence, *map(_describe_skipped, found.skipped), looked]
    if found.first is None:
        return [f"{condition} does not hold at the end of the range.", looked]
    first = f"{found.first.short} {found.first.date} {make_visible(found.first.subject)}"
    if found.outcome == "always":
        return [f"{condition} already holds at the first commit of the range: {first}", looked]
    if found.outcome == "unsure":
        sentence = f"{condition} first holds at {first}, or at one of these commits, which could not be measured or judged"
        return [sentence, *map(_describe_skipped, found.skipped), looked]
    return [f"{condition} first holds at {first}", looked]


def _describe_skipped(step: HistoryStep) -> str:
    return f"  {step.short} {make_visible(step.subject)}: {make_visible(step.error or 'it cannot be judged')}"


def _metric_columns(steps: Sequence[HistoryStep], metric: str) -> list[Column]:
    known = METRICS[metric]
    figures, changes = [], []
    last: int | None = None
    for step in steps:
        value = read_value(step, metric)
        figures.append(make_figure(value, known.unit, complete=known.is_complete(step)).short)
        changes.append(format_change(last, value) if value is not None and last is not None and value != last else "")
        last = value if value is not None else last
    return [
        Column(heading=known.label if metric != "params" else "params", cells=tuple(figures), right=True),
        Column(heading="change", cells=tuple(changes), rank=1, right=True),
    ]


def _describe_run(run: Sequence[HistoryStep]) -> list[str]:
    """What does not fit into the row: what changed in full, the layers that made a metric jump, the commits that changed nothing more."""
    step = run[0]
    if step.error:
        return [f"not measured: {make_visible(step.error)}"]
    structure = [make_visible(step.structure)] if len(step.structure) > _LONGEST_STRUCTURE else []
    names = join_names([make_visible(each.short) for each in run[1:]], _MOST_FOLDED)
    return [*structure, *map(_describe_jump, step.jumps), *([f"the same architecture after {names}"] if names else [])]


def _describe_jump(jump: Jump) -> str:
    known = METRICS[jump.metric]
    head = f"{known.label} {format_change(jump.before, jump.after)}"
    layers = ", ".join(
        f"{name_path(layer.path)}{f' ({make_visible(layer.type)})' if layer.type else ''} {make_delta(layer.delta, known.unit).short}"
        for layer in jump.layers
    )
    return f"{head}: {layers}" if layers else head


def _plot_steps(steps: Sequence[HistoryStep], metric: str) -> Plot:
    known = METRICS[metric]
    kept = [(step, value) for step in steps if (value := read_value(step, metric)) is not None]
    values = [value for _, value in kept]
    axis = make_axis(values, known.unit, room=END_ROOM)
    last = max(1, len(kept) - 1)
    points = tuple(
        Point(
            x=round(LEFT + WIDTH * place / last, 1),
            y=place_up(axis, value),
            label=make_visible(f"{step.short} {step.date} {step.subject}: {format_exact(value)} {known.label}"),
            marked=any(jump.metric == metric for jump in step.jumps),
            name=step.short if any(jump.metric == metric for jump in step.jumps) else "",
        )
        for place, (step, value) in enumerate(kept)
    )
    stairs = [(points[0].x, points[0].y)]
    for before, after in pairwise(points):  # a commit holds until the next
        stairs += [(after.x, before.y), (after.x, after.y)]
    return Plot(
        label=known.label,
        alt=f"{known.label} from {format_short(values[0], known.unit)} to {format_short(values[-1], known.unit)} over {len(kept)} commits",
        points=name_points(points, on_line=True),
        lines=(Line(places=tuple(stairs)),),
        across="commits",
        up=title_axis(known.label, axis),
        y_ticks=axis.ticks,
        x_ticks=tuple(Tick(round(place / last, 4), f"{kept[place][0].short} {kept[place][0].date}") for place in _choose_ticks(len(kept))),
        names=tuple(step.short for step, _ in kept),
        values=tuple(values),
    )


def _choose_ticks(commits: int) -> list[int]:
    """The positions of the commits that the axis names: the first, the last, and some between at equal distances."""
    parts = next((parts for parts in (3, 2) if (commits - 1) % parts == 0 and commits > parts + 1), 1)
    return sorted({place * (commits - 1) // parts for place in range(parts + 1)})
