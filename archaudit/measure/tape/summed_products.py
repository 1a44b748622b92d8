"""Contractions that a model writes as an elementwise product and a sum: `(q * k).sum(-1)`, or `index_add` of weighted or gathered rows.

Elementwise operators and sums count as zero, but einsum, `cdist` and sparse matrix products count the same mathematics. So the elements of
such products are counted here, and the profile has their number as a metric.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch


def _name(*names: str) -> frozenset[str]:
    return frozenset(f"aten::{name}{ending}" for name in names for ending in ("", "_"))


_MULTIPLY = _name("mul", "addcmul")
_SUBTRACT = _name("sub")
_SQUARE = _name("pow", "square")
_GATHER = frozenset(("aten::index", "aten::index_select", "aten::gather", "aten::take", "aten::embedding"))
_SUM = _name("sum", "mean", "nansum", "nanmean")
# Reductions of the first argument that square it.
_NORM = frozenset(("aten::linalg_vector_norm", "aten::norm"))
# Operators that add the rows of their last tensor argument to rows of the first; the second kind replaces them by default.
_ADD_ROWS = _name("index_add", "scatter_add")
_MAY_ADD_ROWS = _name("scatter_reduce", "index_reduce", "scatter", "index_put", "_index_put_impl", "put")
# Sums and averages of looked-up rows: (weight, indices, offsets, scale_grad_by_freq, mode, ...).
_SUM_LOOKED_UP = frozenset(("aten::_embedding_bag", "aten::_embedding_bag_forward_only"))
_ADDING = ("sum", "mean", "add")
# Operators that only move, mask or scale the elements.
_MOVE = _name(
    *(
        "view",
        "_unsafe_view",
        "reshape",
        "permute",
        "transpose",
        "t",
        "unsqueeze",
        "squeeze",
        "_to_copy",
        "clone",
        "alias",
        "detach",
        "neg",
    ),
    *("masked_fill", "where", "slice", "select", "contiguous", "flatten", "unflatten", "constant_pad_nd", "div"),
)


class SummedProducts:
    """Recognizes sums of elementwise products; `elements` has the number of products by the position of the module that sums them.

    A tensor is marked as a `product`, as `gathered` rows of another, as rows `repeated` by that, or as the `difference` of every pair of
    rows. It keeps no tensor alive.
    """

    def __init__(self) -> None:
        self.elements: dict[int, int] = {}
        self._marks: dict[int, tuple[weakref.ref[torch.Tensor], frozenset[str]]] = {}

    def observe(self, name: str, position: int, args: tuple[Any, ...], inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> None:
        """Takes one operator that ran in the module at `position`."""
        if not inputs or not outputs:
            return
        first, last, output = inputs[0], inputs[-1], outputs[0]
        if name in _SUM or name == "aten::segment_reduce":
            if (name in _SUM or args[1] in _ADDING) and self._read(first) & {"product", "repeated"} and output.numel() < first.numel():
                self._add(position, first)
        elif name in _NORM:
            if "difference" in self._read(first) and output.numel() < first.numel():
                self._add(position, first)
        elif name in _ADD_ROWS or (name in _MAY_ADD_ROWS and _adds(args)):
            if self._read(last) & {"product", "gathered"}:
                self._add(position, last)
        elif name in _SUM_LOOKED_UP:
            if args[4] in (0, 1):  # sum and mean
                self.elements[position] = self.elements.get(position, 0) + args[1].numel() * first.shape[-1]
        else:
            self._mark(output, self._find_marks(name, inputs, output))

    def _find_marks(self, name: str, inputs: list[torch.Tensor], output: torch.Tensor) -> frozenset[str]:
        """The marks of a new tensor."""
        if name in _MULTIPLY:
            factors = [tensor for tensor in inputs[-2:] if tensor.numel() > 1]
            if len(factors) == 1:
                return self._read(factors[0])  # scaled by a number
            # x * x is the square of a norm, which counts as zero in every form, except that of differences
            is_product = len(factors) == 2 and (factors[0] is not factors[1] or "difference" in self._read(factors[0]))
            return frozenset({"product"}) if is_product and _is_number(output) else frozenset()
        if name in _SUBTRACT and len(inputs) == 2:
            is_pairwise = max(inputs[0].numel(), inputs[1].numel()) < output.numel()
            return frozenset({"difference"}) if is_pairwise and _is_number(output) else frozenset()
        if name in _SQUARE:
            return frozenset({"product"}) if "difference" in self._read(inputs[0]) else frozenset()
        if name in _GATHER and _is_number(output):
            return frozenset({"gathered", "repeated"} if output.numel() > inputs[0].numel() and name != "aten::embedding" else {"gathered"})
        if name in _MOVE:
            return frozenset().union(*map(self._read, inputs))
        return frozenset()

    def _mark(self, output: torch.Tensor, marks: frozenset[str]) -> None:
        if marks:
            self._marks[id(output)] = (weakref.ref(output), marks)
        else:
            self._marks.pop(id(output), None)  # written in place by another operator

    def _read(self, tensor: torch.Tensor) -> frozenset[str]:
        known = self._marks.get(id(tensor)) if self._marks else None
        return known[1] if known is not None and known[0]() is tensor else frozenset()

    def _add(self, position: int, product: torch.Tensor) -> None:
        self.elements[position] = self.elements.get(position, 0) + product.numel()


def _adds(args: tuple[Any, ...]) -> bool:
    """Whether the operator adds to what is there: by the name of a reduction, or with `accumulate`."""
    return any(each in _ADDING for each in args if isinstance(each, str)) or args[-1] is True


def _is_number(tensor: torch.Tensor) -> bool:
    """Whether the elements are numbers of the model; integers and booleans are positions and masks."""
    return tensor.is_floating_point() or tensor.is_complex()
