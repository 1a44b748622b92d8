"""Parameters and buffers: the tensors of each module, which names share one tensor, and their sizes; and the tensors inside any value.

Each tensor counts once, at its first owner in `named_modules()` order. Its other names have that owner as `tied_to`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import msgspec
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from archaudit.errors import MeasureError
from archaudit.measure.module_tree import ModuleTree
from archaudit.schema import TensorRecord
from archaudit.schema.record import escape_surrogates

# The attribute of a parameter that says what initialised it; set where the model is built.
INIT_NOTE = "_archaudit_init"
# The attribute of a parameter that names the parameter of which it is a copy.
COPY_NOTE = "_archaudit_copy_of"


@dataclass(slots=True)
class ModuleTensors:
    """The tensors that one module holds directly, and the counts of those that it owns first."""

    tensors: list[TensorRecord] = field(default_factory=list)
    params: int = 0
    trainable_params: int = 0
    buffers: int = 0
    param_bytes: int = 0


def read_module_tensors(tree: ModuleTree, used: Collection[int] | None = None) -> tuple[list[ModuleTensors], tuple[tuple[str, ...], ...]]:
    """The tensors of each module of the tree, and the groups of names that share one tensor.

    `used` has the storage keys (`storage_key`) of the tensors that the forward pass read; None when the model was not run.
    """
    owners: dict[int, str] = {}
    groups: dict[int, list[str]] = {}
    found = []
    for module, path in zip(tree.modules, tree.paths, strict=True):
        held = ModuleTensors()
        for name, tensor, kind, persistent in iterate_module_tensors(module):
            name = escape_surrogates(name)
            full = f"{path}.{name}" if path else name
            owner = owners.setdefault(id(tensor), full)
            groups.setdefault(id(tensor), []).append(full)
            record = _describe(name, tensor, kind, persistent, tied_to=owner if owner != full else None, used=used)
            packed = None if is_lazy(tensor) else count_packed_weights(tensor, name, module)
            held.tensors.append(msgspec.structs.replace(record, logical_elements=packed) if packed is not None else record)
            if owner == full:
                _add_counts(held, tensor, kind)
        found.append(held)
    return found, tuple(tuple(names) for names in groups.values() if len(names) > 1)


def iterate_module_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor, str, bool]]:
    """The tensors registered on `module` itself: name, tensor, `parameter` or `buffer`, and whether a checkpoint contains it."""
    tables = (("parameter", module._parameters), ("buffer", module._buffers))
    transient: Collection[str] = getattr(module, "_non_persistent_buffers_set", ())
    for kind, table in tables:
        for name in list(table.keys()):
            tensor = table[name]
            if tensor is not None:
                yield name, tensor, kind, name not in transient


def name_parameters(tree: ModuleTree) -> Iterator[tuple[str, nn.Parameter]]:
    """Each parameter that has memory, by its full name."""
    for module, path in zip(tree.modules, tree.paths, strict=True):
        for name, parameter in list(module._parameters.items()):
            if parameter is not None and not is_lazy(parameter):
                yield f"{path}.{name}" if path else name, parameter


def storage_key(tensor: torch.Tensor) -> int:
    """A key that two tensors share exactly when they share memory; 0 for a tensor without a single storage (a sparse one)."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return 0


def _describe(
    name: str, tensor: torch.Tensor, kind: str, persistent: bool, *, tied_to: str | None, used: Collection[int] | None
) -> TensorRecord:
    lazy = is_lazy(tensor)
    return TensorRecord(
        name=name,
        kind="parameter" if kind == "parameter" else "buffer",
        persistent=persistent,
        shape=() if lazy else tuple(int(size) for size in tensor.shape),
        dtype=str(tensor.dtype).removeprefix("torch."),
        trainable=kind == "parameter" and tensor.requires_grad,
        tied_to=tied_to,
        init=getattr(tensor, INIT_NOTE, None) if kind == "parameter" else None,
        used=None if used is None or lazy else storage_key(tensor) in used,
    )


def _add_counts(held: ModuleTensors, tensor: torch.Tensor, kind: str) -> None:
    if is_lazy(tensor):
        return  # a lazy parameter that no forward pass has given a shape has no elements
    parts = list_sparse_parts(tensor)
    count = parts[-1].numel() if parts else tensor.numel()
    if kind == "buffer":
        held.buffers += count
        return
    held.params += count
    held.param_bytes += count * tensor.element_size()
    if tensor.requires_grad:
        held.trainable_params += count


# --- packed weights: tensors of quantization libraries that hold several small weights in each element ---


# GPTQ and AWQ layers pack eight weights of 4 bits into an int32, in a buffer or parameter of this name.
_PACKED_NAMES = frozenset({"qweight"})
_DEFAULT_BITS = 4


def count_packed_weights(tensor: torch.Tensor, name: str, module: nn.Module) -> int | None:
    """The number of weights in a packed tensor; None for a tensor that is not recognised as packed.

    Recognised: 4-bit parameters of bitsandbytes (two weights in a byte; `quant_state` has the original shape), and integer tensors named
    `qweight` of GPTQ and AWQ (`bits` or `w_bit` of their module is the size of one weight).
    """
    state: Any = getattr(tensor, "quant_state", None)
    shape = getattr(state, "shape", None)
    if shape is not None:
        return math.prod(int(size) for size in shape)
    if type(tensor).__name__ == "Params4bit" and tensor.dtype == torch.uint8:
        return tensor.numel() * 2
    if name in _PACKED_NAMES and tensor.dtype in (torch.int32, torch.int64):
        bits = getattr(module, "bits", getattr(module, "w_bit", _DEFAULT_BITS))
        return tensor.numel() * tensor.element_size() * 8 // bits if isinstance(bits, int) and bits > 0 else None
    return None


# --- the tensors inside the arguments and results of modules and operators ---


# Deeper nesting is a cyclic or broken structure, not an output.
_DEEPEST = 16
# A structure that contains itself twice has 2^16 items down to that level, one that contains itself often has no end in practice.
_MOST_ITEMS = 1_000_000
_SCALARS = (int, float, str, bytes)
_SEQUENCES = (tuple, list, set, frozenset)


def iterate_tensors_in(value: object) -> Iterator[torch.Tensor]:
    """Every tensor in `value`: the value itself, or those in tuples, lists, sets, mappings and dataclasses, at most 16 levels deep."""
    return iter(list_tensors_in(value))


def list_tensors_in(*values: object) -> list[torch.Tensor]:
    """The tensors in all of `values`, in order. Raises MeasureError for a structure without end, or with more than a million items."""
    found: list[torch.Tensor] = []
    visited = [0]
    for value in values:
        _collect(value, found, visited, 0)
    return found


def _collect(value: object, found: list[torch.Tensor], visited: list[int], depth: int) -> None:
    """Appends to a list: this runs several times for each operator, and nested generators take twice as long."""
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif value is None or isinstance(value, _SCALARS) or depth > _DEEPEST:
        return
    elif isinstance(value, _SEQUENCES):
        _collect_all(value, found, visited, depth + 1)
    elif isinstance(value, Mapping):
        _collect_all(value.values(), found, visited, depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for attribute in dataclasses.fields(value):
            _collect(getattr(value, attribute.name, None), found, visited, depth + 1)


def _collect_all(values: Iterable[object], found: list[torch.Tensor], visited: list[int], depth: int) -> None:
    for number, item in enumerate(values, 1):
        if number + visited[0] > _MOST_ITEMS:
            raise MeasureError(f"an input or output has more than {_MOST_ITEMS:,} items", "Measure a module that returns fewer.")
        _collect(item, found, visited, depth)
    visited[0] += len(values) if type(values) in _SEQUENCES else 1  # type: ignore[arg-type]


def list_tensors_within(value: object, seen: set[int] | None = None) -> list[torch.Tensor]:
    """The tensors of `list_tensors_in`, and those in the attributes of other objects (a cache of keys and values), in order.

    Each such object counts once; `seen` has the ids of those that were listed by earlier calls.
    """
    found: list[torch.Tensor] = []
    _collect_within(value, found, set() if seen is None else seen, 0)
    return found


def _collect_within(value: object, found: list[torch.Tensor], seen: set[int], depth: int) -> None:
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif value is None or isinstance(value, (*_SCALARS, type, ModuleType, nn.Module)) or depth > _DEEPEST:
        return
    elif isinstance(value, _SEQUENCES):
        for item in value:
            _collect_within(item, found, seen, depth + 1)
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect_within(item, found, seen, depth + 1)
    elif id(value) not in seen:
        seen.add(id(value))
        slots = [name for kind in type(value).__mro__ for name in vars(kind).get("__slots__", ()) if isinstance(name, str)]
        for item in (*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots)):
            _collect_within(item, found, seen, depth + 1)


def shape_of(tensor: torch.Tensor) -> tuple[int, ...]:
    """The sizes of `tensor` as plain ints. Of a nested (ragged) tensor: how many there are, and the largest size in each dimension."""
    if tensor.is_nested:
        return _shape_of_nested(tensor)
    return tuple(map(int, tensor.shape))


def _shape_of_nested(tensor: torch.Tensor) -> tuple[int, ...]:
    if tensor.layout is torch.strided:  # torch itself gives neither its sizes nor its operators
        raise MeasureError("a nested tensor of the strided layout cannot be measured", "Make it with layout=torch.jagged.")
    parts = [tuple(map(int, part.shape)) for part in tensor.unbind()]
    return (len(parts), *(max(sizes) for sizes in zip(*parts, strict=True)))


def count_touched_bytes(tensor: torch.Tensor) -> int:
    """The bytes of memory behind `tensor`: an expanded tensor has more elements than its storage, a sparse one has indices and values."""
    parts = list_sparse_parts(tensor)
    if parts:
        return sum(int(part.numel()) * part.element_size() for part in parts)
    size = int(tensor.numel()) * tensor.element_size()
    try:
        return min(size, int(tensor.untyped_storage().nbytes()))
    except (NotImplementedError, RuntimeError):  # other layouts without one storage
        return size


def list_sparse_parts(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The indices and then the stored values of a sparse tensor; empty for any other layout."""
    layout = tensor.layout
    if layout is torch.strided:
        return ()
    if layout is torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if layout in (torch.sparse_csc, torch.sparse_bsc):
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return ()
