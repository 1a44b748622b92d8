"""Fingerprints: equal subtrees get equal numbers, so that comparing two of any size is comparing two ints.

A fingerprint is made of a module's own (type, settings, names, shapes and dtypes of its tensors) and its children's fingerprints, Merkle
style. Instead of hashes, numbers are handed out in the order of first sight: no collisions, and one pass over each side.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from archaudit.schema import ModuleRecord, Profile


class Fingerprints:
    """Hands out one number for each distinct thing; both sides of a comparison share one of these."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._owns: dict[int, ModuleRecord] = {}

    def number(self, *key: Hashable) -> int:
        """The number of this key: the same whenever the key is equal."""
        return self._numbers.setdefault(key, len(self._numbers))

    def number_own(self, record: ModuleRecord) -> int:
        """The number of what a module is by itself, whatever it is called, costs or contains."""
        number = self.number("own", *describe_own(record))
        self._owns.setdefault(number, record)
        return number

    def example(self, own: int) -> ModuleRecord:
        """A module with this number of its own."""
        return self._owns[own]


def describe_own(record: ModuleRecord) -> tuple[str, bytes, tuple[tuple[str, str, tuple[int, ...], str], ...]]:
    """Type, settings and tensors, hashable and orderable; independent of the order in which settings were noted."""
    settings = msgspec.json.encode(record.settings, order="sorted")
    return record.type, settings, tuple((tensor.kind, tensor.name, tensor.shape, tensor.dtype) for tensor in record.tensors)


# --- a profile made ready for matching: modules as numbers, the tree around them, the order they run in, and their fingerprints ---


NOWHERE = -1


class Side:
    """One profile, indexed. A module is its position in the profile; every list has one entry for each.

    `parents` (NOWHERE above a root), `children` in the profile's order and `running` the same in the order of execution; `names` the last
    part of a path; `walk` all modules, parents first; `sizes` of subtrees, the module itself included. Fingerprints: `own` of a module by
    itself, `exact` of its subtree with its children's names, `equal` without names, `skeleton` of types alone. `firsts` is when a module
    or anything in it first ran (NOWHERE: it did not), `weighty` whether it or anything below it holds a tensor of two or more dimensions:
    what can be known again, other than one of many norms and activations; `holding` whether any tensor at all. `layers` are the leaves, and
    what has tensors of its own and children without any: a norm that brings its activation.
    """

    def __init__(self, profile: Profile, prints: Fingerprints) -> None:
        self.profile = profile
        self.records = profile.modules
        self.paths = [record.path for record in self.records]
        self.positions = {path: position for position, path in enumerate(self.paths)}
        self._plant_tree()
        self._take_fingerprints(prints)
        self._follow_calls()

    def __len__(self) -> int:
        return len(self.paths)

    def _plant_tree(self) -> None:
        count = len(self.paths)
        self.parents = [self._find_parent(path) for path in self.paths]
        self.children: list[list[int]] = [[] for _ in range(count)]
        self.roots = [module for module in range(count) if self.parents[module] == NOWHERE]
        for module, parent in enumerate(self.parents):
            if parent != NOWHERE:
                self.children[parent].append(module)
        self.names = [
            path[len(self.paths[parent]) + 1 :] if parent != NOWHERE and self.paths[parent] else path
            for path, parent in zip(self.paths, self.parents, strict=True)
        ]
        self.walk = list(self.roots)
        for module in self.walk:  # grows while it is walked: every module once, parents first
            self.walk.extend(self.children[module])
        self.sizes = [1] * count
        for module in reversed(self.walk):
            if self.parents[module] != NOWHERE:
                self.sizes[self.parents[module]] += self.sizes[module]

    def _find_parent(self, path: str) -> int:
        """The nearest module above: a name may hold a dot."""
        while path:
            path = path.rpartition(".")[0]
            if path in self.positions:
                return self.positions[path]
        return NOWHERE

    def _take_fingerprints(self, prints: Fingerprints) -> None:
        count = len(self.paths)
        self.own = [prints.number_own(record) for record in self.records]
        self.exact, self.equal, self.skeleton = [0] * count, [0] * count, [0] * count
        self.weighty = [any(len(tensor.shape) > 1 for tensor in record.tensors) for record in self.records]
        self.holding = [bool(record.tensors) for record in self.records]
        self.layers = [False] * count
        for module in reversed(self.walk):
            below = self.children[module]
            self.exact[module] = prints.number("exact", self.own[module], tuple((self.names[child], self.exact[child]) for child in below))
            self.equal[module] = prints.number("equal", self.own[module], tuple(self.equal[child] for child in below))
            self.skeleton[module] = prints.number("types", self.records[module].type, tuple(self.skeleton[child] for child in below))
            self.weighty[module] = self.weighty[module] or any(self.weighty[child] for child in below)
            self.layers[module] = not below or (self.holding[module] and not any(self.holding[child] for child in below))
            self.holding[module] = self.holding[module] or any(self.holding[child] for child in below)

    def _follow_calls(self) -> None:
        self.firsts = [min((call.order for call in record.calls), default=NOWHERE) for record in self.records]
        for module in reversed(self.walk):
            parent, first = self.parents[module], self.firsts[module]
            if parent != NOWHERE and first != NOWHERE:
                known = self.firsts[parent]
                self.firsts[parent] = first if known == NOWHERE else min(first, known)
        self.running = [self._order_children(below) for below in self.children]
        self.feeders = [
            tuple(sorted({self.positions[path] for call in record.calls for path in call.inputs_from if path in self.positions}))
            for record in self.records
        ]

    def _order_children(self, below: list[int]) -> list[int]:
        """By first call; what never ran stays behind the sibling that was registered before it."""
        keys: dict[int, tuple[int, int]] = {}
        latest = NOWHERE
        for place, child in enumerate(below):
            latest = self.firsts[child] if self.firsts[child] != NOWHERE else latest
            keys[child] = (latest, place)
        return sorted(below, key=keys.__getitem__)

    def list_running(self) -> list[int]:
        """Every module, parents first and otherwise in the order of execution, each subtree together."""
        listed: list[int] = []
        waiting = list(reversed(self.roots))
        while waiting:
            module = waiting.pop()
            listed.append(module)
            waiting.extend(reversed(self.running[module]))
        return listed

    def list_ancestors(self, module: int) -> list[int]:
        """The modules above, nearest first."""
        above = []
        while (module := self.parents[module]) != NOWHERE:
            above.append(module)
        return above
