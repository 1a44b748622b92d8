"""Contractions that a model writes as an elementwise product and a sum: `(q * k).sum(-1)`, or `index_add` of weighted or gathered rows.

Elementwise operators and sums count as zero, but einsum and sparse matrix products count the same mathematics. So the elements of such
products are counted here, and the profile says how many there are.
"""

from __future__ import annotations

import weakref

import torch

_MULTIPLY = frozenset(("aten::mul", "aten::mul_"))
_GATHER = frozenset(("aten::index", "aten::index_select", "aten::gather"))
_SUM = frozenset(("aten::sum", "aten::mean"))
# Operators that add the rows of their last tensor argument to rows of the first.
_ADD_ROWS = frozenset(("aten::index_add", "aten::index_add_", "aten::scatter_add", "aten::scatter_add_"))
# Operators that only move the elements.
_MOVE = frozenset(
    f"aten::{name}"
    for name in ("view", "_unsafe_view", "permute", "transpose", "t", "unsqueeze", "squeeze", "_to_copy", "clone", "alias", "detach")
)


class SummedProducts:
    """Recognizes sums of elementwise products; `elements` has the number of products by the position of the module that sums them."""

    def __init__(self) -> None:
        self.elements: dict[int, int] = {}
        self._products: dict[int, weakref.ref[torch.Tensor]] = {}
        self._gathered: dict[int, weakref.ref[torch.Tensor]] = {}

    def observe(self, name: str, position: int, inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> None:
        """Takes one operator that ran in the module at `position`."""
        if not inputs or not outputs:
            return
        first, output = inputs[0], outputs[0]
        if name in _SUM and _has(self._products, first):
            self._add(position, first)
        elif name in _ADD_ROWS and (_has(self._products, inputs[-1]) or _has(self._gathered, inputs[-1])):
            self._add(position, inputs[-1])
        elif name in _MULTIPLY:
            factors = [tensor for tensor in inputs if tensor.numel() > 1]
            # x * x is the square of a norm, which counts as zero in every form
            if len(factors) == 2 and factors[0] is not factors[1] and _is_number(output):
                self._products[id(output)] = weakref.ref(output)
        elif name in _GATHER and _is_number(output):
            self._gathered[id(output)] = weakref.ref(output)
        elif name in _MOVE:
            for marked in (self._products, self._gathered):
                if _has(marked, first):
                    marked[id(output)] = weakref.ref(output)
        elif id(output) in self._products:  # written in place by another operator
            del self._products[id(output)]

    def _add(self, position: int, product: torch.Tensor) -> None:
        self.elements[position] = self.elements.get(position, 0) + product.numel()


def _has(marked: dict[int, weakref.ref[torch.Tensor]], tensor: torch.Tensor) -> bool:
    reference = marked.get(id(tensor))
    return reference is not None and reference() is tensor


def _is_number(tensor: torch.Tensor) -> bool:
    """Whether the elements are numbers of the model; integers and booleans are positions and masks."""
    return tensor.is_floating_point() or tensor.is_complex()
