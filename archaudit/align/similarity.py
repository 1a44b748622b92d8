"""How similar two modules are, from 0 to 1, by themselves and with everything in them; independent of their names and positions.

Results are cached by fingerprint, so repeated blocks are compared once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from archaudit.align.assignment import align_sequences
from archaudit.align.side import Fingerprints, Side
from archaudit.index import compare_containers, compare_layers, find_family, read_layer
from archaudit.schema import ModuleRecord, Shape

# A module by itself: the type counts most, the shapes of the tensors more than single settings.
_TYPE_WEIGHT, _SETTINGS_WEIGHT, _TENSORS_WEIGHT = 0.5, 0.2, 0.3
# A container: `Sequential` says little, its contents say what it is.
_OWN_WEIGHT, _CONTENTS_WEIGHT = 0.3, 0.7
# Depthwise, pointwise and dense convolutions share a type but do different things.
_OTHER_ROLE_FACTOR = 0.5
# Two layers hold all tensors themselves; what else is in one of them matters little.
_LAYER_FACTOR = 0.9
# Only equal subtrees have a similarity of 1.
_MOST_UNEQUAL = 0.98
# Settings that repeat what the shapes of the tensors say.
_SIZE_SETTINGS = frozenset(
    {"in_channels", "out_channels", "in_features", "out_features", "num_features", "normalized_shape", "num_channels", "groups"}
)
# Subtrees of the same types are compared child by child down to this depth. Below it, they are taken to be half alike.
_DEEPEST = 5
_DEEPEST_CONTENTS = 0.5
# Larger subtrees of different types are compared by counting their layers, since aligning them takes quadratic time.
_LARGEST_ALIGNED = 40
# For larger subtrees than this, not the leaves are counted but the children, which say enough at that size.
_LARGEST_LISTED = 600


# A layer in another form (weight_norm added or removed, prepared for quantization) and with other settings.
_OTHER_FORM = 0.75
_PREFIX = "Parametrized"


def are_one_layer(one: ModuleRecord, other: ModuleRecord) -> bool:
    """Whether two modules of different types are one layer in two forms.

    Those are a layer with and without `torch.nn.utils.parametrizations`, which wraps its class, and two types of one family with the same
    weights, as Conv2d and the ConvBnReLU2d that quantization-aware training makes of it.
    """
    if one.type == other.type:
        return False
    if one.type.removeprefix(_PREFIX) == other.type.removeprefix(_PREFIX):
        return True
    family, weights = find_family(one.type), _list_matrices(one)
    return (
        bool(family and weights)
        and family == find_family(other.type)
        and weights == _list_matrices(other)
        and _read_kind(one) == _read_kind(other)
    )


def _list_matrices(record: ModuleRecord) -> list[tuple[str, Shape]]:
    return [(tensor.name, tensor.shape) for tensor in record.tensors if tensor.kind == "parameter" and len(tensor.shape) > 1]


def _read_kind(record: ModuleRecord) -> tuple[object, object]:
    """What the shape of a convolution's weight does not say."""
    return bool(record.settings.get("transposed")), record.settings.get("groups", 1)


class Similarity:
    """Compares modules of the left side with modules of the right side."""

    def __init__(self, left: Side, right: Side, fingerprints: Fingerprints) -> None:
        self._left, self._right, self._fingerprints = left, right, fingerprints
        self._of_own: dict[tuple[int, int, bool], float] = {}
        self._of_subtrees: dict[tuple[int, int, int], float] = {}
        self._leaf_counts: tuple[dict[tuple[int, bool], Counter[int]], dict[tuple[int, bool], Counter[int]]] = ({}, {})

    def compare(self, one: int, other: int, depth: int = 0) -> float:
        """How similar the subtrees of a left and a right module are."""
        left, right = self._left, self._right
        if left.equal[one] == right.equal[other]:
            return 1.0
        key = left.equal[one], right.equal[other], depth
        if key not in self._of_subtrees:
            self._of_subtrees[key] = min(_MOST_UNEQUAL, self._compare_subtrees(one, other, depth))
        return self._of_subtrees[key]

    def _compare_subtrees(self, one: int, other: int, depth: int) -> float:
        left, right = self._left, self._right
        if are_one_layer(left.records[one], right.records[other]):
            settings = left.records[one].settings, right.records[other].settings
            common = settings[0].keys() & settings[1].keys()
            return _MOST_UNEQUAL if all(repr(settings[0][name]) == repr(settings[1][name]) for name in common) else _OTHER_FORM
        below_left, below_right = left.children[one], right.children[other]
        if not below_left and not below_right:
            return self.compare_own(one, other, as_layers=True)
        if left.is_layer[one] and right.is_layer[other] and left.has_tensors[one] and right.has_tensors[other]:
            return _LAYER_FACTOR * self.compare_own(one, other, as_layers=True)
        own = self.compare_own(one, other, as_layers=False)
        if not below_left or not below_right:
            return _OWN_WEIGHT * own
        if left.skeleton[one] != right.skeleton[other]:
            contents = self._align_leaves(one, other)
        elif depth >= _DEEPEST:
            contents = _DEEPEST_CONTENTS
        else:
            contents = sum(self.compare(*pair, depth + 1) for pair in zip(below_left, below_right, strict=True)) / len(below_left)
        return _OWN_WEIGHT * own + _CONTENTS_WEIGHT * contents

    def compare_own(self, one: int, other: int, *, as_layers: bool) -> float:
        """How similar two modules are without their children. Types are compared as those of layers, or of containers."""
        key = self._left.own[one], self._right.own[other], as_layers
        if key not in self._of_own:
            records = self._fingerprints.get_example(key[0]), self._fingerprints.get_example(key[1])
            self._of_own[key] = _compare_records(*records, as_layers)
        return self._of_own[key]

    def _align_leaves(self, one: int, other: int) -> float:
        """The similar share of two subtrees of different types, leaf by leaf in the order of execution."""
        left, right = self._left, self._right
        if max(left.sizes[one], right.sizes[other]) > _LARGEST_ALIGNED:
            return self._compare_leaf_counts(one, other)
        leaves_left, leaves_right = list(_find_leaves(left, one)), list(_find_leaves(right, other))
        keys = [left.equal[leaf] for leaf in leaves_left], [right.equal[leaf] for leaf in leaves_right]

        def gain(row: int, column: int) -> float:
            return self.compare(leaves_left[row], leaves_right[column])

        return 2 * sum(gain(*pair) for pair in align_sequences(*keys, gain)) / (len(leaves_left) + len(leaves_right))

    def _compare_leaf_counts(self, one: int, other: int) -> float:
        """A cheaper form for large subtrees: the share of common leaves, half by type and half by equality."""
        types = _overlap(self._count_leaves(0, one, False), self._count_leaves(1, other, False))
        equals = _overlap(self._count_leaves(0, one, True), self._count_leaves(1, other, True))
        return (types + equals) / 2

    def _count_leaves(self, number: int, module: int, exactly: bool) -> Counter[int]:
        counts, side = self._leaf_counts[number], (self._left, self._right)[number]
        if (module, exactly) not in counts:
            fingerprints = side.equal if exactly else side.skeleton
            counts[module, exactly] = Counter(fingerprints[leaf] for leaf in _find_leaves(side, module))
        return counts[module, exactly]


def _find_leaves(side: Side, module: int) -> Iterable[int]:
    if side.sizes[module] > _LARGEST_LISTED:
        yield from side.children[module]
        return
    waiting = [module]
    while waiting:
        module = waiting.pop()
        if not side.children[module]:
            yield module
        waiting.extend(reversed(side.ordered_children[module]))


def _overlap(one: Counter[int], other: Counter[int]) -> float:
    common = sum(min(count, other[number]) for number, count in one.items() if number in other)
    return 2 * common / (one.total() + other.total())


def _compare_records(one: ModuleRecord, other: ModuleRecord, as_layers: bool) -> float:
    types = (compare_layers if as_layers else compare_containers)(one.type, other.type)
    left, right = read_layer(one), read_layer(other)
    if left is not None and right is not None and left.role != right.role:
        types *= _OTHER_ROLE_FACTOR
    parts = [(_TYPE_WEIGHT, types)]
    settings = _compare_settings(one, other) if types else None
    if settings is not None:
        parts.append((_SETTINGS_WEIGHT, settings))
    shapes = _compare_tensors(one, other)
    if shapes is None:
        return _average(parts)
    # Sizes count a second time, as a factor: any two convolutions have the rest in common.
    return _average([*parts, (_TENSORS_WEIGHT, shapes)]) * (1 + shapes) / 2


def _average(parts: list[tuple[float, float]]) -> float:
    return sum(weight * part for weight, part in parts) / sum(weight for weight, _ in parts)


def _compare_settings(one: ModuleRecord, other: ModuleRecord) -> float | None:
    """The share of equal settings among those that both have; None where they have none in common."""
    names = (one.settings.keys() & other.settings.keys()) - _SIZE_SETTINGS
    if not names:
        return None
    return sum(repr(one.settings[name]) == repr(other.settings[name]) for name in sorted(names)) / len(names)


def _compare_tensors(one: ModuleRecord, other: ModuleRecord) -> float | None:
    """How close the shapes of the parameters are; None where neither module has parameters."""
    left, right = ({tensor.name: tensor.shape for tensor in record.tensors if tensor.kind == "parameter"} for record in (one, other))
    names = left.keys() | right.keys()
    if not names:
        return None
    return sum(_compare_shapes(left[name], right[name]) for name in sorted(left.keys() & right.keys())) / len(names)


def _compare_shapes(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The mean ratio of the sizes; 0 for different numbers of dimensions."""
    if len(one) != len(other):
        return 0.0
    if one == other:
        return 1.0
    return sum(min(pair) / max(pair) if max(pair) else 1.0 for pair in zip(one, other, strict=True)) / len(one)
