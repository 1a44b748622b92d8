"""One profile, indexed for matching: modules as integers, their tree, the order they run in, and fingerprints of their subtrees.

Equal subtrees have equal fingerprints, so comparing two subtrees of any size is comparing two integers. A fingerprint is built bottom-up,
as in a Merkle tree: from a module's own properties (type, settings, names, shapes and dtypes of its tensors) and its children's
fingerprints. Fingerprints are numbered in order of first appearance instead of hashed: there are no collisions, and one pass over each side
is enough.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from archaudit.index import index_modules
from archaudit.schema import ModuleRecord, Profile

# No module: the parent of a root, or the missing partner of a module.
NO_MODULE = -1
# The first call of a module that never runs.
NEVER = -1
# A convolution with its norm is in a wrapper, which may be in another one; deeper nesting is no convention.
_MOST_WRAPPERS = 2

OwnDescription = tuple[str, bytes, tuple[tuple[str, str, tuple[int, ...], str], ...]]


class Fingerprints:
    """Gives each distinct key a number. Both sides of a comparison share one instance."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._examples: dict[int, ModuleRecord] = {}

    def number(self, *key: Hashable) -> int:
        """The number of this key: equal keys have equal numbers."""
        return self._numbers.setdefault(key, len(self._numbers))

    def number_own(self, record: ModuleRecord) -> int:
        """The number of a module's own properties, without its path, its cost and its children."""
        number = self.number("own", *describe_own(record))
        self._examples.setdefault(number, record)
        return number

    def get_example(self, own: int) -> ModuleRecord:
        """The first module whose own properties have this number."""
        return self._examples[own]


def describe_own(record: ModuleRecord) -> OwnDescription:
    """Type, settings and tensors, hashable and sortable; independent of the order of the settings."""
    settings = msgspec.json.encode(record.settings, order="sorted")
    return record.type, settings, tuple((tensor.kind, tensor.name, tensor.shape, tensor.dtype) for tensor in record.tensors)


class Side:
    """One profile, indexed for matching. A module is its position in the profile; every list has one entry for each module.

    Tree: `parents` (NO_MODULE for a root), `children` in the profile's order, `ordered_children` in the order of execution, `names` within
    the parent, `top_down` all modules with parents first, `sizes` the number of modules in the subtree. Fingerprints: `own` of the module
    alone, `exact` of its subtree with the children's names, `equal` without the names, `skeleton` of the types only. `first_calls` is when
    the module or anything in it first runs (or NEVER); `inputs` are the modules whose outputs it takes. `has_matrix`: the subtree holds a
    tensor of two or more dimensions, so it can be identified (one norm looks like the next). `has_tensors`: the subtree holds any tensor.
    `is_layer`: a leaf, or a module whose tensors are all its own, such as a norm with an activation as a child.
    """

    def __init__(self, profile: Profile, fingerprints: Fingerprints) -> None:
        self.profile = profile
        self.records = profile.modules
        self.paths = [record.path for record in self.records]
        self.positions = {path: position for position, path in enumerate(self.paths)}
        self._index_tree()
        self._number_subtrees(fingerprints)
        self._index_calls()

    def __len__(self) -> int:
        return len(self.paths)

    def _index_tree(self) -> None:
        index = index_modules(self.profile)
        above = [index.parents[path] for path in self.paths]
        self.parents = [NO_MODULE if parent is None else self.positions[parent] for parent in above]
        self.children = [[self.positions[child] for child in index.children[path]] for path in self.paths]
        self.names = [index.name(path) for path in self.paths]
        self.roots = [module for module, parent in enumerate(self.parents) if parent == NO_MODULE]
        self.top_down = list(self.roots)
        for module in self.top_down:  # the list grows during the iteration
            self.top_down.extend(self.children[module])
        self.sizes = [1] * len(self)
        for module in reversed(self.top_down):
            if self.parents[module] != NO_MODULE:
                self.sizes[self.parents[module]] += self.sizes[module]

    def _number_subtrees(self, fingerprints: Fingerprints) -> None:
        count = len(self)
        self.own = [fingerprints.number_own(record) for record in self.records]
        self.exact, self.equal, self.skeleton = [0] * count, [0] * count, [0] * count
        self.has_matrix = [any(len(tensor.shape) > 1 for tensor in record.tensors) for record in self.records]
        self.has_tensors = [bool(record.tensors) for record in self.records]
        self.is_layer = [False] * count
        for module in reversed(self.top_down):
            below = self.children[module]
            named = tuple((self.names[child], self.exact[child]) for child in below)
            self.exact[module] = fingerprints.number("exact", self.own[module], named)
            self.equal[module] = fingerprints.number("equal", self.own[module], tuple(self.equal[child] for child in below))
            self.skeleton[module] = fingerprints.number("types", self.records[module].type, tuple(self.skeleton[child] for child in below))
            self.has_matrix[module] = self.has_matrix[module] or any(self.has_matrix[child] for child in below)
            tensors_below = any(self.has_tensors[child] for child in below)
            self.is_layer[module] = not below or (self.has_tensors[module] and not tensors_below)
            self.has_tensors[module] = self.has_tensors[module] or tensors_below

    def _index_calls(self) -> None:
        self.first_calls = [min((call.order for call in record.calls), default=NEVER) for record in self.records]
        for module in reversed(self.top_down):
            parent, first = self.parents[module], self.first_calls[module]
            if parent != NO_MODULE and first != NEVER:
                known = self.first_calls[parent]
                self.first_calls[parent] = first if known == NEVER else min(first, known)
        self.ordered_children = [self._order_children(below) for below in self.children]
        sources = index_modules(self.profile).inputs
        self.inputs = [tuple(sorted({self.positions[path] for path in sources[each] if path in self.positions})) for each in self.paths]

    def _order_children(self, below: list[int]) -> list[int]:
        """By first call; a child that never runs stays behind the sibling that was registered before it."""
        keys: dict[int, tuple[int, int]] = {}
        latest = NEVER
        for place, child in enumerate(below):
            latest = self.first_calls[child] if self.first_calls[child] != NEVER else latest
            keys[child] = (latest, place)
        return sorted(below, key=keys.__getitem__)

    def list_in_execution_order(self) -> list[int]:
        """Every module, parents first, siblings in the order of execution, each subtree contiguous."""
        listed: list[int] = []
        waiting = list(reversed(self.roots))
        while waiting:
            module = waiting.pop()
            listed.append(module)
            waiting.extend(reversed(self.ordered_children[module]))
        return listed

    def list_ancestors(self, module: int) -> list[int]:
        """The modules above, nearest first."""
        above = []
        while (module := self.parents[module]) != NO_MODULE:
            above.append(module)
        return above

    def find_list(self, layer: int) -> int:
        """The container whose layers run one after the other: the nearest above that has more than this layer with a weight matrix.

        A wrapper that holds the layer with its norm and activation is passed over.
        """
        container = self.parents[layer]
        for _ in range(_MOST_WRAPPERS):
            if container == NO_MODULE or self._count_matrices(container) != 1:
                break
            container = self.parents[container]
        return container

    def list_layers(self, container: int) -> list[int]:
        """The layers of `find_list`: children without children, and what a wrapper holds alone; in the order of execution."""
        found = []
        for child in self.ordered_children[container]:
            for _ in range(_MOST_WRAPPERS):
                if self.children[child] and self._count_matrices(child) == 1:
                    child = next(below for below in self.children[child] if self.has_matrix[below])
            if not self.children[child]:
                found.append(child)
        return found

    def _count_matrices(self, container: int) -> int:
        return sum(self.has_matrix[child] for child in self.children[container])
