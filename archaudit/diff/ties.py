"""Which tensors are one, on either side, by the names of the after side: a tie is the same tie where its owner was renamed, and whichever
of its modules comes first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from archaudit.schema import ModuleRecord, Profile

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
