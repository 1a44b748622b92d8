"""Finding the tensors in whatever a module takes or returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import torch

# Deeper nesting than this is a cyclic or pathological structure, not an output.
_DEEPEST = 16
_SCALARS = (int, float, str, bytes)
_SEQUENCES = (tuple, list, set, frozenset)


def iterate_tensors_in(value: object) -> Iterator[torch.Tensor]:
    """Every tensor in `value`: itself, or in tuples, lists, sets, mappings and dataclasses, at any depth that makes sense."""
    return iter(list_tensors_in(value))


def list_tensors_in(*values: object) -> list[torch.Tensor]:
    """The tensors in all of `values`, in order."""
    found: list[torch.Tensor] = []
    for value in values:
        _collect(value, found, 0)
    return found


def _collect(value: object, found: list[torch.Tensor], depth: int) -> None:
    """Called several times for each operator: a list that is filled is twice as fast as generators within generators."""
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif value is None or isinstance(value, _SCALARS) or depth > _DEEPEST:
        return
    elif isinstance(value, _SEQUENCES):
        for item in value:
            _collect(item, found, depth + 1)
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect(item, found, depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            _collect(getattr(value, field.name, None), found, depth + 1)


def shape_of(tensor: torch.Tensor) -> tuple[int, ...]:
    """The sizes of `tensor` as plain ints."""
    return tuple(map(int, tensor.shape))


def bytes_of(tensor: torch.Tensor) -> int:
    """The bytes that reading all of `tensor` touches: an expanded tensor is no larger than the memory behind it."""
    size = int(tensor.numel()) * tensor.element_size()
    try:
        return min(size, int(tensor.untyped_storage().nbytes()))
    except (NotImplementedError, RuntimeError):  # sparse and other layouts without one storage
        return size
