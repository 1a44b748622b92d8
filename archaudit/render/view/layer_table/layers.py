"""The layer table: every module of both sides in one row each, aligned, with the witnesses' counts beside ours.

A row's figures include everything below the module, as a reader of a tree expects and as the witnesses count; what a container costs
itself is said in its note, so nothing is lost between the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from archaudit.render.formatting import ARROW, NOTHING, format_outputs, make_visible, name_path
from archaudit.render.view.figures import Figure
from archaudit.render.view.layer_table.columns import ALONE, BOTH, Column, Pair, fill_columns, make_columns, sum_columns
from archaudit.render.view.layer_table.folding import Item, fold_rows
from archaudit.render.view.layer_table.notes import Notes, describe_own
from archaudit.render.view.layer_table.tree import fold_repeats, view_tree
from archaudit.render.view.layer_table.wrappers import Wrappers
from archaudit.render.view.records import LayerRow, LayerTable
from archaudit.schema import Cost, ModuleDiff, Profile, Report

_PROFILE_CAPTION = "Each row includes its submodules. FLOPs = 2 × MACs; ≥ marks a lower bound, where an operator has no FLOP formula."
_CAPTION = f"{_PROFILE_CAPTION} Marks: + added, - removed, ~ changed, Δ not changed itself, but its cost differs."
_WRAPPER_CAPTION = " An added or removed wrapper is compared with the cost of the modules inside it on the other side."
_NOTHING = Cost()
_COST_CHANGES: dict[object, str] = {
    "calls": "called with other shapes, or another number of times",
    "operators": "its own operators have another cost",
}
_MARKS = {"added": "+", "removed": "-", "changed": "~", "cost": "Δ", "": ""}


class _Scale(NamedTuple):
    """What weights of rows are measured against."""

    params: int
    flops: int

    def weigh(self, cost: Cost) -> float:
        """How much of the models' params and FLOPs a cost or a difference comes to, together."""
        return abs(cost.params) / max(1, self.params) + abs(cost.flops) / max(1, self.flops)


def view_layers(report: Report) -> LayerTable:
    """The table of a report."""
    before = {module.path: module for module in report.before.modules}
    after = {module.path: module for module in report.after.modules}
    columns = make_columns((report.before, report.after))
    parents = (_find_containers(before), _find_containers(after))
    notes, around = Notes(report.modules, before, after), Wrappers(report.modules, before, after)
    items = []
    scale = _Scale(max(report.before.totals.params, report.after.totals.params), max(report.before.totals.flops, report.after.totals.flops))
    for diff in report.modules:
        pair = (
            None if diff.before_path is None else before[diff.before_path],
            None if diff.after_path is None else after[diff.after_path],
        )
        is_container = diff.before_path in parents[0] or diff.after_path in parents[1]
        counted = around.complete(diff, pair)
        weight = scale.weigh(diff.total_delta if counted is pair else _subtract(counted)) + (diff.changes != ("same",)) / 1e3
        note = "; ".join(filter(None, (*around.describe(diff), notes.write(diff, pair, is_container=is_container))))
        figures = fill_columns(columns, counted)
        items.append(_view_module(diff, (pair, counted), figures, note, weight))
    items = _arrange_wrapped(items, {path: place for place, path in enumerate(after)})
    changed = sum(item.row.kind in ("added", "removed", "changed") for item in items)
    return LayerTable(
        caption=_CAPTION + (_WRAPPER_CAPTION if around.any else ""),
        sides=BOTH,
        groups=tuple(column.group for column in columns),
        tree=view_tree(items, lambda pairs: sum_columns(columns, pairs, inclusive=True), compared=True),
        brief=fold_rows(fold_repeats(items), lambda pairs: sum_columns(columns, pairs)),
        widths=_measure_columns(columns, items),
        summary=f"{len(items):,} modules, {changed:,} of them changed" if changed else f"{len(items):,} modules, none changed",
    )


def view_profile_layers(profile: Profile) -> LayerTable:
    """The table of a single profile."""
    columns = make_columns((profile,))
    containers = _find_containers(module.path for module in profile.modules)
    items = []
    scale = _Scale(profile.totals.params, profile.totals.flops)
    for module in profile.modules:
        pair = (module, None)
        note = "; ".join(describe_own(pair)) if module.path in containers else ""
        row = LayerRow(
            **_describe_module(pair),
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
    """The items, those in a container that is new in the order of the after side, which alone knows it; rows come in that of the before
    side, where what the container was put around stood between others."""
    new = {item.pair[1].path for item in items if item.pair[0] is None and item.pair[1] is not None}
    inside: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for position, item in enumerate(items):
        module = item.pair[1]
        if module is not None and module.path and (parent := module.path.rpartition(".")[0]) in new:
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


def _find_containers(paths: Iterable[str]) -> frozenset[str]:
    return frozenset(path.rpartition(".")[0] for path in paths if path)


def _subtract(pair: Pair) -> Cost:
    before, after = (_NOTHING if module is None else module.total for module in pair)
    return after - before


def _view_module(diff: ModuleDiff, pairs: tuple[Pair, Pair], figures: tuple[Figure, ...], note: str, weight: float) -> Item:
    """The row of a pair of modules, whose figures are those of the second."""
    kind = classify(diff)
    changes = {"": "", "cost": "cost only"}.get(kind, ", ".join(diff.changes))
    row = LayerRow(
        **_describe_module(pairs[0]),
        mark=_MARKS[kind],
        kind=kind,
        changes=make_visible(changes),
        note=note,
        reason=_describe_reason(diff, kind),
        figures=figures,
        weight=weight,
    )
    quiet = kind in ("", "cost") and diff.total_delta.params == 0 and diff.total_delta.flops == 0
    return Item(row=row, pair=pairs[0], quiet=quiet, unchanged=not kind and diff.total_delta == _NOTHING, counted=pairs[1])


def classify(diff: ModuleDiff) -> str:
    """`added`, `removed` or `changed`; `cost` for the same module at another cost; empty for what is as it was."""
    if "added" in diff.changes or "removed" in diff.changes:
        return "added" if diff.before_path is None else "removed"
    if diff.changes != ("same",):
        return "changed"
    return "" if diff.own_delta == _NOTHING else "cost"


def _describe_module(pair: Pair) -> dict[str, str]:
    """What a row says of the module itself; of two, both where they differ, and the after side's name."""
    modules = [module for module in pair if module is not None]
    shapes = tuple(dict.fromkeys(format_outputs(module.calls) for module in modules))
    types = tuple(dict.fromkeys(make_visible(module.type) or NOTHING for module in modules))
    return {
        "path": name_path(modules[-1].path),
        "type": f" {ARROW} ".join(types),
        "shape": f" {ARROW} ".join(shapes),
        "shape_short": shapes[-1],
    }


def _describe_reason(diff: ModuleDiff, kind: str) -> str:
    """Why two modules are taken for one, where that is not plain; and why a module costs otherwise though it is the same."""
    if diff.before_path is None or diff.after_path is None:
        return ""
    if diff.confidence < 1 or diff.before_path != diff.after_path:
        sure = f" (confidence {diff.confidence:.2f})" if diff.confidence < 1 else ""
        return make_visible(diff.reason) + sure
    if kind != "cost":  # that its path is the same goes without saying; why it costs otherwise does not
        return ""
    causes = ", ".join(cause.text for cause in diff.flop_causes)
    return make_visible(causes) or _COST_CHANGES.get(diff.cost_change, "")
