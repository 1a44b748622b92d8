"""The modules that changed, largest change first: equal changes of several blocks are one row."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from archaudit.index import ModuleIndex, index_modules, parent_path
from archaudit.render.formatting import ARROW, make_visible, name_path
from archaudit.render.view.figures import make_trend
from archaudit.render.view.layer_table.folding import make_relative
from archaudit.render.view.layer_table.layers import MARKS, classify
from archaudit.render.view.layer_table.notes import Notes
from archaudit.render.view.screen_records import ScreenChange, Units, read_compute
from archaudit.schema import Cost, ModuleRecord, Pair, Report

_NOTHING = Cost()
# A change without a cost, such as another dropout rate, comes before modules that only cost something else.
_LEAST_WEIGHT = 1e-6
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


class _Change(NamedTuple):
    """A module that changed, with its costs before and after: its own, or with its submodules if it was added or removed."""

    path: str
    kind: str
    type: str
    note: str
    costs: Pair[Cost]
    complete: tuple[bool, bool]
    is_tied: bool = False


def list_largest(report: Report, units: Units) -> list[ScreenChange]:
    """A row for each change, in the order of the model. A module that was added or removed represents everything inside it."""
    scale = Pair(report.before, report.after).map(lambda profile: profile.totals)
    alike: defaultdict[tuple[object, ...], list[_Change]] = defaultdict(list)
    for change in _list_changes(report):
        note = make_relative(change.note, change.path)
        alike[(_NUMBER.sub("*", change.path), change.kind, change.type, note, change.costs)].append(change)
    return [_make_row(changes, scale, units) for changes in alike.values()]


def _make_row(changes: list[_Change], scale: Pair[Cost], units: Units) -> ScreenChange:
    first, number = changes[0], len(changes)
    params = first.costs.map(lambda cost: number * cost.params)
    flops = first.costs.map(lambda cost: number * cost.flops)
    weight = abs(params.after - params.before) / max(1, scale.before.params, scale.after.params)
    weight += abs(flops.after - flops.before) / max(1, scale.before.flops, scale.after.flops)
    trend = make_trend(*params)
    if first.is_tied and not params.after:  # another module owns its weights now
        trend = msgspec.structs.replace(trend, percent="tied", ratio="tied")
    return ScreenChange(
        name=f"{MARKS[first.kind]} {_name(changes)}",
        params=trend,
        compute=make_trend(*flops.map(lambda value: read_compute(value, units)), complete=first.complete),
        detail="; ".join(filter(None, (first.type, first.note))),
        kind=first.kind,
        weight=weight + (_LEAST_WEIGHT if first.kind != "cost" else 0),
    )


def _name(changes: list[_Change]) -> str:
    """The path; `blocks.*.mlp ×12` for several blocks."""
    first = changes[0].path
    return name_path(first) if len(changes) == 1 else f"{make_visible(_NUMBER.sub('*', first))} ×{len(changes):,}"


def _list_changes(report: Report) -> Iterator[_Change]:
    indexes = Pair(index_modules(report.before), index_modules(report.after))
    whole = _find_whole(report, indexes)
    notes = Notes(report)
    for diff in report.modules:
        kind = classify(diff)
        pair = Pair(indexes.before.get(diff.before_path), indexes.after.get(diff.after_path))
        module = pair.after or pair.before
        if not kind or module is None:
            continue
        own = whole.after if pair.before is None else whole.before if pair.after is None else frozenset()
        if module.path and parent_path(module.path) in own:
            continue
        is_whole = module.path in own
        if kind == "cost" and _read_shown(pair.before) == _read_shown(pair.after):
            continue  # it differs in a metric that has no column here
        if kind in ("added", "removed") and not is_whole and module.own == _NOTHING:
            continue  # a container of modules that both sides have, and of others that have rows of their own
        is_container = any(each is not None and not index.is_leaf(each.path) for index, each in zip(indexes, pair, strict=True))
        yield _Change(
            module.path,
            kind,
            f" {ARROW} ".join(dict.fromkeys(make_visible(each.type) for each in pair if each is not None)),
            "" if is_whole else notes.write(diff, pair, is_container=is_container).text,
            Pair(_read_cost(pair.before, whole=is_whole), _read_cost(pair.after, whole=is_whole)),
            (_is_complete(pair.before), _is_complete(pair.after)),
            "tied" in diff.changes,
        )


def _find_whole(report: Report, indexes: Pair[ModuleIndex]) -> Pair[frozenset[str]]:
    """The modules of each side that were removed or added with everything inside them, unlike a wrapper of modules that both sides have."""
    found = []
    for index, paths, others in (
        (indexes.before, [row.before_path for row in report.modules], [row.after_path for row in report.modules]),
        (indexes.after, [row.after_path for row in report.modules], [row.before_path for row in report.modules]),
    ):
        alone = {path for path, other in zip(paths, others, strict=True) if path is not None and other is None}
        kept = {path for path, other in zip(paths, others, strict=True) if path is not None and other is not None}
        found.append(frozenset(alone - {above for path in kept for above in index.walk_up(path)}))
    return Pair(*found)


def _read_cost(module: ModuleRecord | None, *, whole: bool) -> Cost:
    return _NOTHING if module is None else module.total if whole else module.own


def _read_shown(module: ModuleRecord | None) -> tuple[int, int]:
    cost = _read_cost(module, whole=False)
    return cost.params, cost.flops


def _is_complete(module: ModuleRecord | None) -> bool:
    return module is None or module.flops_complete
