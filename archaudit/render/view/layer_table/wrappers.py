"""Containers that were put around modules, or taken from around them: what they hold was there on the other side too.

Such a container has no counterpart, but its figures include modules that have one. What those cost on the other side is what it stands
for there: else a table would show what was only wrapped as new, and a container's delta would not be the sum of the rows below it. What
was moved in from another container is left out, since that one's own delta says that it lost it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from archaudit.render.formatting import join_names, name_path
from archaudit.render.view.layer_table.columns import Pair
from archaudit.schema import Cost, ModuleDiff, ModuleRecord, sum_costs

_NOTHING = Cost()
_MOST_NAMED = 3

_Modules = Mapping[str, ModuleRecord]


class Wrappers:
    """The containers of either side that have no counterpart themselves but hold what has one."""

    def __init__(self, rows: Sequence[ModuleDiff], before: _Modules, after: _Modules) -> None:
        pairs = [(row.before_path, row.after_path) for row in rows if row.before_path is not None and row.after_path is not None]
        there = dict(pairs)
        back = {other: one for one, other in pairs}
        self._held = _find_held(before, after, there, back), _find_held(after, before, back, there)

    @property
    def any(self) -> bool:
        """Whether there are such containers."""
        return any(self._held)

    def complete(self, diff: ModuleDiff, pair: Pair) -> Pair:
        """The two modules that a row's figures are of: on a side that lacks such a container, what was or will be in it."""
        before, after = pair
        if before is None and after is not None:
            return _make_counterpart(after.path, self._held[1].get(after.path)), after
        if after is None and before is not None:
            return before, _make_counterpart(before.path, self._held[0].get(before.path))
        return pair

    def describe(self, diff: ModuleDiff) -> tuple[str, ...]:
        """`wraps conv1`, `wrapped conv1`."""
        for side, path, verb in ((1, diff.after_path, "wraps"), (0, diff.before_path, "wrapped")):
            other = (diff.before_path, diff.after_path)[1 - side]
            held = self._held[side].get(path, []) if path is not None and other is None else []
            if held:
                inside = {module.path for module in held}
                topmost = [name_path(module.path) for module in held if module.path.rpartition(".")[0] not in inside]
                return (f"{verb} {join_names(topmost, _MOST_NAMED)}",)
        return ()


def _make_counterpart(path: str, held: Sequence[ModuleRecord] | None) -> ModuleRecord | None:
    """A module that is not there and costs in all what these do; None for none."""
    if not held:
        return None
    total = sum_costs(module.own for module in held)
    # No module's path ends with a dot, so nothing that is known of paths is known of this.
    return ModuleRecord(path=f"{path}.", type="", own=_NOTHING, total=total, flops_complete=all(each.flops_complete for each in held))


def _find_held(side: _Modules, others: _Modules, partners: Mapping[str, str], back: Mapping[str, str]) -> dict[str, list[ModuleRecord]]:
    """For each container of one side that has no counterpart: the modules of the other side that became what it holds."""
    held: defaultdict[str, list[ModuleRecord]] = defaultdict(list)
    if len(partners) == len(side):
        return held
    outer = _find_matched_above(others, back)
    inner = _find_matched_above(side, partners)
    above: dict[str, tuple[str, ...]] = {}  # by module, the containers that it is told of
    alone: dict[str, tuple[str, ...]] = {}  # by module without a counterpart, those between it and the nearest that has one, and itself
    for path in side:
        parent = path.rpartition(".")[0]
        between = alone.get(parent, ()) if path else ()
        if path not in partners:
            alone[path] = (*between, path)
            continue
        home, was_home = inner.get(path), outer.get(partners[path])
        stayed = (None if home is None else partners[home]) == was_home
        above[path] = (*(above.get(home, ()) if home is not None else ()), *between) if stayed else ()
        for container in above[path]:
            held[container].append(others[partners[path]])
    return held


def _find_matched_above(side: _Modules, partners: Mapping[str, str]) -> dict[str, str]:
    """For each module the nearest above it that has a counterpart."""
    found: dict[str, str] = {}
    for path in side:
        parent = path.rpartition(".")[0]
        if path and parent in partners:
            found[path] = parent
        elif path and parent in found:
            found[path] = found[parent]
    return found
