"""The sizes of a model's input that can vary, by name: `B`, `T`, `H`, `W`; and the same inputs in other sizes.

The names follow from the layout of a tensor and from the name of its argument. Which of them vary is found by running the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree

from archaudit.measure.building import describe_inputs
from archaudit.measure.model_run import Run
from archaudit.measure.tensors import list_tensors_within, shape_of

MEANINGS = {
    "B": "batch",
    "T": "length",
    "T_dec": "length of the decoder's input",
    "T_kv": "length of the cache",
    "H": "height",
    "W": "width",
    "L": "length of each row",
}


@dataclass(frozen=True, slots=True)
class Place:
    """One dimension of one input tensor."""

    tensor: int
    dimension: int


def find_variables(run: Run) -> tuple[dict[str, int], dict[str, list[Place]]]:
    """The size of each variable in the inputs of the run, and the places that it has there. A variable of another size has another name."""
    sizes: dict[str, int] = {}
    places: dict[str, list[Place]] = {}
    tensors = list_tensors_within((run.args, run.kwargs))
    records = describe_inputs(run.args, run.kwargs)
    for number, (tensor, record) in enumerate(zip(tensors, records, strict=True)):
        for dimension, symbol in _read_layout(tensor, record.name).items():
            size = int(tensor.shape[dimension])
            name, count = symbol, 1
            while name in sizes and sizes[name] != size:
                count += 1
                name = f"{symbol}{count}"
            if size == 1 and symbol != "B":
                continue  # a dimension that is broadcast
            sizes[name] = size
            places.setdefault(name, []).append(Place(number, dimension))
    return sizes, places


def _read_layout(tensor: torch.Tensor, name: str) -> dict[int, str]:
    """The meaning of each dimension that may vary: images, video, sequences of vectors, of ids, caches of keys and values."""
    lowered, count = name.lower(), tensor.dim()
    if lowered.startswith(("past", "cache")) and count == 4:
        return {0: "B", 2: "T_kv"}
    length = "T_dec" if lowered.startswith(("decoder", "tgt", "target")) else "T"
    if not tensor.is_floating_point():
        return {0: {0: "B", 1: length}, 1: {0: "B"}}.get(max(0, 2 - count), {}) if count in (1, 2) else {}
    if count == 5:
        channels_first = tensor.shape[2] != 3 or tensor.shape[1] == 3
        return {0: "B", 2: "T", 3: "H", 4: "W"} if channels_first else {0: "B", 1: "T", 3: "H", 4: "W"}
    return {4: {0: "B", 2: "H", 3: "W"}, 3: {0: "B", 1: length, 2: "L"}, 2: {0: "B", 1: "L"}, 1: {0: "B"}}.get(count, {})


def resize_inputs(run: Run, places: Mapping[str, list[Place]], sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The inputs of the run in other sizes. Integers keep their values: rows and tokens that are added repeat the last ones."""
    given = run.copy_inputs()
    tensors = list_tensors_within(given)
    shapes = [list(shape_of(tensor)) for tensor in tensors]
    for name, size in sizes.items():
        for place in places[name]:
            shapes[place.tensor][place.dimension] = size
    known = run.shape_cache.known_values
    resized: dict[int, torch.Tensor] = {}
    for tensor, shape in zip(tensors, shapes, strict=True):
        if shape == list(tensor.shape):
            continue
        made = resized[id(tensor)] = tensor.new_empty(shape)
        value = known.find(tensor) if tensor.is_meta else None
        if value is not None:
            for dimension, size in enumerate(shape):
                value = value.index_select(dimension, torch.arange(size, device="cpu").clamp(max=value.shape[dimension] - 1))
            known.record(made, value)
    args, kwargs = _pytree.tree_map(lambda value: resized.get(id(value), value), given)
    return args, kwargs
