"""One layer that was split into several, or several that were merged into one.

Found on layers that are matched to each other, or would be if the others did not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

from archaudit.align.matching import LEFT, Basis, Matching
from archaudit.index import Layer, find_family, read_layer

# Query, key, value and an output gate: no known layer is split into more.
_MOST_PARTS = 4
_CONFIDENCE = 0.8

SplitKind = Literal["separable", "divided", "factored", "fused", "children"]


class Split(NamedTuple):
    """`whole`, a module on `side`, is `parts` on the other side, in order. Its partner is the first part, or the one it was matched with.

    separable: a dense convolution is a depthwise and a pointwise one. divided: its outputs are divided among the parts (qkv to q, k and v).
    factored: the parts run one after the other. fused: a norm is folded into the layer before it. children: a container's children are in
    several containers.
    """

    side: int
    whole: int
    parts: tuple[int, ...]
    kind: SplitKind


def find_splits(matching: Matching) -> list[Split]:
    """Every layer that was split (its whole is on the left) or merged (on the right). Matches a free whole with its first part."""
    splits: list[Split] = []
    taken: tuple[set[int], set[int]] = (set(), set())
    for side in (0, 1):
        for split in _propose(matching, side):
            is_new = split.whole not in taken[side] and not any(part in taken[1 - side] for part in split.parts)
            if is_new and _apply(matching, split):
                taken[side].add(split.whole)
                taken[1 - side].update(split.parts)
                splits.append(split)
    return splits


def _propose(matching: Matching, side: int) -> Iterator[Split]:
    """Possible splits of a layer on `side`: every run of layers under each container of the other side that has a free layer."""
    parts_side = matching.sides[1 - side]
    for container in parts_side.list_in_execution_order():
        leaves = parts_side.list_layers(container)
        if not any(matching.is_free(1 - side, child) for child in leaves):
            continue
        layers = [(child, layer) for child in leaves if (layer := read_layer(parts_side.records[child])) is not None]
        for start in range(len(layers)):
            for length in range(_MOST_PARTS, 1, -1):
                window = layers[start : start + length]
                if len(window) == length:
                    yield from _propose_window(matching, side, container, window)
        yield from _propose_fused(matching, side, [leaf for leaf in leaves if parts_side.parents[leaf] == container])


def _propose_window(matching: Matching, side: int, container: int, window: list[tuple[int, Layer]]) -> Iterator[Split]:
    parts = tuple(part for part, _ in window)
    matched = [part for part in parts if part in matching.partners[1 - side]]
    if len(matched) > 1:
        return
    candidates = [matching.partners[1 - side][matched[0]]] if matched else _list_wholes(matching, side, container)
    for whole in candidates:
        layer = read_layer(matching.sides[side].records[whole])
        kind = _find_kind(layer, [part for _, part in window]) if layer is not None else None
        if kind is not None:
            yield Split(side, whole, parts, kind)


def _list_wholes(matching: Matching, side: int, container: int) -> list[int]:
    """The free children of the container's partner or, where it has none, of the partner of its nearest matched ancestor."""
    partners = matching.partners[1 - side]
    for above in (container, *matching.sides[1 - side].list_ancestors(container)):
        if above in partners:
            return matching.list_free(side, matching.sides[side].list_layers(partners[above]))
    return []


def _find_kind(whole: Layer, parts: list[Layer]) -> SplitKind | None:
    if len(parts) == 2 and is_separated(whole, *parts):
        return "separable"
    if is_divided(whole, parts):
        return "divided"
    return "factored" if is_factored(whole, parts) else None


def _propose_fused(matching: Matching, side: int, leaves: list[int]) -> Iterator[Split]:
    """A norm that is gone, where the layer before it got a bias."""
    parts_side, whole_side = matching.sides[1 - side], matching.sides[side]
    for first, norm in pairwise(leaves):
        whole = matching.partners[1 - side].get(first)
        if whole is None or not matching.is_free(1 - side, norm) or find_family(parts_side.records[norm].type) != "norm":
            continue
        unfused, fused = parts_side.records[first], whole_side.records[whole]
        layer = read_layer(unfused)
        new_bias = any(tensor.name == "bias" for tensor in fused.tensors) and not any(tensor.name == "bias" for tensor in unfused.tensors)
        if layer is not None and layer == read_layer(fused) and new_bias:
            yield Split(side, whole, (first, norm), "fused")


def _apply(matching: Matching, split: Split) -> bool:
    """Makes the whole and one of its parts partners; False where that is impossible."""
    first = split.parts[0]
    pair = (split.whole, first) if split.side == LEFT else (first, split.whole)
    current = matching.partners[split.side].get(split.whole)
    if current is None:
        return matching.match(*pair, Basis("split", _CONFIDENCE))
    # a layer that kept its name keeps its partner, except that a dense convolution continues as the depthwise part
    rule = matching.basis[split.whole if split.side == LEFT else current].rule
    keeps = rule == "pinned" or (rule == "name" and split.kind != "separable")
    if current != first and not keeps and matching.is_free(1 - split.side, first):
        matching.unmatch(split.side, split.whole)
        if not matching.match(*pair, Basis("split", _CONFIDENCE)):
            matching.match(*((split.whole, current) if split.side == LEFT else (current, split.whole)), Basis("split", _CONFIDENCE))
    return True


# --- which layers can replace which, by their sizes -------------------------------------------------------------------


def is_same_map(one: Layer | None, other: Layer | None) -> bool:
    """Whether two layers of different types do the same at each position: a linear layer and a 1x1 convolution of the same sizes."""
    if one is None or other is None:
        return False
    return one.is_pointwise and other.is_pointwise and (one.inputs, one.outputs) == (other.inputs, other.outputs)


def is_separated(whole: Layer, first: Layer, second: Layer) -> bool:
    """Whether a dense convolution can have become a depthwise and a pointwise one, of any numbers of channels."""
    fits = first.is_depthwise and first.outputs == second.inputs and second.is_pointwise
    return fits and whole.groups == 1 and not whole.is_pointwise and len(whole.kernel) == len(first.kernel) == len(second.kernel)


def is_factored(whole: Layer, parts: list[Layer]) -> bool:
    """Whether smaller layers, one after the other, have the inputs and outputs of one (low rank, 3x1 and 1x3)."""
    chained = all(one.outputs == other.inputs for one, other in pairwise(parts))
    same_ends = parts[0].inputs == whole.inputs and parts[-1].outputs == whole.outputs
    same_kind = all(len(part.kernel) == len(whole.kernel) and part.groups == whole.groups for part in parts)
    smaller = sum(part.weights for part in parts) < whole.weights
    return len(parts) > 1 and chained and same_ends and same_kind and smaller


def is_divided(whole: Layer, parts: list[Layer]) -> bool:
    """Whether parallel layers have the inputs of one, and its outputs divided among them (qkv to q, k and v)."""
    fits = all(part.inputs == whole.inputs and part.kernel == whole.kernel and part.groups == whole.groups for part in parts)
    return len(parts) > 1 and fits and sum(part.outputs for part in parts) == whole.outputs
