"""The layer table: one row for each module of both sides, matched, with the numbers of other counters.

A row's figures include the submodules, as other counters' figures do. A container's own cost is in its note.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from archaudit.index import index_modules, parent_path
from archaudit.metrics.catalog import is_unknown
from archaudit.render.formatting import ARROW, NOTHING, format_outputs, make_visible, name_path
from archaudit.render.view.figures import Figure
from archaudit.render.view.layer_table.columns import ALONE, BOTH, Column, ModulePair, fill_columns, make_columns, sum_columns
from archaudit.render.view.layer_table.folding import Item, fold_rows
from archaudit.render.view.layer_table.notes import Note, Notes, describe_own
from archaudit.render.view.layer_table.tree import fold_repeats, view_tree
from archaudit.render.view.layer_table.wrappers import Wrappers
from archaudit.render.view.records import LayerRow, LayerTable
from archaudit.render.view.screen_records import Units
from archaudit.schema import Cost, ModuleDiff, Pair, Profile, Report

_PROFILE_CAPTION = "Each row includes its submodules. FLOPs = 2 × MACs; ≥ marks a lower bound, where an operator has no FLOP formula."
_CAPTION = f"{_PROFILE_CAPTION} Marks: + added, - removed, ~ changed, Δ not changed itself, but its cost differs."
_WRAPPER_CAPTION = " An added or removed wrapper is compared with the cost of the modules inside it on the other side."
_NOTHING = Cost()
# The texts of ModuleDiff.cost_change.
_COST_CHANGES: dict[object, str] = {
    "calls": "called with other input shapes, or a different number of times",
    "operators": "its own operators have another cost",
}
MARKS = {"added": "+", "removed": "-", "changed": "~", "cost": "Δ", "": ""}


class _Scale(NamedTuple):
    """The larger model's params and FLOPs, to which the weight of a row relates."""

    params: int
    flops: int

    def weigh(self, cost: Cost) -> float:
        """A cost, or a difference of costs, as a share of the params plus as a share of the FLOPs."""
        return abs(cost.params) / max(1, self.params) + abs(cost.flops) / max(1, self.flops)


def view_layers(report: Report, units: Units = "flops") -> LayerTable:
    """The table of a report."""
    indexes = Pair(index_modules(report.before), index_modules(report.after))
    columns = make_columns((report.before, report.after), units)
    notes, wrappers = Notes(report), Wrappers(report)
    items = []
    scale = _Scale(max(report.before.totals.params, report.after.totals.params), max(report.before.totals.flops, report.after.totals.flops))
    for diff in report.modules:
        pair = Pair(indexes.before.get(diff.before_path), indexes.after.get(diff.after_path))
        is_container = any(module is not None and not index.is_leaf(module.path) for index, module in zip(indexes, pair, strict=True))
        counted = wrappers.complete(pair)
        weight = scale.weigh(diff.total_delta if counted is pair else _subtract(counted)) + (diff.changes != ("same",)) / 1e3
        note = notes.write(diff, pair, is_container=is_container)
        note = note._replace(text="; ".join(filter(None, (*wrappers.describe(diff), note.text))))
        figures = fill_columns(columns, counted)
        items.append(_view_module(diff, (pair, counted), figures, note, weight))
    items = _arrange_wrapped(items, {path: place for place, path in enumerate(indexes.after.modules)})
    changed = sum(item.row.kind in ("added", "removed", "changed") for item in items)
    return LayerTable(
        caption=_CAPTION + (_WRAPPER_CAPTION if wrappers.any else ""),
        sides=BOTH,
        groups=tuple(column.group for column in columns),
        tree=view_tree(items, lambda pairs: sum_columns(columns, pairs, inclusive=True), compared=True),
        brief=fold_rows(fold_repeats(items), lambda pairs: sum_columns(columns, pairs)),
        widths=_measure_columns(columns, items),
        summary=f"{len(items):,} modules, {changed:,} of them changed" if changed else f"{len(items):,} modules, none changed",
    )


def view_profile_layers(profile: Profile, units: Units = "flops") -> LayerTable:
    """The table of a single profile."""
    columns = make_columns((profile,), units)
    index = index_modules(profile)
    items = []
    scale = _Scale(profile.totals.params, profile.totals.flops)
    ran = not is_unknown(profile, "flops")
    for module in profile.modules:
        pair: ModulePair = Pair(module, None)
        note = "; ".join(describe_own(pair)) if not index.is_leaf(module.path) else ""
        row = LayerRow(
            **(_describe_module(pair) | ({} if ran else {"shape": NOTHING, "shape_short": NOTHING})),
            mark="",
            kind="",
            changes="",
            note=note,
            reason="",
            figures=fill_columns(columns, pair),
            weight=scale.weigh(module.total),
        )
        items.append(Item(row=row, pair=pair, quiet=False, unchanged=True, counted=pair))
    return LayerTable(
        caption=_PROFILE_CAPTION,
        sides=ALONE,
        groups=tuple(column.group for column in columns),
        tree=view_tree(items, lambda pairs: sum_columns(columns, pairs, inclusive=True), compared=False),
        brief=fold_rows(fold_repeats(items), lambda pairs: sum_columns(columns, pairs)),
        widths=_measure_columns(columns, items),
        summary=f"{len(items):,} modules",
    )


def _arrange_wrapped(items: Sequence[Item], places: dict[str, int]) -> list[Item]:
    """The items, with the children of each new container in the order of the after side.

    Rows come in the order of the before side, which does not have that container.
    """
    new = {item.pair.after.path for item in items if item.pair.before is None and item.pair.after is not None}
    inside: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for position, item in enumerate(items):
        module = item.pair.after
        if module is not None and module.path and (parent := parent_path(module.path)) in new:
            inside[parent].append((places[module.path], position))
    arranged = list(items)
    for siblings in inside.values():
        for target, (_, position) in zip(sorted(position for _, position in siblings), sorted(siblings), strict=True):
            arranged[target] = items[position]
    return arranged


def _measure_columns(columns: Sequence[Column], items: Sequence[Item]) -> tuple[int, ...]:
    """The longest text in each column of figures, as the page shows it."""
    exact = [column.group.exact for column in columns for _ in column.group.columns]
    # a heading over several columns has their width together, and breaks between its words
    words = [max(map(len, heading.split() or column.group.label.split())) for column in columns for heading in column.group.columns]
    return tuple(
        max(words[place], max((len(getattr(item.row.figures[place], form)) for item in items), default=0))
        for place, form in enumerate("exact" if each else "short" for each in exact)
    )


def _subtract(pair: ModulePair) -> Cost:
    totals = pair.map(lambda module: _NOTHING if module is None else module.total)
    return totals.after - totals.before


def _view_module(diff: ModuleDiff, pairs: tuple[ModulePair, ModulePair], figures: tuple[Figure, ...], note: Note, weight: float) -> Item:
    """The row of a pair of modules; its figures are those of the second pair (see Item.counted)."""
    kind = classify(diff)
    changes = {"": "", "cost": "cost only"}.get(kind, ", ".join(diff.changes))
    row = LayerRow(
        **_describe_module(pairs[0]),
        mark=MARKS[kind],
        kind=kind,
        changes=make_visible(changes),
        note=note.text,
        unexplained=note.missing if kind == "changed" else (),
        reason=_describe_reason(diff, kind),
        figures=figures,
        weight=weight,
    )
    quiet = kind in ("", "cost") and diff.total_delta.params == 0 and diff.total_delta.flops == 0
    return Item(row=row, pair=pairs[0], quiet=quiet, unchanged=not kind and diff.total_delta == _NOTHING, counted=pairs[1])


def classify(diff: ModuleDiff) -> str:
    """`added`, `removed` or `changed`; `cost` for an unchanged module whose own cost differs; empty for an unchanged one."""
    if "added" in diff.changes or "removed" in diff.changes:
        return "added" if diff.before_path is None else "removed"
    if diff.changes != ("same",):
        return "changed"
    return "" if diff.own_delta == _NOTHING else "cost"


def _describe_module(pair: ModulePair) -> dict[str, Any]:
    """The path, type and output shape of a row; types and shapes of both sides where they differ."""
    modules = [module for module in pair if module is not None]
    shapes = tuple(dict.fromkeys(format_outputs(module) for module in modules))
    types = tuple(dict.fromkeys(make_visible(module.type) or NOTHING for module in modules))
    return {
        "path": name_path(modules[-1].path),
        "type": f" {ARROW} ".join(types),
        "shape": f" {ARROW} ".join(shapes),
        "shape_short": shapes[-1],
    }


def _describe_reason(diff: ModuleDiff, kind: str) -> str:
    """Why two modules are matched, if their paths differ; why the cost of an unchanged module differs."""
    if diff.before_path is None or diff.after_path is None:
        return ""
    if diff.confidence < 1 or diff.before_path != diff.after_path:
        sure = f" (confidence {diff.confidence:.2f})" if diff.confidence < 1 else ""
        return make_visible(diff.reason) + sure
    if kind != "cost":
        return ""
    causes = ", ".join(cause.text for cause in diff.flop_causes)
    return make_visible(causes) or _COST_CHANGES.get(diff.cost_change, "")
