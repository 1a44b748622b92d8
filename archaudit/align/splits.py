"""One layer taken apart into several, or several joined into one: found on pairs that are matched, or would be but for that."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from archaudit.align.matching import Found, Matching
from archaudit.index import Layer, find_family, read_layer

# q, k, v and an output gate: no known layer is divided into more.
_MOST_PARTS = 4
_CONFIDENCE = 0.8
SEPARATED = "depthwise and pointwise"


class Split(NamedTuple):
    """`whole` on one side (0: left) is `parts` on the other, in order. Its partner is the first, or one it was matched with."""

    side: int
    whole: int
    parts: tuple[int, ...]
    words: str


def find_splits(matching: Matching) -> list[Split]:
    """Every layer that was split (its whole on the left) or merged (on the right). Matches a free whole with its first part."""
    splits: list[Split] = []
    taken: tuple[set[int], set[int]] = (set(), set())
    for side in (0, 1):
        for split in _propose(matching, side):
            fresh = split.whole not in taken[side] and not any(part in taken[1 - side] for part in split.parts)
            if fresh and _settle(matching, split):
                taken[side].add(split.whole)
                taken[1 - side].update(split.parts)
                splits.append(split)
    return splits


def _propose(matching: Matching, side: int) -> Iterator[Split]:
    """Splits with the whole on `side`: under each container of the other side that has a free layer, each run of layers."""
    parts_side = matching.sides[1 - side]
    for container in parts_side.list_running():
        runs = [child for child in parts_side.running[container] if not parts_side.children[child]]
        if not any(matching.is_free(1 - side, child) for child in runs):
            continue
        layers = [(child, layer) for child in runs if (layer := read_layer(parts_side.records[child])) is not None]
        for start in range(len(layers)):
            for length in range(_MOST_PARTS, 1, -1):
                window = layers[start : start + length]
                if len(window) == length:
                    yield from _explain_window(matching, side, container, window)
        yield from _find_fused(matching, side, runs)


def _explain_window(matching: Matching, side: int, container: int, window: list[tuple[int, Layer]]) -> Iterator[Split]:
    parts = tuple(part for part, _ in window)
    matched = [part for part in parts if part in matching.partners[1 - side]]
    if len(matched) > 1:
        return
    candidates = [matching.partners[1 - side][matched[0]]] if matched else _list_wholes(matching, side, container)
    for whole in candidates:
        layer = read_layer(matching.sides[side].records[whole])
        words = _name_split(layer, [part for _, part in window]) if layer is not None else ""
        if words:
            yield Split(side, whole, parts, words)


def _list_wholes(matching: Matching, side: int, container: int) -> list[int]:
    """The free layers under the container's partner, or, of a free container, under the partner of the nearest matched one above."""
    partners = matching.partners[1 - side]
    for above in (container, *matching.sides[1 - side].list_ancestors(container)):
        if above in partners:
            return matching.list_free(side, matching.sides[side].children[partners[above]])
    return []


def _name_split(whole: Layer, parts: list[Layer]) -> str:
    if len(parts) == 2 and is_separated(whole, *parts):
        return SEPARATED
    if is_shared_out(whole, parts):
        return f"its {whole.outputs:,} outputs divided"
    return "factored" if is_factored(whole, parts) else ""


def _find_fused(matching: Matching, side: int, runs: list[int]) -> Iterator[Split]:
    """A norm that disappeared into the layer before it, which got a bias for it."""
    parts_side, whole_side = matching.sides[1 - side], matching.sides[side]
    for first, norm in pairwise(runs):
        whole = matching.partners[1 - side].get(first)
        if whole is None or not matching.is_free(1 - side, norm) or find_family(parts_side.records[norm].type) != "norm":
            continue
        layers = read_layer(parts_side.records[first]), read_layer(whole_side.records[whole])
        biases = [
            any(tensor.name == "bias" for tensor in record.tensors) for record in (parts_side.records[first], whole_side.records[whole])
        ]
        if layers[0] is not None and layers[0] == layers[1] and biases == [False, True]:
            yield Split(side, whole, (first, norm), "a norm and the layer before it")


def _settle(matching: Matching, split: Split) -> bool:
    """Makes the whole and one of its parts partners; False if that may not be."""
    first = split.parts[0]
    pair = (split.whole, first) if split.side == 0 else (first, split.whole)
    current = matching.partners[split.side].get(split.whole)
    if current is None:
        return matching.match(*pair, Found("split", _CONFIDENCE))
    # a layer that kept its name keeps its partner, except that a dense convolution goes on in the depthwise part
    way = matching.found[split.whole if split.side == 0 else current].way
    keeps = way == "pinned" or (way == "place" and split.words != SEPARATED)
    if current != first and not keeps and matching.is_free(1 - split.side, first):
        matching.unmatch(split.side, split.whole)
        if not matching.match(*pair, Found("split", _CONFIDENCE)):
            matching.match(*((split.whole, current) if split.side == 0 else (current, split.whole)), Found("split", _CONFIDENCE))
    return True


# --- the ways in which several layers take the place of one, by their sizes -------------------------------------------


def is_same_map(one: Layer | None, other: Layer | None) -> bool:
    """Whether two layers of other types do the same at each position: a linear layer, a convolution of one by one."""
    if one is None or other is None:
        return False
    return one.is_pointwise and other.is_pointwise and (one.inputs, one.outputs) == (other.inputs, other.outputs)


def is_separated(whole: Layer, first: Layer, second: Layer) -> bool:
    """Whether a dense convolution became a depthwise and a pointwise one, whatever the numbers of channels."""
    fits = first.is_depthwise and first.outputs == second.inputs and second.is_pointwise
    return fits and whole.groups == 1 and not whole.is_pointwise and len(whole.kernel) == len(first.kernel) == len(second.kernel)


def is_factored(whole: Layer, parts: list[Layer]) -> bool:
    """Whether layers one after the other, of the same outer sizes, took the place of one (low rank, 3x1 and 1x3)."""
    chained = all(one.outputs == other.inputs for one, other in pairwise(parts))
    same_ends = parts[0].inputs == whole.inputs and parts[-1].outputs == whole.outputs
    alike = all(len(part.kernel) == len(whole.kernel) and part.groups == whole.groups for part in parts)
    smaller = sum(part.weights for part in parts) < whole.weights
    return len(parts) > 1 and chained and same_ends and alike and smaller


def is_shared_out(whole: Layer, parts: list[Layer]) -> bool:
    """Whether layers side by side make what one made: the same inputs, and the outputs divided among them (qkv to q, k and v)."""
    fits = all(part.inputs == whole.inputs and part.kernel == whole.kernel and part.groups == whole.groups for part in parts)
    return len(parts) > 1 and fits and sum(part.outputs for part in parts) == whole.outputs
