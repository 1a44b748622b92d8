"""Icicles and waterfalls of parameters and FLOPs.

An icicle shows where they are: each module is as wide as its share, with its children below it, both sides at one scale. A waterfall leads
from the total before to the total after, one step a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec

from archaudit.index import ModuleIndex, index_modules
from archaudit.metrics.catalog import METRICS, is_unknown
from archaudit.metrics.quantities import format_change, format_exact, format_percent, format_short
from archaudit.render.formatting import count, make_visible, name_path
from archaudit.render.view.axes import Axis, make_axis
from archaudit.render.view.drawing_records import Cell, Icicle, IciclePair, Step, Waterfall
from archaudit.render.view.figures import make_delta, make_figure
from archaudit.render.view.flow_sides import name_anchors
from archaudit.render.view.layer_table.layers import classify
from archaudit.render.view.summary import INCOMPLETE_NOTE
from archaudit.schema import Group, ModuleRecord, Profile, Report

_LEVELS = 4
# A cell narrower than this (per cent of the width) is invisible, and is merged with its neighbours that are.
_NARROWEST = 0.4
_MOST_NAMED = 3
_MARKS = {"added": "+", "removed": "-", "changed": "~", "inside": "~", "cost": "Δ", "": "", "rest": ""}
_METRICS = (("params", "Parameters", "params"), ("flops", "FLOPs", "FLOPs"))


class _Tree(NamedTuple):
    """One side: its modules, the kind of change of each (empty for an unchanged one), and those with a change anywhere inside them."""

    profile: Profile
    modules: ModuleIndex
    kinds: Mapping[str | None, str]
    above: frozenset[str] = frozenset()
    anchors: Mapping[str | None, str] = {}

    def find_kind(self, path: str) -> tuple[str, str]:
        """The kind of change and its words; `inside` for a module that did not change itself, but holds one that did."""
        kind = self.kinds.get(path, "")
        return ("inside", "changed inside") if kind in ("", "cost") and path in self.above else (kind, kind)


def view_icicles(report: Report) -> tuple[IciclePair, ...]:
    """Both sides, for params and for FLOPs."""
    before = _make_tree(report.before, {row.before_path: classify(row) for row in report.modules}, name_anchors(report.modules))
    after = _make_tree(report.after, {row.after_path: classify(row) for row in report.modules}, {})
    return _view(("before", "after"), (before, after))


def _make_tree(profile: Profile, kinds: Mapping[str | None, str], anchors: Mapping[str | None, str]) -> _Tree:
    modules = index_modules(profile)
    changed = [path for path, kind in kinds.items() if path and kind in ("added", "removed", "changed")]
    return _Tree(profile, modules, kinds, frozenset(above for path in changed for above in modules.walk_up(path)), anchors)


# Why an icicle chart of a metric shows a part only.
_UNCOUNTED = {"params": "some weights cannot be counted", "flops": "an operator has no formula"}


def view_profile_icicles(profile: Profile) -> tuple[IciclePair, ...]:
    """One profile, for params and for FLOPs."""
    return _view(("",), [_Tree(profile, index_modules(profile), {})])


def _view(sides: Sequence[str], trees: Sequence[_Tree]) -> tuple[IciclePair, ...]:
    pairs = []
    for metric, label, unit in _METRICS:
        largest = max(int(getattr(tree.profile.totals, metric)) for tree in trees)
        if not largest or any(is_unknown(tree.profile, metric) for tree in trees):
            continue
        complete = all(METRICS[metric].is_complete(tree.profile) for tree in trees)
        icicles = tuple(_view_side(side, tree, metric, unit, largest) for side, tree in zip(sides, trees, strict=True))
        pairs.append(IciclePair(label=label, icicles=icicles, note="" if complete else f"the counted part: {_UNCOUNTED[metric]}"))
    return tuple(pairs)


def _view_side(side: str, tree: _Tree, metric: str, unit: str, largest: int) -> Icicle:
    cells: list[Cell] = []
    total = int(getattr(tree.profile.totals, metric))
    root = tree.modules.get("")
    pending = [(root, 0, 0.0)] if root is not None else []
    while pending:
        module, level, left = pending.pop()
        value = int(getattr(module.total, metric))
        kind = tree.find_kind(module.path)
        cell = _draw(module, level, left, 100 * value / largest, (value, total, unit, kind))
        anchor = tree.anchors.get(module.path, f"layer-{name_path(module.path)}")
        cells.append(msgspec.structs.replace(cell, anchor=anchor))
        if level + 1 < _LEVELS:
            pending += _place_children(tree, module, (metric, unit, largest), (level + 1, left), cells)
    ranked = sorted((cell for cell in cells if cell.level == 1), key=lambda cell: -cell.width)[:_MOST_NAMED]
    alt = f"{unit} by module{f', {side}' if side else ''}: {format_short(total)} in all; " + "; ".join(cell.title for cell in ranked)
    return Icicle(side=side, alt=alt, levels=1 + max((cell.level for cell in cells), default=0), cells=tuple(cells))


def _place_children(
    tree: _Tree, parent: ModuleRecord, scale: tuple[str, str, int], place: tuple[int, float], cells: list[Cell]
) -> list[tuple[ModuleRecord, int, float]]:
    """Each child with its level and left edge; those too narrow to be seen become one cell."""
    metric, unit, largest = scale
    level, left = place
    placed = []
    narrow: list[int] = []
    kinds = set()
    for module in (tree.modules[path] for path in tree.modules.children[parent.path]):
        value = int(getattr(module.total, metric))
        width = 100 * value / largest
        if width < _NARROWEST:
            narrow += [value] * (value > 0)
            kinds.add(tree.find_kind(module.path)[0])
            continue
        placed.append((module, level, left))
        left += width
    if narrow and 100 * sum(narrow) / largest >= _NARROWEST / 2:
        title = f"{count(len(narrow), 'smaller module')}: {format_exact(sum(narrow))} {unit}"
        width = round(100 * sum(narrow) / largest, 2)
        changed = not kinds.isdisjoint(("added", "removed", "changed", "inside"))
        kind, words, mark = ("changed", ", changed", "~") if changed else ("rest", "", "")
        cells.append(Cell(level=level, left=round(left, 2), width=width, label="", title=title + words, kind=kind, mark=mark))
    return placed


def _draw(module: ModuleRecord, level: int, left: float, width: float, facts: tuple[int, int, str, tuple[str, str]]) -> Cell:
    value, total, unit, (kind, words) = facts
    share = format_percent(value / total) if total else ""
    name = name_path(module.path)
    return Cell(
        level=level,
        left=round(left, 2),
        width=round(width, 2),
        label=name if not level else name_path(module.path.rpartition(".")[2]),
        share=share,
        title=f"{name}: {format_exact(value)} {unit}, {share}{f', {words}' if words else ''}",
        kind=kind,
        mark=_MARKS[kind],
    )


# --- the waterfall ---


# More steps than this no longer fit on a screen; the smallest are drawn as one.
_MOST_STEPS = 12
# Two charts next to each other have room for the numbers of so many ticks.
_AXIS_TICKS = 3
_WATERFALL_METRICS = (("params", "Parameters"), ("flops", "FLOPs"))


def view_waterfalls(report: Report) -> tuple[Waterfall, ...]:
    """One for params and one for FLOPs; none without groups, and none where nothing changed or the change is unknown."""
    if not report.groups:
        return ()
    return tuple(
        _view_waterfall(report, metric, label)
        for metric, label in _WATERFALL_METRICS
        if getattr(report.delta, metric)
        and not any(is_unknown(profile, metric) for profile in (report.before, report.after))
        and all(METRICS[metric].is_complete(profile) for profile in (report.before, report.after))
    )


def _view_waterfall(report: Report, metric: str, label: str) -> Waterfall:
    before, after = int(getattr(report.before.totals, metric)), int(getattr(report.after.totals, metric))
    parts = _gather(report.groups, metric)
    levels = list(accumulate((delta for _, delta in parts), initial=before))
    axis = make_axis([*levels, after], ticks=_AXIS_TICKS)
    steps = [_draw_whole("before", before, axis)]
    for (name, delta), low in zip(parts, levels, strict=False):
        steps.append(
            Step(
                label=name,
                value=make_delta(delta),
                note=f"{format_change(before, before + delta)} of the total",
                kind="fewer" if delta < 0 else "more",
                start=_percent(axis, low),
                end=_percent(axis, low + delta),
            )
        )
    steps.append(_draw_whole("after", after, axis))
    return Waterfall(
        label=label,
        steps=tuple(steps),
        ticks=axis.ticks,
        starts_at=axis.starts_at,
        note="" if report.flops_complete else INCOMPLETE_NOTE,
    )


def _gather(groups: Iterable[Group], metric: str) -> list[tuple[str, int]]:
    """The groups that change the total, in order; of too many the smallest are one step at the end."""
    parts = [(make_visible(group.name), int(getattr(group.delta, metric))) for group in groups if getattr(group.delta, metric)]
    if len(parts) <= _MOST_STEPS:
        return parts
    kept = set(sorted(range(len(parts)), key=lambda place: -abs(parts[place][1]))[: _MOST_STEPS - 1])
    rest = [delta for place, (_, delta) in enumerate(parts) if place not in kept]
    return [*(part for place, part in enumerate(parts) if place in kept), (f"{len(rest):,} smaller groups", sum(rest))]


def _draw_whole(label: str, value: int, axis: Axis) -> Step:
    return Step(label=label, value=make_figure(value), note="", kind="whole", start=0.0, end=_percent(axis, value))


def _percent(axis: Axis, value: int) -> float:
    return round(100 * axis.place(value), 2)
