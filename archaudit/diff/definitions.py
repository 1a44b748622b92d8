"""What changed in how models are defined, rather than in what they cost: classes new or gone, and how parameters are initialised."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from archaudit.schema import ClassUse, InitialisationChange, Match, ModuleRecord, Profile


def diff_classes(before: Profile, after: Profile) -> tuple[tuple[ClassUse, ...], tuple[ClassUse, ...]]:
    """Classes of modules that only after has, then those that only before has, in the order in which they first stand there.

    Classes are known by their names: the same class of two revisions of a file has nothing else in common.
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
    """Parameters of matched modules that are initialised by another rule; and those of new or gone modules that have a rule of their own.

    A rule is the function with its arguments: what it comes to for one shape (`= normal_(mean=0, std=0.0417)`) changes with the shape, and
    is not compared. Nothing is said where a side was measured in a way that does not show how it is initialised.
    """
    if not all(map(_is_observed, (before, after))):
        return ()
    sides = [{module.path: module for module in profile.modules} for profile in (before, after)]
    changes: list[InitialisationChange] = []
    for match in matches:
        one = sides[0][match.before_path] if match.before_path is not None else None
        other = sides[1][match.after_path] if match.after_path is not None else None
        changes += _compare(one, other)
    return tuple(changes)


def _is_observed(profile: Profile) -> bool:
    """Whether the construction was followed: not that of a profile saved by an earlier version, nor of a model that was run for real."""
    noted = all(module.defined_in is not None for module in profile.modules[:1])
    return noted and (profile.provenance is None or profile.provenance.rung != "real")


def _compare(before: ModuleRecord | None, after: ModuleRecord | None) -> list[InitialisationChange]:
    rules = [_list_rules(before), _list_rules(after)]
    changes = []
    for name in dict.fromkeys([*rules[1], *rules[0]]):
        inits = [side.get(name) for side in rules]
        paths = [
            _join(module, name) if module is not None and name in side else None
            for module, side in zip((before, after), rules, strict=True)
        ]
        if _read_rule(inits[0]) != _read_rule(inits[1]):
            changes.append(InitialisationChange(before_path=paths[0], after_path=paths[1], before=inits[0], after=inits[1]))
    return changes


def _list_rules(module: ModuleRecord | None) -> dict[str, str | None]:
    if module is None:
        return {}
    return {tensor.name: tensor.init for tensor in module.tensors if tensor.kind == "parameter" and tensor.tied_to is None}


def _join(module: ModuleRecord, name: str) -> str:
    return f"{module.path}.{name}" if module.path else name


def _read_rule(init: str | None) -> str | None:
    return None if init is None else init.partition(" = ")[0]
