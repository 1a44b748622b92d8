"""Connections of modules on each side: tensors that are tied, and modules whose inputs come from other modules than before.

Both are compared by the paths after, so that a tie is the same tie where its owner was renamed or another of its modules comes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from archaudit.index import index_modules
from archaudit.schema import InputChange, Match, ModuleRecord, Pair, Profile

# A tensor: its module's path and its own name.
_Key = tuple[str, str]


class Ties:
    """The tied tensors of one profile; `names` has the path after of each module with a counterpart."""

    def __init__(self, profile: Profile, names: Mapping[str, str]) -> None:
        self._names = names
        self._groups: defaultdict[_Key, set[_Key]] = defaultdict(set)
        for module in profile.modules:
            for tensor in module.tensors:
                if tensor.tied_to is not None:
                    owner = _split_name(tensor.tied_to)
                    self._groups[owner] |= {self._translate(owner), self._translate((module.path, tensor.name))}

    @property
    def are_none(self) -> bool:
        """Whether no tensor is tied."""
        return not self._groups

    def _translate(self, key: _Key) -> _Key:
        # No path ends with a dot, so a module without a counterpart is equal to no module of the other side.
        return self._names.get(key[0], f"{key[0]}."), key[1]

    def list_owners(self, module: ModuleRecord) -> dict[str, _Key]:
        """The owners of a module's tensors that are tied to another module's."""
        return {tensor.name: self._translate(_split_name(tensor.tied_to)) for tensor in module.tensors if tensor.tied_to is not None}

    def find(self, module: ModuleRecord, name: str) -> frozenset[_Key]:
        """All names of a module's tensor, whichever module owns it; empty where it is not tied."""
        tied_to = next((tensor.tied_to for tensor in module.tensors if tensor.name == name), None)
        return frozenset(self._groups.get((module.path, name) if tied_to is None else _split_name(tied_to), ()))


def _split_name(tensor: str) -> _Key:
    path, _, name = tensor.rpartition(".")
    return path, name


def compare_ties(modules: Pair[ModuleRecord], ties: Pair[Ties]) -> tuple[bool, bool]:
    """Whether a tensor of the module is tied to another's now, and whether one no longer is."""
    if ties.before.are_none and ties.after.are_none:
        return False, False
    tied = any(owner not in ties.before.find(modules.before, name) for name, owner in ties.after.list_owners(modules.after).items())
    untied = any(owner not in ties.after.find(modules.after, name) for name, owner in ties.before.list_owners(modules.before).items())
    return tied, untied


# --- modules whose inputs come from other modules than before: the same module in another data flow, such as a new skip connection ---


def find_rewired(before: Profile, after: Profile, matches: tuple[Match, ...]) -> dict[str, InputChange]:
    """The matched modules that ran on both sides and take inputs from other modules now, by their paths after.

    Of a container and its children, only the inner ones: an input of a container is an input of the child that takes it.
    """
    pairs = {match.before_path: match.after_path for match in matches if match.before_path is not None and match.after_path is not None}
    sources = Pair(_Sources(before, pairs), _Sources(after, {path: path for path in pairs.values()}))
    rewired = {
        other
        for one, other in pairs.items()
        if sources.before.ran(one) and sources.after.ran(other) and not _agree(sources.before.find(one), sources.after.find(other))
    }
    outer = {above for path in rewired for above in index_modules(after).walk_up(path)}
    origins = {other: one for one, other in pairs.items()}
    changes = {}
    for path in rewired - outer:
        old = [pairs.get(source) or source for source in index_modules(before).inputs[origins[path]]]
        new = index_modules(after).inputs[path]
        added, removed = (tuple(each for each in one if each not in other) for one, other in ((new, old), (old, new)))
        changes[path] = InputChange(added=added, removed=removed)
    return changes


def _agree(before: _Found, after: _Found) -> bool:
    """Whether each matched source of one side is a source on the other too, directly or through an added or removed module."""
    return before.direct <= after.direct | after.through and after.direct <= before.direct | before.through


class _Found(NamedTuple):
    """The matched modules whose outputs a module takes: directly, and through modules without a match."""

    direct: frozenset[str]
    through: frozenset[str]


class _Sources:
    """The modules whose outputs the modules of one profile take, by their paths after."""

    def __init__(self, profile: Profile, names: Mapping[str, str]) -> None:
        self._index = index_modules(profile)
        self._names = names
        self._seen_through: dict[str, frozenset[str]] = {}

    def ran(self, path: str) -> bool:
        """Whether the module was called."""
        return bool(self._index[path].calls)

    def find(self, path: str) -> _Found:
        """The matched modules whose outputs the module takes."""
        sources = self._index.inputs.get(path, ())
        behind = [self._look_through(source) for source in sources if source not in self._names]
        return _Found(frozenset(self._names[source] for source in sources if source in self._names), frozenset().union(*behind))

    def _look_through(self, path: str) -> frozenset[str]:
        if path not in self._seen_through:
            found: set[str] = set()
            seen, waiting = {path}, [path]
            while waiting:
                for source in self._index.inputs.get(waiting.pop(), ()):
                    if source in self._names:
                        found.add(self._names[source])
                    elif source not in seen:
                        seen.add(source)
                        waiting.append(source)
            self._seen_through[path] = frozenset(found)
        return self._seen_through[path]
