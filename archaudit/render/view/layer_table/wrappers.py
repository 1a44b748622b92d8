"""Wrappers: containers that were added around existing modules, or removed from around them.

Such a container has no counterpart, but its figures include modules that have one. On the other side, the row shows the cost that these
modules have there. Otherwise a table would show wrapped modules as new, and a container's delta would not be the sum of the rows below it.
A module that was moved in from another container does not count, because the delta of that container already has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from archaudit.index import ModuleIndex, index_modules
from archaudit.render.formatting import join_names, name_path
from archaudit.render.view.layer_table.columns import ModulePair
from archaudit.schema import Cost, ModuleDiff, ModuleRecord, Pair, Report, sum_costs

_NOTHING = Cost()
_MOST_NAMED = 3
# What happened to a module that a container does not wrap but take the place of, as a separable block does with a dense convolution.
_REBUILT = frozenset({"moved", "split", "merged"})


class Wrappers:
    """The containers of either side that have no counterpart, but hold modules that have one."""

    def __init__(self, report: Report) -> None:
        self._indexes = Pair(index_modules(report.before), index_modules(report.after))
        pairs = [(row.before_path, row.after_path) for row in report.modules if row.before_path is not None and row.after_path is not None]
        partners = dict(pairs)
        origins = {other: one for one, other in pairs}
        rebuilt = [row for row in report.modules if _REBUILT.intersection(row.changes)]
        self._rebuilt = Pair({row.before_path for row in rebuilt}, {row.after_path for row in rebuilt})
        self._held = Pair(
            _find_held(self._indexes.before, self._indexes.after, partners, origins),
            _find_held(self._indexes.after, self._indexes.before, origins, partners),
        )

    @property
    def any(self) -> bool:
        """Whether there are wrappers."""
        return any(self._held)

    def complete(self, pair: ModulePair) -> ModulePair:
        """The two modules whose figures a row shows: a missing wrapper is replaced by the sum of what it holds on the other side."""
        before, after = pair
        if before is None and after is not None:
            return Pair(_make_counterpart(after.path, self._held.after.get(after.path)), after)
        if after is None and before is not None:
            return Pair(before, _make_counterpart(before.path, self._held.before.get(before.path)))
        return pair

    def describe(self, diff: ModuleDiff) -> tuple[str, ...]:
        """`wraps conv1`, `wrapped conv1`, or `in place of conv1`, `replaced by conv1`; empty for other modules."""
        if diff.before_path is None and diff.after_path is not None:
            topmost = _list_topmost(self._held.after.get(diff.after_path, ()), self._indexes.before)
            verb = "wraps" if self._rebuilt.before.isdisjoint(topmost) else "in place of"
        elif diff.after_path is None and diff.before_path is not None:
            topmost = _list_topmost(self._held.before.get(diff.before_path, ()), self._indexes.after)
            verb = "wrapped" if self._rebuilt.after.isdisjoint(topmost) else "replaced by"
        else:
            topmost = []
        return (f"{verb} {join_names([name_path(path) for path in topmost], _MOST_NAMED)}",) if topmost else ()


def _list_topmost(held: Sequence[ModuleRecord], index: ModuleIndex) -> list[str]:
    inside = {module.path for module in held}
    return [module.path for module in held if index.parents[module.path] not in inside]


def _make_counterpart(path: str, held: Sequence[ModuleRecord] | None) -> ModuleRecord | None:
    """A stand-in for a missing wrapper, with the total cost of the modules that it would hold; None for none."""
    if not held:
        return None
    total = sum_costs(module.own for module in held)
    # A real path never ends with a dot, so no lookup by path finds this one.
    return ModuleRecord(
        path=f"{path}.",
        type="",
        own=_NOTHING,
        total=total,
        flops_complete=all(each.flops_complete for each in held),
        params_complete=all(each.params_complete for each in held),
    )


def _find_held(
    index: ModuleIndex, others: ModuleIndex, partners: Mapping[str, str], origins: Mapping[str, str]
) -> dict[str, list[ModuleRecord]]:
    """For each container of `index` without a partner: the modules of the other side whose partners it holds.

    `partners` maps paths of `index` to paths of `others`, `origins` the reverse.
    """
    held: defaultdict[str, list[ModuleRecord]] = defaultdict(list)
    if len(partners) == len(index):
        return held
    homes, other_homes = _find_matched_ancestors(index, partners), _find_matched_ancestors(others, origins)
    wrappers_above: dict[str, tuple[str, ...]] = {}  # by module with a partner: all wrappers that it counts for
    unmatched: dict[str, tuple[str, ...]] = {}  # by module without a partner: it and the ones between it and the nearest with a partner
    for module in index:
        path, parent = module.path, index.parents[module.path]
        between = unmatched.get(parent, ()) if parent is not None else ()
        if path not in partners:
            unmatched[path] = (*between, path)
            continue
        home = homes[path]
        stayed = (None if home is None else partners[home]) == other_homes[partners[path]]
        wrappers_above[path] = (*(wrappers_above.get(home, ()) if home is not None else ()), *between) if stayed else ()
        for container in wrappers_above[path]:
            held[container].append(others.modules[partners[path]])
    return held


def _find_matched_ancestors(index: ModuleIndex, partners: Mapping[str, str]) -> dict[str, str | None]:
    """For each module the nearest one above it that has a partner. Parents come first, so each needs one lookup, however deep it is."""
    found: dict[str, str | None] = {}
    for path, parent in index.parents.items():
        found[path] = parent if parent is None or parent in partners else found[parent]
    return found
