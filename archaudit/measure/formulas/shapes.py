"""What the formulas read from operator arguments: sizes, the first result, and stored entries of sparse tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from archaudit.measure.formulas.registry import NoFormulaAppliesError

_SPARSE_LAYOUTS = frozenset({torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc})


def sizes(tensor: Tensor) -> tuple[int, ...]:
    """The tensor's shape as plain integers; no formula applies to nested tensors, nor to sizes known only when it runs."""
    if tensor.is_nested:
        raise NoFormulaAppliesError("nested tensor: its sizes differ from row to row")
    shape = tensor.shape
    for size in shape:
        if type(size) is not int:
            return tuple(_whole(size) for size in shape)
    return tuple(shape)


def dense_sizes(tensor: Tensor) -> tuple[int, ...]:
    """As `sizes`, for operands whose every entry is multiplied; no formula applies to sparse tensors."""
    if is_sparse(tensor):
        raise NoFormulaAppliesError("sparse operand where only dense ones have a formula")
    return sizes(tensor)


def _whole(size: int) -> int:
    try:
        return int(size)
    except RuntimeError as error:
        raise NoFormulaAppliesError("a size depends on the data") from error


def count(shape: Sequence[int]) -> int:
    """The number of elements of a shape."""
    return math.prod(shape)


def result(out: Tensor | Sequence[Tensor]) -> Tensor:
    """The operator's result, or the first of its results."""
    return out if isinstance(out, Tensor) else out[0]


def is_sparse(tensor: Tensor) -> bool:
    """Whether the tensor is stored sparsely (COO, CSR, CSC, BSR, BSC)."""
    layout = tensor.layout
    return layout is not torch.strided and layout in _SPARSE_LAYOUTS


def stored_entries(tensor: Tensor) -> int:
    """How many entries a sparse tensor stores; blocks and dense tails are counted in full. Unknown on meta and fake tensors."""
    if tensor.device.type == "meta" or hasattr(tensor, "fake_mode"):
        raise NoFormulaAppliesError("sparse operand without values: the number of stored entries is not known")
    return count(sizes(tensor._values() if tensor.layout is torch.sparse_coo else tensor.values()))
