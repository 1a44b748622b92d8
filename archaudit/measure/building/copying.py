"""Copies a live model without its values, so that a measurement never touches the user's own object.

`copy.deepcopy` walks the model, and every tensor in it, registered or a plain attribute, becomes an empty tensor on the meta device. Tied
tensors stay tied, because deepcopy's memo maps one tensor to one copy. (`.to("meta")` would untie weights, and `functional_call` with meta
parameters misses plain attributes and corrupts modules that are registered twice.)
"""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from archaudit.errors import MeasureError, describe_error
from archaudit.measure.formulas.registry import is_sparse
from archaudit.measure.module_tree import walk_tree
from archaudit.measure.tensors import iterate_module_tensors


def copy_to_meta(value: Any, what: str = "the model") -> Any:
    """A deep copy of a model, or of inputs, with every tensor on the meta device. Raises MeasureError if it cannot be copied."""
    depth = max(walk_tree(value).depths) if isinstance(value, nn.Module) else 0
    with _copy_tensors_by(empty_like_meta):
        try:
            return run_with_large_stack(lambda: copy.deepcopy(value), depth)
        except Exception as error:
            raise MeasureError(
                f"{what} cannot be copied: {describe_error(error)}",
                "archaudit measures a copy, so that your model stays unchanged. Pass a reference or a factory function instead.",
            ) from error


def check_copy(model: nn.Module, copied: nn.Module) -> nn.Module:
    """The copy. Raises MeasureError if it shares modules with the model, as a `__deepcopy__` that returns its own object makes it."""
    tree = walk_tree(model)
    shared = [tree.positions[id(module)] for module in walk_tree(copied).modules if id(module) in tree.positions]
    if shared:
        where = tree.paths[shared[0]] or type(model).__name__
        raise MeasureError(
            f"the model cannot be copied: deepcopy of {where} returns the same module",
            "archaudit measures a copy, so that your model stays unchanged. Pass a reference or a factory function instead.",
        )
    return copied


def copy_with_values(value: Any) -> Any:
    """A deep copy of a model, or of inputs. Raises what the copy raises.

    `copy.deepcopy` alone fails for tensors in a compressed sparse layout (CSR, CSC, BSR, BSC), which have no single storage.
    """
    with _copy_tensors_by(lambda tensor: tensor.clone() if is_sparse(tensor) and not tensor.requires_grad else None):
        return copy.deepcopy(value)


def is_on_meta(model: nn.Module) -> bool:
    """Whether every registered tensor is on the meta device."""
    return all(tensor.device.type == "meta" for module in walk_tree(model).modules for _, tensor, _, _ in iterate_module_tensors(module))


def empty_like_meta(tensor: torch.Tensor) -> torch.Tensor:
    """An empty meta tensor with the shape, strides, dtype and `requires_grad` of `tensor`; a Parameter for a Parameter."""
    if is_lazy(tensor):
        kind: Any = type(tensor)
        lazy: torch.Tensor = kind(requires_grad=tensor.requires_grad, device="meta", dtype=tensor.dtype)
        return lazy
    if tensor.layout is torch.strided and not tensor.is_quantized:
        empty = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")
    elif is_sparse(tensor):
        empty = _empty_sparse(tensor)
    else:
        empty = torch.empty(tensor.size(), dtype=tensor.dtype, device="meta")
    if isinstance(tensor, nn.Parameter):
        parameter = nn.Parameter(empty, requires_grad=tensor.requires_grad)
        parameter.__dict__.update(tensor.__dict__)
        return parameter
    return empty.requires_grad_(tensor.requires_grad)


def _empty_sparse(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same sparse layout with as many stored entries. A dense copy would be multiplied element by element."""
    if tensor.layout is torch.sparse_coo:
        indices, values = (torch.empty_like(part, device="meta") for part in (tensor._indices(), tensor._values()))
        coo = torch.sparse_coo_tensor(indices, values, tensor.size(), check_invariants=False)
        return coo._coalesced_(tensor.is_coalesced())
    by_rows = tensor.layout in (torch.sparse_csr, torch.sparse_bsr)
    stored = (tensor.crow_indices(), tensor.col_indices()) if by_rows else (tensor.ccol_indices(), tensor.row_indices())
    compressed, plain, values = (torch.empty_like(part, device="meta") for part in (*stored, tensor.values()))
    return torch.sparse_compressed_tensor(compressed, plain, values, tensor.size(), layout=tensor.layout, check_invariants=False)


@contextmanager
def _copy_tensors_by(copy_one: Callable[[torch.Tensor], torch.Tensor | None]) -> Iterator[None]:
    """While open, deepcopy of a tensor returns the result of `copy_one`, or torch's own copy where that is None."""

    def deepcopy_tensor(tensor: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
        if id(tensor) not in memo:
            copied = copy_one(tensor)
            memo[id(tensor)] = tensor.__deepcopy__(memo) if copied is None else copied
        return memo[id(tensor)]  # type: ignore[no-any-return]

    # copy.deepcopy reads its dispatch table before it calls __deepcopy__, so nothing of torch has to be replaced
    table: dict[type, Any] = copy._deepcopy_dispatch  # type: ignore[attr-defined]
    kinds = [torch.Tensor, nn.Parameter, *_subclasses(torch.Tensor)]
    previous = {kind: table.get(kind) for kind in kinds}
    try:
        for kind in kinds:
            table[kind] = deepcopy_tensor
        yield
    finally:
        for kind, function in previous.items():
            if function is None:
                table.pop(kind, None)
            else:
                table[kind] = function


def _subclasses(kind: type) -> Iterator[type]:
    subclass: type
    for subclass in type.__subclasses__(kind):
        yield subclass
        yield from _subclasses(subclass)


# --- models that are nested deeper than the interpreter's default limits allow ---


T = TypeVar("T")

# The default recursion limit (1,000) is enough up to this depth: each level of modules takes about six Python frames while it is observed.
_SHALLOW = 60
_FRAMES_PER_LEVEL = 12
# A level takes up to about 100 KiB of stack where Python frames alternate with C code. Only address space is reserved, not memory.
_STACK_BYTES = 1 << 29


def run_with_large_stack(function: Callable[[], T], depth: int) -> T:
    """Calls `function` with enough stack for `depth` nested modules: if needed on a thread with a large stack and a higher recursion limit.

    Raises what `function` raises. Restores the recursion limit and the stack size of new threads.
    """
    if depth <= _SHALLOW:
        return function()
    result: list[T] = []
    failure: list[BaseException] = []

    def call() -> None:
        try:
            result.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            failure.append(error)

    limit, stack_bytes = sys.getrecursionlimit(), threading.stack_size(_STACK_BYTES)
    sys.setrecursionlimit(max(limit, 1000 + _FRAMES_PER_LEVEL * depth))
    try:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(stack_bytes)
        sys.setrecursionlimit(limit)
    if failure:
        raise failure[0]
    return result[0]
