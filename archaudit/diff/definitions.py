"""Changes of the definition rather than of costs: classes of modules that were added or removed, and how parameters are initialised."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from archaudit.index import index_modules, join_name
from archaudit.schema import ClassUse, InitialisationChange, Match, ModuleRecord, Pair, Profile


def diff_classes(before: Profile, after: Profile) -> tuple[tuple[ClassUse, ...], tuple[ClassUse, ...]]:
    """Classes of modules that only after has, then those that only before has, in the order of their first modules.

    Classes are compared by name: the same class of two revisions of a file has nothing else in common.
    """
    used_before, used_after = _list_classes(before), _list_classes(after)
    added = tuple(use for name, use in used_after.items() if name not in used_before)
    removed = tuple(use for name, use in used_before.items() if name not in used_after)
    return added, removed


def _list_classes(profile: Profile) -> dict[str, ClassUse]:
    modules: defaultdict[str, list[ModuleRecord]] = defaultdict(list)
    for module in profile.modules:
        modules[module.type].append(module)
    return {
        name: ClassUse(name=name, defined_in=records[0].defined_in, paths=tuple(record.path for record in records))
        for name, records in modules.items()
    }


def diff_initialisation(before: Profile, after: Profile, matches: Iterable[Match]) -> tuple[InitialisationChange, ...]:
    """Parameters of matched modules that are initialised by another rule; and those of added or removed modules with a rule of their own.

    A rule is the function with its arguments: its result for one shape (`= normal_(mean=0, std=0.0417)`) changes with the shape, and is not
    compared. Empty where a side was measured in a way that does not show how it is initialised.
    """
    if not all(map(_is_observed, (before, after))):
        return ()
    indexes = Pair(index_modules(before), index_modules(after))
    changes: list[InitialisationChange] = []
    for match in matches:
        changes += _compare_rules(Pair(indexes.before.get(match.before_path), indexes.after.get(match.after_path)))
    return tuple(changes)


def _is_observed(profile: Profile) -> bool:
    """Whether the construction was recorded: not for a profile saved by an earlier version, nor for a model with real weights."""
    recorded = all(module.defined_in is not None for module in profile.modules[:1])
    return recorded and (profile.provenance is None or profile.provenance.rung != "real")


def _compare_rules(modules: Pair[ModuleRecord | None]) -> list[InitialisationChange]:
    rules = modules.map(_list_rules)
    changes = []
    for name in dict.fromkeys([*rules.after, *rules.before]):
        inits = Pair(rules.before.get(name), rules.after.get(name))
        if _read_rule(inits.before) != _read_rule(inits.after):
            paths = [
                join_name(module.path, name) if module is not None and name in side else None
                for module, side in zip(modules, rules, strict=True)
            ]
            changes.append(InitialisationChange(before_path=paths[0], after_path=paths[1], before=inits.before, after=inits.after))
    return changes


def _list_rules(module: ModuleRecord | None) -> dict[str, str | None]:
    if module is None:
        return {}
    return {tensor.name: tensor.init for tensor in module.tensors if tensor.kind == "parameter" and tensor.tied_to is None}


def _read_rule(init: str | None) -> str | None:
    return None if init is None else init.partition(" = ")[0]
