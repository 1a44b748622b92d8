"""What an operator does to memory, read from its schema, and the peak of live activation bytes."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from archaudit.measure.tensors import count_touched_bytes, list_tensors_in, storage_key


@dataclass(frozen=True, slots=True)
class Traits:
    """How an operator uses memory.

    `is_view`: every tensor that it returns shares memory with an argument that it does not write, or it returns no tensor.
    `written_positions` and `written_names` are the arguments that it writes in place. `is_lookup`: it reads only as many bytes of its first
    argument as it returns (a table lookup). `replaces`: it writes its first argument without reading it (`copy_`, `fill_`).
    `only_allocates`: it neither reads nor writes values.
    """

    name: str
    is_view: bool
    written_positions: tuple[int, ...]
    written_names: tuple[str, ...]
    is_lookup: bool
    replaces: bool = False
    only_allocates: bool = False


# Operators that read single rows or elements of a table. If the whole table counted as moved, the moved bytes of an embedding would grow
# with the vocabulary.
_LOOKUPS = frozenset(
    {"aten::embedding", "aten::index", "aten::index_select", "aten::gather", "aten::take", "aten::_embedding_bag", "aten::_unsafe_index"}
)

_REPLACE = frozenset(
    f"aten::{name}_"
    for name in ("copy", "fill", "zero", "normal", "uniform", "bernoulli", "random", "exponential", "log_normal", "cauchy", "geometric")
)
# Operators that return or resize memory without touching values.
_ONLY_ALLOCATE = frozenset(
    f"aten::{name}"
    for name in (
        "empty",
        "empty_like",
        "empty_permuted",
        "empty_strided",
        "new_empty",
        "new_empty_strided",
        "resize_",
        "resize_as_",
        "set_",
    )
)


@cache
def read_traits(operator: Any) -> Traits:
    """The traits of an operator. One without a schema (a higher-order operator) counts as neither a view nor a write."""
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
    # an operator that returns a device or a size touches no memory either
    is_query = schema.name.startswith(("prim::", "aten::sym_"))
    is_view = is_query or (bool(returned) and all(alias is not None and not alias.is_write for alias in returned))
    return Traits(
        schema.name,
        is_view and not names,
        tuple(positions),
        tuple(names),
        is_lookup=schema.name in _LOOKUPS,
        replaces=schema.name in _REPLACE,
        only_allocates=schema.name in _ONLY_ALLOCATE,
    )


# Operators that update the running statistics in place although their schemas do not say so: the positions of the statistics, and of the
# argument that says whether they are updated.
_UPDATE_STATISTICS = {f"aten::{name}": (slice(3, 5), 5) for name in ("native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm")}


def list_written(traits: Traits, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The tensors that a call of an operator writes in place."""
    if traits.name in _UPDATE_STATISTICS:
        statistics, training = _UPDATE_STATISTICS[traits.name]
        return list_tensors_in(args[statistics]) if args[training] else []
    if not traits.written_names:
        return []
    positional = [args[number] for number in traits.written_positions if number < len(args)]
    return list_tensors_in(positional, [kwargs[name] for name in traits.written_names if name in kwargs])


def returns_views(traits: Traits, input_storages: Collection[int], outputs: Sequence[torch.Tensor]) -> bool:
    """Whether the operator returned only views of its inputs. Schemas do not always say so: `_unsafe_view`, `unsafe_split`.

    `input_storages` are the keys (`storage_key`) of the inputs.
    """
    if traits.is_view:
        return True
    if traits.written_names or not outputs:
        return False
    keys = map(storage_key, outputs)
    return all(key and key in input_storages for key in keys)


def count_moved_bytes(
    traits: Traits, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor], written: Sequence[torch.Tensor]
) -> int:
    """The bytes that an operator reads and writes; `written` are the inputs that it writes in place.

    A tensor counts as the memory behind it: an expanded one has more elements than bytes.
    """
    if traits.only_allocates:
        return 0
    is_out = traits.written_names and not traits.written_positions  # `out=` is written, not read
    skipped = written if is_out else written[:1] if traits.replaces else ()
    result = sum(map(count_touched_bytes, outputs))
    read = [count_touched_bytes(tensor) for tensor in inputs if not any(tensor is each for each in skipped)]
    if traits.is_lookup and read:
        read[0] = min(read[0], result)
    return result + sum(read)


class LivenessRecorder:
    """Counts the bytes of live storages; `peak_bytes` is the largest number of bytes that were live at the same time."""

    def __init__(self) -> None:
        self.live_bytes = 0
        self.peak_bytes = 0
        self._watched: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def watch(self, tensor: torch.Tensor) -> int:
        """Counts the storage of `tensor` as live until it is freed. Returns the bytes that this added: 0 for a storage already counted."""
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
        """Stops the count; tensors that are freed later change nothing."""
        self._watched.clear()


_decomposed: dict[Any, bool] = {}


def needs_decomposition(operator: Any) -> bool:
    """Whether this is a composite operator, which torch decomposes before dispatch outside inference mode."""
    known = _decomposed.get(operator)
    if known is None:
        key = torch._C.DispatchKey.CompositeImplicitAutograd
        known = _decomposed[operator] = (
            isinstance(operator, torch._ops.OpOverload)
            and torch._C._dispatch_has_kernel(operator.name())
            and torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), key)
            and not read_traits(operator).is_view
        )
    return known
