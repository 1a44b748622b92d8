"""Finding the tensors in whatever a module takes or returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import torch

# Deeper nesting than this is a cyclic or pathological structure, not an output.
_DEEPEST = 16


def iterate_tensors_in(value: object, depth: int = 0) -> Iterator[torch.Tensor]:
    """Every tensor in `value`: itself, or in tuples, lists, sets, mappings and dataclasses, at any depth that makes sense."""
    if isinstance(value, torch.Tensor):
        yield value
    elif value is None or isinstance(value, int | float | str | bytes) or depth > _DEEPEST:
        return
    elif isinstance(value, tuple | list | set | frozenset):
        for item in value:
            yield from iterate_tensors_in(item, depth + 1)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from iterate_tensors_in(item, depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from iterate_tensors_in(getattr(value, field.name, None), depth + 1)


def shape_of(tensor: torch.Tensor) -> tuple[int, ...]:
    """The sizes of `tensor` as plain ints."""
    return tuple(int(size) for size in tensor.shape)


def bytes_of(tensor: torch.Tensor) -> int:
    """The bytes that reading all of `tensor` touches: an expanded tensor is no larger than the memory behind it."""
    size = int(tensor.numel()) * tensor.element_size()
    try:
        return min(size, int(tensor.untyped_storage().nbytes()))
    except (NotImplementedError, RuntimeError):  # sparse and other layouts without one storage
        return size
