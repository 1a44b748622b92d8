"""What an operator does to memory, read from its schema: makes a view, writes in place, gathers."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Traits:
    """`is_view`: every tensor that it returns shares memory with an argument that it does not write, or it returns none.

    `written_positions` and `written_names` are the arguments that it writes in place. `gathers`: it reads only as much of its first
    argument as it writes out (a table lookup).
    """

    name: str
    is_view: bool
    written_positions: tuple[int, ...]
    written_names: tuple[str, ...]
    gathers: bool


# Operators that read single rows or elements of a table: counting the whole table as moved would overstate an embedding
# lookup by the size of the vocabulary.
_GATHERING = frozenset(
    {"aten::embedding", "aten::index", "aten::index_select", "aten::gather", "aten::take", "aten::_embedding_bag", "aten::_unsafe_index"}
)


@cache
def read_traits(operator: Any) -> Traits:
    """The traits of an operator; one without a schema (a higher-order operator) neither views nor writes."""
    schema = getattr(operator, "_schema", None)
    if schema is None:
        return Traits(f"higher_order::{operator}", False, (), (), False)
    positions, names = [], []
    for number, argument in enumerate(schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            names.append(argument.name)
            if not argument.kwarg_only:
                positions.append(number)
    returned = [result.alias_info for result in schema.returns]
    # an operator that asks for a device or a size touches no memory either
    asks = schema.name.startswith(("prim::", "aten::sym_"))
    is_view = asks or (bool(returned) and all(alias is not None and not alias.is_write for alias in returned))
    return Traits(schema.name, is_view and not names, tuple(positions), tuple(names), schema.name in _GATHERING)


# --- the peak of live activation bytes: which memory is held at once while the model runs ---


class LivenessRecorder:
    """Adds up the bytes of live storages; `peak_bytes` is the most there ever were at once."""

    def __init__(self) -> None:
        self.live_bytes = 0
        self.peak_bytes = 0
        self._watched: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def watch(self, tensor: torch.Tensor) -> int:
        """Counts the storage of `tensor` as live from now on, once; the bytes that this added."""
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):  # sparse and other layouts without one storage
            return 0
        key = int(storage._cdata)
        if key in self._watched:
            return 0
        size = int(storage.nbytes())

        def forget(_reference: object) -> None:
            if self._watched.pop(key, None) is not None:
                self.live_bytes -= size

        self._watched[key] = weakref.ref(storage, forget)
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        return size

    def close(self) -> None:
        """Stops watching; later drops change nothing."""
        self._watched.clear()
