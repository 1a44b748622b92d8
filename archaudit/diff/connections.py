"""Which tensors are one, on either side, by the names of the after side: a tie is the same tie where its owner was renamed, and whichever
of its modules comes first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from archaudit.schema import Match, ModuleRecord, Profile

# A tensor: its module's path and its own name.
_Key = tuple[str, str]


class Ties:
    """The tied tensors of one profile; `names` says what its modules are called after, nothing for those without a counterpart."""

    def __init__(self, profile: Profile, names: Mapping[str, str]) -> None:
        self._names = names
        self._groups: defaultdict[_Key, set[_Key]] = defaultdict(set)
        for module in profile.modules:
            for tensor in module.tensors:
                if tensor.tied_to is not None:
                    owner = _split(tensor.tied_to)
                    self._groups[owner] |= {self._name(owner), self._name((module.path, tensor.name))}

    @property
    def are_none(self) -> bool:
        """Whether every tensor is its own."""
        return not self._groups

    def _name(self, key: _Key) -> _Key:
        # No path ends with a dot, so what has no counterpart is like nothing of the other side.
        return self._names.get(key[0], f"{key[0]}."), key[1]

    def list_owners(self, module: ModuleRecord) -> dict[str, _Key]:
        """The owners of those tensors of a module that are another's."""
        return {tensor.name: self._name(_split(tensor.tied_to)) for tensor in module.tensors if tensor.tied_to is not None}

    def find(self, module: ModuleRecord, name: str) -> frozenset[_Key]:
        """All that are one with a tensor, whoever owns it; empty where it is alone."""
        tied_to = next((tensor.tied_to for tensor in module.tensors if tensor.name == name), None)
        return frozenset(self._groups.get((module.path, name) if tied_to is None else _split(tied_to), ()))


def _split(tensor: str) -> _Key:
    path, _, name = tensor.rpartition(".")
    return path, name


def compare_ties(pair: tuple[ModuleRecord, ModuleRecord], sides: tuple[Ties, Ties]) -> tuple[bool, bool]:
    """Whether a tensor of the module is now one with another's, and whether one no longer is."""
    (before, after), (ties_before, ties_after) = pair, sides
    if ties_before.are_none and ties_after.are_none:
        return False, False
    tied = any(owner not in ties_before.find(before, name) for name, owner in ties_after.list_owners(after).items())
    untied = any(owner not in ties_after.find(after, name) for name, owner in ties_before.list_owners(before).items())
    return tied, untied


# --- modules that are fed by others than before: the same module in another data flow, such as a new skip connection ---


def find_rewired(before: Profile, after: Profile, matches: tuple[Match, ...]) -> set[str]:
    """The paths after of matched modules that ran on both sides and read from other modules now.

    Of a container and what is in it, only the inner ones: what enters a container is told of the child that reads it.
    """
    pairs = {match.before_path: match.after_path for match in matches if match.before_path is not None and match.after_path is not None}
    sources_before = _Sources(before, pairs)
    sources_after = _Sources(after, {path: path for path in pairs.values()})
    rewired = {
        other
        for one, other in pairs.items()
        if sources_before.ran(one) and sources_after.ran(other) and not _agree(sources_before.find(one), sources_after.find(other))
    }
    outer: set[str] = set()
    for path in rewired:
        while path and (path := path.rpartition(".")[0]) not in outer:
            outer.add(path)
    return rewired - outer


def _agree(before: _Found, after: _Found) -> bool:
    """Whether every known feeder of either side feeds the other too, be it through what was added or removed."""
    return before.direct <= after.direct | after.through and after.direct <= before.direct | before.through


class _Found(NamedTuple):
    """Matched modules that feed a module: those that it reads itself, and those behind what has no match."""

    direct: frozenset[str]
    through: frozenset[str]


class _Sources:
    """What feeds the modules of one profile, by the names that matched modules have after."""

    def __init__(self, profile: Profile, names: Mapping[str, str]) -> None:
        self._modules: dict[str, ModuleRecord] = {module.path: module for module in profile.modules}
        self._names = names
        self._seen_through: dict[str, frozenset[str]] = {}

    def ran(self, path: str) -> bool:
        """Whether the module was called."""
        return bool(self._modules[path].calls)

    def find(self, path: str) -> _Found:
        """The matched modules whose output the module reads, at once or through others."""
        feeders = self._list_feeders(path)
        behind = [self._look_through(feeder) for feeder in feeders if feeder not in self._names]
        return _Found(frozenset(self._names[feeder] for feeder in feeders if feeder in self._names), frozenset().union(*behind))

    def _look_through(self, path: str) -> frozenset[str]:
        if path not in self._seen_through:
            found: set[str] = set()
            seen, waiting = {path}, [path]
            while waiting:
                for feeder in self._list_feeders(waiting.pop()):
                    if feeder in self._names:
                        found.add(self._names[feeder])
                    elif feeder not in seen:
                        seen.add(feeder)
                        waiting.append(feeder)
            self._seen_through[path] = frozenset(found)
        return self._seen_through[path]

    def _list_feeders(self, path: str) -> set[str]:
        module = self._modules.get(path)
        return {feeder for call in module.calls for feeder in call.inputs_from} if module is not None else set()
