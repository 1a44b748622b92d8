"""The rows of matched modules: all kinds of change of each, and what they cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Literal

import msgspec
from msgspec import UNSET

from archaudit.diff.causes import explain_change, explain_flops
from archaudit.diff.connections import Ties, compare_ties
from archaudit.index import ModuleIndex, index_modules
from archaudit.schema import Cost, ForwardChange, InputChange, Match, ModuleDiff, ModuleRecord, Pair, Profile, Setting

# In the order in which a row lists them. Those that follow from the module trees (renamed to repeated) come with the match.
KINDS = (
    "removed", "added", "replaced", "settings", "resized", "dtype", "tied", "untied", "frozen", "unfrozen", "renamed", "moved", "wrapped",
    "unwrapped", "split", "merged", "reordered", "repeated", "uncalled", "called", "rewired",
    "forward",
)  # fmt: skip

_NOTHING = Cost()


def diff_rows(
    before: Profile,
    after: Profile,
    matches: tuple[Match, ...],
    rewired: Mapping[str, InputChange],
    forward: Mapping[str, tuple[ForwardChange, ...]] | None,
) -> tuple[ModuleDiff, ...]:
    """A row for each match. By their paths after: `rewired` has the modules that take inputs from other modules now, `forward` the changes
    of what modules run, where that is recorded: then a module is reordered only if data flows otherwise."""
    indexes = Pair(index_modules(before), index_modules(after))
    divided = _list_divided(matches, indexes)
    names = {match.before_path: match.after_path for match in matches if match.before_path is not None and match.after_path is not None}
    ties = Pair(Ties(before, names), Ties(after, {path: path for path in names.values()}))
    rows = []
    for match in matches:
        one, other = indexes.before.get(match.before_path), indexes.after.get(match.after_path)
        if one is None or other is None:
            rows.append(_write_single(match, one, other))
            continue
        modules = Pair(one, other)
        tied, untied = compare_ties(modules, ties)
        calls = _compare_calls(modules, indexes, names)
        if calls or (forward is not None and other.path not in rewired):
            match = msgspec.structs.replace(match, changes=tuple(kind for kind in match.changes if kind != "reordered"))
        found = {
            "rewired": other.path in rewired,
            "forward": _has_own_changes((forward or {}).get(other.path, ())),
            "tied": tied,
            "untied": untied,
        }
        row = _write_pair(match, modules, {*(kind for kind, present in found.items() if present), *calls})
        if other.path in rewired:
            row = msgspec.structs.replace(row, inputs_changed=rewired[other.path])
        if forward is not None and other.path in forward:
            row = msgspec.structs.replace(row, forward_changes=forward[other.path])
        parts = divided.get(match.change_id) if match.change_id is not None else Pair([one], [other])
        rows.append(_explain(row, parts) if parts and row.own_delta != _NOTHING else row)
    return tuple(rows)


def _compare_calls(modules: Pair[ModuleRecord], indexes: Pair[ModuleIndex], names: Mapping[str, str]) -> tuple[str, ...]:
    """`uncalled` for a module that is no longer called, or `called`; empty if a module above it changed so, or its children are called."""
    if bool(modules.before.calls) == bool(modules.after.calls):
        return ()
    side = 0 if modules.before.calls else 1
    one, other = (modules.before, modules.after) if side == 0 else (modules.after, modules.before)
    if any(record.calls for record in indexes[1 - side].list_subtree(other.path)):
        return ()
    partners = names if side == 0 else {after: before for before, after in names.items()}
    above = next((path for path in indexes[side].walk_up(one.path) if indexes[side][path].calls), None)
    if above is not None and (partner := partners.get(above)) is not None and not indexes[1 - side][partner].calls:
        return ()
    return ("uncalled",) if side == 0 else ("called",)


def _has_own_changes(changes: tuple[ForwardChange, ...]) -> bool:
    """Whether a module changed itself: that it calls another one otherwise is a change of that one."""
    return any(change.kind != "call" for change in changes)


def _explain(row: ModuleDiff, parts: Pair[list[ModuleRecord]]) -> ModuleDiff:
    return msgspec.structs.replace(row, causes=explain_change(*parts), flop_causes=explain_flops(*parts))


def _list_divided(matches: tuple[Match, ...], indexes: Pair[ModuleIndex]) -> dict[int, Pair[list[ModuleRecord]]]:
    """The modules before and after of each split or merge, each side in the order of execution."""
    divided: defaultdict[int, Pair[list[ModuleRecord]]] = defaultdict(lambda: Pair([], []))
    for match in matches:
        if match.change_id is not None:
            for side, module in enumerate((indexes.before.get(match.before_path), indexes.after.get(match.after_path))):
                if module is not None:
                    divided[match.change_id][side].append(module)
    for modules in (side for sides in divided.values() for side in sides):
        modules.sort(key=lambda module: min((call.order for call in module.calls), default=0))
    return dict(divided)


def _write_single(match: Match, before: ModuleRecord | None, after: ModuleRecord | None) -> ModuleDiff:
    return ModuleDiff(
        before_path=match.before_path,
        after_path=match.after_path,
        changes=sort_kinds({"added" if before is None else "removed", *match.changes}),
        change_id=match.change_id,
        confidence=match.confidence,
        reason=match.reason,
        own_delta=_subtract(before.own if before else _NOTHING, after.own if after else _NOTHING),
        total_delta=_subtract(before.total if before else _NOTHING, after.total if after else _NOTHING),
    )


def _write_pair(match: Match, modules: Pair[ModuleRecord], connections: Collection[str]) -> ModuleDiff:
    before, after = modules
    own_delta = _subtract(before.own, after.own)
    settings = _compare_settings(before, after)
    found = {*match.changes, *_list_kinds(before, after, settings), *connections}
    reason, cost_change = match.reason, _find_cost_change(before, after) if not found and own_delta != _NOTHING else UNSET
    if cost_change is not UNSET:
        reason += "; " + _COST_CHANGES[cost_change]
    return ModuleDiff(
        before_path=match.before_path,
        after_path=match.after_path,
        changes=sort_kinds(found) or ("same",),
        change_id=match.change_id,
        confidence=match.confidence,
        reason=reason,
        settings_changed=settings,
        own_delta=own_delta,
        total_delta=_subtract(before.total, after.total),
        repeats=match.repeats or UNSET,
        cost_change=cost_change,
    )


_COST_CHANGES = {
    "calls": "called with other shapes, or another number of times",
    "operators": "its own operators have another cost",
}


def _find_cost_change(before: ModuleRecord, after: ModuleRecord) -> Literal["calls", "operators"]:
    return "calls" if [call.inputs for call in before.calls] != [call.inputs for call in after.calls] else "operators"


def sort_kinds(kinds: Collection[str]) -> tuple[str, ...]:
    """Kinds of change in the order of KINDS."""
    return tuple(kind for kind in KINDS if kind in kinds)


def _subtract(before: Cost, after: Cost) -> Cost:
    # Most rows are unchanged, and a comparison is far cheaper than a new record.
    return _NOTHING if before == after else after - before


def _compare_settings(before: ModuleRecord, after: ModuleRecord) -> dict[str, tuple[Setting, Setting]]:
    """Settings that differ; one that a side lacks is None there. Of two types, only settings that both have are compared."""
    if before.settings == after.settings and before.type == after.type:
        return {}
    if before.type == after.type:
        names = sorted(before.settings.keys() | after.settings.keys())
    else:
        names = sorted(before.settings.keys() & after.settings.keys())
    pairs = {name: (before.settings.get(name), after.settings.get(name)) for name in names}

    def is_known(one: Setting, other: Setting) -> bool:
        """Whether a setting is the name of the class, or the number of parameters: models keep them for their summaries."""
        if isinstance(one, str) and isinstance(other, str):
            return (one.rpartition(".")[2], other.rpartition(".")[2]) == (before.type, after.type)
        return (one, other) == (before.total.params, after.total.params) and before.total.params != after.total.params

    # Compared as text too: a NaN is not equal to itself.
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1] and repr(pair[0]) != repr(pair[1]) and not is_known(*pair)}


def _list_kinds(before: ModuleRecord, after: ModuleRecord, settings: dict[str, tuple[Setting, Setting]]) -> list[str]:
    """The kinds of change that follow from the two records alone."""
    replaced = before.type != after.type
    if not replaced and before.tensors == after.tensors:
        return ["settings"] if settings else []
    held_before = {(tensor.kind, tensor.name): tensor for tensor in before.tensors}
    held_after = {(tensor.kind, tensor.name): tensor for tensor in after.tensors}
    kept = [(tensor, held_after[key]) for key, tensor in held_before.items() if key in held_after]
    # Another type has other tensors anyway, so only those of the same name can be resized.
    resized = any(one.shape != other.shape for one, other in kept) or (not replaced and held_before.keys() != held_after.keys())
    found = {
        "replaced": replaced,
        "settings": bool(settings),
        "resized": resized,
        "dtype": any(one.dtype != other.dtype for one, other in kept),
        "frozen": any(one.trainable and not other.trainable for one, other in kept if one.kind == "parameter"),
        "unfrozen": any(other.trainable and not one.trainable for one, other in kept if one.kind == "parameter"),
    }
    return [kind for kind, present in found.items() if present]
