"""The orders in which the values of one tensor can be in another: as they are, transposed, or with pixels moved into channels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import NamedTuple

from archaudit.diff.checkpoint.transforms import MatchedModules, find_order, measure_rows
from archaudit.schema import JoinedRows, ModuleRecord, Pair, PermutedAxes, Shape, TensorRecord, WeightSource


class Arrangement(NamedTuple):
    """A way to fill a tensor from another one; tensors with one `label` are arranged alike."""

    label: str
    source: WeightSource


class Arrangements:
    """The arrangements that are possible between the matched modules of two models.

    torch's layers store (outputs, inputs), transformers' Conv1D (inputs, outputs); how a class of the user stores a weight is seen from the
    weights that are not square. Where all weights between two types are square, both orders are possible.
    """

    def __init__(self, modules: MatchedModules) -> None:
        self._votes: defaultdict[tuple[str, str], set[bool]] = defaultdict(set)
        for after_path, before_path in modules.origins.items():
            before, after = modules.before[before_path], modules.after[after_path]
            shapes = {tensor.name: _squeeze(tensor.shape) for tensor in before.tensors}
            for tensor in after.tensors:
                self.record_shapes(before, after, shapes.get(tensor.name, ()), _squeeze(tensor.shape))

    def record_shapes(self, before: ModuleRecord, after: ModuleRecord, shape: Shape, other: Shape) -> None:
        """Learns from two matrices of matched layers whether their types store weights in the same order."""
        if len(shape) == len(other) == 2 and shape != shape[::-1] and other in (shape, shape[::-1]):
            self._votes[before.type, after.type].add(other != shape)

    def record_order(self, before: ModuleRecord, after: ModuleRecord, *, swapped: bool) -> None:
        """Learns from layers that were joined or divided."""
        self._votes[before.type, after.type].add(swapped)

    def knows_order(self, before: ModuleRecord, after: ModuleRecord) -> bool | None:
        """Whether one type stores its weights transposed to the other; None where nothing says so."""
        layouts = Pair(before, after).map(find_order)
        if layouts.before is not None and layouts.after is not None:
            return layouts.before != layouts.after
        if before.type == after.type:
            return False
        votes = self._votes[before.type, after.type]
        return next(iter(votes)) if len(votes) == 1 else None

    def list_possible(self, name: str, before: ModuleRecord, after: ModuleRecord, shape: Shape, tensor: TensorRecord) -> list[Arrangement]:
        """How the tensor `name` of before can fill `tensor` of after, the likeliest first; empty where it cannot."""
        if tensor.kind == "buffer":  # may be flattened; a flattened weight is another layer, unless its rows are the same
            return [Arrangement("same", JoinedRows(tensors=(name,)))] if prod(shape) == prod(tensor.shape) else []
        found = list(_iterate_arrangements(name, shape, tensor.shape))
        if all(label in ("same", "transposed") for label, _ in found):
            swapped = self.knows_order(before, after)
            fixed = all(find_order(side) is not None for side in (before, after))
            if len(found) == 2 and swapped is not None:
                return [each for each in found if (each.label == "transposed") == swapped]
            if len(found) == 2 and "Conv1D" in (before.type, after.type):
                return found[::-1]
            if len(found) == 1 and found[0].label == "transposed" and fixed and not swapped:
                return []
        return found


def _squeeze(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _iterate_arrangements(name: str, before: Shape, after: Shape) -> Iterator[Arrangement]:
    one, other = _squeeze(before), _squeeze(after)
    moved = [] if one == other else list(_move_pixels(name, before, after))
    has_kernels = _measure_kernel(before) > 1 and _measure_kernel(after) > 1
    if one == other or (measure_rows(before) == measure_rows(after) and not (moved and has_kernels)):
        yield Arrangement("same", JoinedRows(tensors=(name,)))
    if len(one) == len(other) == 2 and one == other[::-1]:
        yield Arrangement("transposed", JoinedRows(tensors=(name,), transposed=True))
    yield from moved


# --- pixels moved into channels (space to depth) ---


def _move_pixels(name: str, before: Shape, after: Shape) -> Iterator[Arrangement]:
    """A layer on the pixels of each square as channels has the weights of a layer with a larger kernel, in one of four orders.

    The channels are ordered by the place in the square and then by channel, or the reverse; places by rows or by columns.
    """
    small, large = (before, after) if _measure_kernel(before) < _measure_kernel(after) else (after, before)
    kernel = large[2:]
    if len(small) < 2 or not kernel or small[0] != large[0] or len(small) not in (2, len(large)):
        return
    inner = small[2:] or (1,) * len(kernel)
    if any(size % part for size, part in zip(kernel, inner, strict=True)):
        return
    square = tuple(size // part for size, part in zip(kernel, inner, strict=True))
    if prod(square) == 1 or small[1] != large[1] * prod(square):
        return
    count = len(kernel)
    # axes of the large kernel, split: outputs, channels, then of each dimension the place of the square and the place in it
    outputs, channels = 0, 1
    outer, places = [2 + 2 * each for each in range(count)], [3 + 2 * each for each in range(count)]
    split = (large[0], large[1], *(size for pair in zip(inner, square, strict=True) for size in pair))
    orders = {
        "places, channels": [*places, channels],
        "places by columns, channels": [*places[::-1], channels],
        "channels, places": [channels, *places],
        "channels, places by columns": [channels, *places[::-1]],
    }
    seen: set[tuple[int, ...]] = set()
    for label, order in orders.items():
        axes = (outputs, *order, *outer)
        # with a kernel of one, channels before places is the plain order
        if axes in seen or (prod(inner) == 1 and order == [channels, *places]):
            continue
        seen.add(axes)
        if small is after:
            yield Arrangement(label, PermutedAxes(tensor=name, sizes=split, axes=axes))
        else:
            sizes = tuple(split[axis] for axis in axes)
            yield Arrangement(label, PermutedAxes(tensor=name, sizes=sizes, axes=tuple(axes.index(axis) for axis in range(len(axes)))))


def _measure_kernel(shape: Shape) -> int:
    return prod(shape[2:])


# --- parameters that neither a name nor a match pairs: paired by their sizes ---


# Tensors of one size: in one module (its path before), or anywhere (None); of so many rows and elements, or of so many elements.
_Size = tuple[str | None, bool, tuple[int, int]]


def pair_by_size(
    modules: MatchedModules, unmatched: Mapping[str, tuple[str, TensorRecord]], sources: Iterable[WeightSource]
) -> dict[str, str]:
    """Parameters of after to unused parameters of before, where both sides have equally many of a size: those in one module first."""
    used = {name for source in sources for name in source.names}
    groups: defaultdict[_Size, Pair[list[str]]] = defaultdict(lambda: Pair([], []))
    for name, (module, tensor) in modules.before.tensors.items():
        if tensor.kind == "parameter" and tensor.tied_to is None and name not in used:
            for size in _list_sizes(tensor.shape, [module.path, None]):
                groups[size].before.append(name)
    for name, (after_path, tensor) in unmatched.items():
        for size in _list_sizes(tensor.shape, [modules.origins.get(after_path), None]):
            groups[size].after.append(name)
    found: dict[str, str] = {}
    for size in sorted(groups, key=lambda size: (size[0] is None, size[1])):
        taken = set(found.values())
        names_before = [name for name in groups[size].before if name not in taken]
        names_after = [name for name in groups[size].after if name not in found]
        if len(names_before) == len(names_after):
            found |= dict(zip(names_after, names_before, strict=True))
    return found


def _list_sizes(shape: Shape, places: Iterable[str | None]) -> Iterator[_Size]:
    for place in dict.fromkeys(places):
        yield place, False, measure_rows(shape)
        if len(_squeeze(shape)) == 2:  # a transposed matrix has other rows
            yield place, True, (min(_squeeze(shape)), prod(shape))
