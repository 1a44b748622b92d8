"""The waterfall: from the total before to the total after, one step a group."""

from __future__ import annotations

from collections.abc import Iterable

from archaudit.quantities import format_change
from archaudit.render.formatting import make_visible
from archaudit.render.view.figures import make_delta, make_figure
from archaudit.render.view.pictures import Step, Waterfall
from archaudit.render.view.summary import INCOMPLETE_NOTE
from archaudit.schema import Group, Report

# More steps than this no longer fit on a screen; the smallest are drawn as one.
_MOST_STEPS = 12
_METRICS = (("params", "Parameters"), ("flops", "FLOPs"))


def view_waterfalls(report: Report) -> tuple[Waterfall, ...]:
    """One for params and one for FLOPs; none without groups, and none where nothing changed or the change cannot be said."""
    if not report.groups:
        return ()
    return tuple(
        _view_waterfall(report, metric, label)
        for metric, label in _METRICS
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
