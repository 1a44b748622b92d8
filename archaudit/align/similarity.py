"""How alike two modules are, 0 to 1: by themselves and with what is in them, whatever they are called and wherever they stand.

Answers are kept by fingerprint, so repeated blocks are compared once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from archaudit.align.assignment import align_sequences
from archaudit.align.side import Fingerprints, Side
from archaudit.index import compare_containers, compare_layers, read_layer
from archaudit.schema import ModuleRecord

# Of a module by itself: what it is says most, its tensors' shapes more than single settings.
_TYPE, _SETTINGS, _TENSORS = 0.5, 0.2, 0.3
# Of a container: `Sequential` says little, what is inside says what it is.
_ITSELF, _INSIDE = 0.3, 0.7
# A depthwise, a pointwise and a dense convolution are of one type and do three different things.
_OTHER_ROLE = 0.5
# Of two layers that hold all tensors themselves, what else is in one of them says little.
_LAYER = 0.9
# Only equal subtrees are wholly alike.
_MOST = 0.98
# Settings that repeat what the tensors' shapes say.
_SIZES = frozenset(
    {"in_channels", "out_channels", "in_features", "out_features", "num_features", "normalized_shape", "num_channels", "groups"}
)
# Same skeletons are compared child by child down to this depth; below it, equal or not decides.
_DEEPEST = 5
# Larger subtrees that are differently built are compared by counting, since aligning them takes quadratic time.
_LARGEST_ALIGNED = 40
# The leaves of a larger subtree are not listed for comparison with a differently built one: at that size its children say enough.
_LARGEST_LISTED = 600


class Similarity:
    """Compares modules of the left side with modules of the right side."""

    def __init__(self, left: Side, right: Side, prints: Fingerprints) -> None:
        self._left, self._right, self._prints = left, right, prints
        self._owns: dict[tuple[int, int, bool], float] = {}
        self._contents: dict[tuple[int, int, int], float] = {}
        self._leaves: dict[tuple[int, int], Counter[int]] = {}

    def compare(self, one: int, other: int, depth: int = 0) -> float:
        """How alike the subtrees of `one` and `other` are."""
        left, right = self._left, self._right
        if left.equal[one] == right.equal[other]:
            return 1.0
        key = left.equal[one], right.equal[other], depth
        if key not in self._contents:
            self._contents[key] = min(_MOST, self._compare_subtrees(one, other, depth))
        return self._contents[key]

    def _compare_subtrees(self, one: int, other: int, depth: int) -> float:
        left, right = self._left, self._right
        below = left.children[one], right.children[other]
        if not below[0] and not below[1]:
            return self.compare_own(one, other, leaves=True)
        if left.layers[one] and right.layers[other] and left.holding[one] and right.holding[other]:
            return _LAYER * self.compare_own(one, other, leaves=True)
        itself = self.compare_own(one, other, leaves=False)
        if not below[0] or not below[1]:
            return _ITSELF * itself
        if left.skeleton[one] == right.skeleton[other]:
            if depth >= _DEEPEST:
                return _ITSELF * itself + _INSIDE * 0.5
            inside = sum(self.compare(*pair, depth + 1) for pair in zip(*below, strict=True)) / len(below[0])
        else:
            inside = self._align_leaves(one, other)
        return _ITSELF * itself + _INSIDE * inside

    def compare_own(self, one: int, other: int, *, leaves: bool) -> float:
        """How alike two modules are without what is in them."""
        key = self._left.own[one], self._right.own[other], leaves
        if key not in self._owns:
            self._owns[key] = _compare_records(self._prints.example(key[0]), self._prints.example(key[1]), leaves)
        return self._owns[key]

    def _align_leaves(self, one: int, other: int) -> float:
        """How much of two differently built subtrees is alike, layer by layer in order of execution."""
        left, right = self._left, self._right
        if max(left.sizes[one], right.sizes[other]) > _LARGEST_ALIGNED:
            return self._count_leaves(one, other)
        leaves = list(_find_leaves(left, one)), list(_find_leaves(right, other))
        keys = [left.equal[leaf] for leaf in leaves[0]], [right.equal[leaf] for leaf in leaves[1]]

        def gain(row: int, column: int) -> float:
            return self.compare(leaves[0][row], leaves[1][column])

        return 2 * sum(gain(*pair) for pair in align_sequences(*keys, gain)) / (len(leaves[0]) + len(leaves[1]))

    def _count_leaves(self, one: int, other: int) -> float:
        """The same for large ones, more cheaply: the share of layers in common, half by type, half by being equal."""
        types = _overlap(self._list_leaves(self._left, 0, one, False), self._list_leaves(self._right, 1, other, False))
        equals = _overlap(self._list_leaves(self._left, 0, one, True), self._list_leaves(self._right, 1, other, True))
        return (types + equals) / 2

    def _list_leaves(self, side: Side, number: int, module: int, exactly: bool) -> Counter[int]:
        key = 4 * number + exactly, module
        if key not in self._leaves:
            numbers = side.equal if exactly else side.skeleton
            self._leaves[key] = Counter(numbers[leaf] for leaf in _find_leaves(side, module))
        return self._leaves[key]


def _find_leaves(side: Side, module: int) -> Iterable[int]:
    if side.sizes[module] > _LARGEST_LISTED:
        yield from side.children[module]
        return
    waiting = [module]
    while waiting:
        module = waiting.pop()
        if not side.children[module]:
            yield module
        waiting.extend(reversed(side.running[module]))


def _overlap(one: Counter[int], other: Counter[int]) -> float:
    common = sum(min(count, other[number]) for number, count in one.items() if number in other)
    return 2 * common / (one.total() + other.total())


def _compare_records(one: ModuleRecord, other: ModuleRecord, leaves: bool) -> float:
    types = (compare_layers if leaves else compare_containers)(one.type, other.type)
    layers = read_layer(one), read_layer(other)
    if layers[0] is not None and layers[1] is not None and layers[0].role != layers[1].role:
        types *= _OTHER_ROLE
    parts = [(_TYPE, types)]
    if types:
        parts += [(weight, part) for weight, part in ((_SETTINGS, _compare_settings(one, other)),) if part is not None]
    shapes = _compare_tensors(one, other)
    if shapes is None:
        return _average(parts)
    # Sizes count once more on top: what else two convolutions have in common, any two convolutions have.
    return _average([*parts, (_TENSORS, shapes)]) * (1 + shapes) / 2


def _average(parts: list[tuple[float, float]]) -> float:
    return sum(weight * part for weight, part in parts) / sum(weight for weight, _ in parts)


def _compare_settings(one: ModuleRecord, other: ModuleRecord) -> float | None:
    """The share of equal settings, of those that both know; None where there is nothing to compare."""
    names = (one.settings.keys() & other.settings.keys()) - _SIZES
    if not names:
        return None
    return sum(repr(one.settings[name]) == repr(other.settings[name]) for name in sorted(names)) / len(names)


def _compare_tensors(one: ModuleRecord, other: ModuleRecord) -> float | None:
    """How close the shapes of the parameters are; None where neither has any."""
    held = [{tensor.name: tensor.shape for tensor in record.tensors if tensor.kind == "parameter"} for record in (one, other)]
    names = held[0].keys() | held[1].keys()
    if not names:
        return None
    common = held[0].keys() & held[1].keys()
    return sum(_compare_shapes(held[0][name], held[1][name]) for name in sorted(common)) / len(names)


def _compare_shapes(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The mean ratio of the sizes; 0 for another number of dimensions, which is another kind of tensor."""
    if len(one) != len(other):
        return 0.0
    if one == other:
        return 1.0
    return sum(min(pair) / max(pair) if max(pair) else 1.0 for pair in zip(one, other, strict=True)) / len(one)
