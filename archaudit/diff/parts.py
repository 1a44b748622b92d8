"""A model cut into parts: subtrees that do not overlap, each known by its topmost path."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple

from archaudit.diff.sections import find_parents
from archaudit.schema import ModuleRecord, Profile


class Part(NamedTuple):
    """A part by the path of its topmost module; `side` is 0 before and 1 after."""

    side: int
    path: str


class Parts:
    """The parts of one profile, in its order: at first the children of its root."""

    def __init__(self, profile: Profile, side: int) -> None:
        self.side = side
        self._profile = profile
        self._parents = find_parents(profile)
        self._children: defaultdict[str | None, list[str]] = defaultdict(list)
        for module in profile.modules:
            self._children[self._parents[module.path]].append(module.path)
        self._places = {module.path: place for place, module in enumerate(profile.modules)}
        self._pieces: set[str] = set()
        self._tops = {child for root in self._children[None] for child in self._children[root]}
        self._sort()

    def _sort(self) -> None:
        self.paths = sorted(self._tops, key=self._places.__getitem__)
        self._owners: dict[str, str | None] = {}
        for module in self._profile.modules:
            self._assign(module.path)
        self.sizes: Counter[str] = Counter(owner for owner in self._owners.values() if owner is not None)

    def _assign(self, path: str) -> None:
        passed = []
        up: str | None = path
        while up is not None and up not in self._owners and up not in self._tops:
            passed.append(up)
            up = self._parents[up]
        owner = up if up is None or up in self._tops else self._owners[up]
        for below in passed:
            self._owners[below] = owner
        if path in self._tops:
            self._owners[path] = path

    def find(self, path: str) -> str | None:
        """The part that a module stands in; None for what stands above all parts."""
        return self._owners[path]

    def is_piece(self, path: str) -> bool:
        """Whether a part was cut out of one that several share."""
        return path in self._pieces

    def share(self, path: str) -> float:
        """How much of the model's modules a part holds."""
        return self.sizes[path] / len(self._profile.modules)

    def count_children(self, path: str) -> int:
        """How many parts cutting this one would make."""
        return len(self._children[path])

    def cut(self, path: str, *, as_pieces: bool) -> bool:
        """Puts a part's children in its place; False for one without children."""
        children = self._children[path]
        if not children:
            return False
        self._tops.remove(path)
        self._tops.update(children)
        if as_pieces:
            self._pieces.update(children)
        self._sort()
        return True

    def list_members(self) -> dict[str, list[ModuleRecord]]:
        """The modules of each part."""
        members: defaultdict[str, list[ModuleRecord]] = defaultdict(list)
        for module in self._profile.modules:
            owner = self._owners[module.path]
            if owner is not None:
                members[owner].append(module)
        return members
