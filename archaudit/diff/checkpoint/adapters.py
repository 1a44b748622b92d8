"""Low-rank adapters (LoRA) that were merged into the layers that they belong to: which tensors of before are one layer's adapter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import NamedTuple

import msgspec

from archaudit.diff.checkpoint.transforms import MatchedModules
from archaudit.index import is_below, parent_path
from archaudit.schema import FoldedAdapter, JoinedRows, WeightSource

# Factors to try: the one that an attribute of the model has, then common ones that only forward has (alpha is often the rank, or twice it).
ADAPTER_SCALES = (None, 1.0, 2.0, 0.5)


class _Matrix(NamedTuple):
    """A weight of before as a matrix (a kernel is flattened): its module, its place in the profile, its rows and columns."""

    name: str
    path: str
    position: int
    rows: int
    columns: int


class _Layer(NamedTuple):
    """The weight of a layer before, and the tensor of after that takes its values, `swapped` where only one of them is transposed."""

    target: str
    weight: _Matrix
    transposed: bool
    swapped: bool


def fold_adapters(modules: MatchedModules, sources: Mapping[str, WeightSource], scale: float | None) -> dict[str, FoldedAdapter]:
    """For each tensor of after whose layer had an adapter before that has no counterpart after: the layer's weight with the adapter added.

    The deepest containers come first: a layer takes the adapter from the smallest container that holds both.
    """
    matrices = {name: _read_matrix(modules, name, position) for position, name in enumerate(modules.before.tensors)}
    used = {name for source in sources.values() for name in source.names}
    free = {name: matrix for name, matrix in matrices.items() if matrix is not None and name not in used}
    waiting = [(layer, parent_path(layer.weight.path)) for layer in _list_layers(modules, sources, matrices)]
    found: dict[str, FoldedAdapter] = {}
    while waiting and len(free) > 1:
        deepest = max(_measure_depth(container) for _, container in waiting)
        remaining = []
        for layer, container in waiting:
            if _measure_depth(container) < deepest:
                remaining.append((layer, container))
                continue
            near = [each for each in free.values() if not container or each.path == container or is_below(each.path, container)]
            best = min(_list_adapters(modules, layer, near), default=None, key=lambda rated: rated[0])
            if best is not None:
                _, adapter = best
                found[layer.target] = msgspec.structs.replace(adapter, scale=scale)
                del free[adapter.down], free[adapter.up]
            elif container:
                remaining.append((layer, parent_path(container)))
        waiting = remaining
    return found


def _measure_depth(path: str) -> int:
    return path.count(".") + 1 if path else 0


def _read_matrix(modules: MatchedModules, name: str, position: int) -> _Matrix | None:
    module, tensor = modules.before.tensors[name]
    if tensor.kind != "parameter" or tensor.tied_to is not None or len(tensor.shape) < 2 or 0 in tensor.shape:
        return None
    return _Matrix(name, module.path, position, tensor.shape[0], prod(tensor.shape[1:]))


def _list_layers(modules: MatchedModules, sources: Mapping[str, WeightSource], matrices: Mapping[str, _Matrix | None]) -> Iterator[_Layer]:
    """The weights of after that are one weight of before, as it is or transposed."""
    for target, source in sources.items():
        if isinstance(source, JoinedRows) and len(source.tensors) == 1 and source.stop is None and not source.transposed_parts:
            weight = matrices.get(source.tensors[0])
            if weight is not None:
                yield _Layer(target, weight, modules.before[weight.path].type == "Conv1D", source.transposed)


# How likely two matrices are a layer's adapter; the smallest is the likeliest.
_Rating = tuple[bool, bool, int]


def _list_adapters(modules: MatchedModules, layer: _Layer, near: list[_Matrix]) -> Iterator[tuple[_Rating, FoldedAdapter]]:
    """The pairs of matrices whose product has the shape of the layer's weight."""
    outputs, inputs = layer.weight.rows, layer.weight.columns
    if layer.transposed:
        outputs, inputs = inputs, outputs
    for transposed_factors in (False, True):
        shapes = {each: (each.columns, each.rows) if transposed_factors else (each.rows, each.columns) for each in near}
        for down in near:
            rank = shapes[down][0]
            if shapes[down][1] != inputs or rank > min(outputs, inputs):
                continue
            for up in near:
                if up is not down and shapes[up] == (outputs, rank):
                    yield (
                        _rate(modules, layer, down, up),
                        FoldedAdapter(
                            weight=layer.weight.name,
                            down=down.name,
                            up=up.name,
                            transposed_factors=transposed_factors,
                            transposed=layer.transposed,
                            transposed_result=layer.swapped,
                        ),
                    )


def _rate(modules: MatchedModules, layer: _Layer, down: _Matrix, up: _Matrix) -> _Rating:
    """Pairs that run one after the other come first, then those that have the layer's input, then those registered closest to the layer."""
    inputs = modules.before.inputs
    follows = down.path in inputs.get(up.path, ()) if down.path != up.path else down.position < up.position
    same_input = set(inputs.get(down.path, ())) == set(inputs.get(layer.weight.path, ()))
    distance = abs(down.position - layer.weight.position) + abs(up.position - layer.weight.position)
    return not follows, not same_input, distance
