"""Complex convolutions, which torch decomposes before a dispatch mode sees them.

torch computes one complex convolution as three real ones, on the real parts, the imaginary parts and their sums. A complex matrix product
stays one operator. So that both count in the same way, with one multiply-accumulate for each complex multiplication, only the first of the
three convolutions is counted. They are recognized by their operands, so it does not matter who calls them: Python, TorchScript, or an
exported program. Four real convolutions of the parts, as models write them by hand, stay four.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch

from archaudit.measure.formulas import Work
from archaudit.measure.tensors import storage_key

_REAL, _IMAGINARY, _SUM, _BOTH = 0, 1, 2, 3

COUNTED_BEFORE = Work("zero", note="part of a complex convolution, whose complex multiplications are counted with its first part")


class ComplexConvolutions:
    """Recognizes the three parts of complex convolutions. It keeps no tensor alive."""

    def __init__(self) -> None:
        # by the id of a real tensor: which part of a complex tensor it is, and the memory of that tensor
        self._parts: dict[int, tuple[weakref.ref[torch.Tensor], int, int]] = {}
        self._imaginary: dict[tuple[int, int], int] = {}

    def find_parts(self, name: str, number: int, args: tuple[Any, ...], result: Any, work: Work) -> tuple[int, ...]:
        """Takes the operator with that number in the pass. Returns the numbers of the operators that are parts of a complex convolution
        whose work was counted before: none for most."""
        if name == "aten::view_as_real":
            self._mark(result, _BOTH, storage_key(args[0]))
        elif not self._parts:
            return ()
        elif name == "aten::select":
            kind, base = self._read(args[0])
            if kind == _BOTH and args[1] in (-1, args[0].dim() - 1):
                self._mark(result, _IMAGINARY if args[2] else _REAL, base)
        elif name == "aten::add":
            (kind, base), (other, other_base) = self._read(args[0]), self._read(args[1])
            if {kind, other} == {_REAL, _IMAGINARY} and base == other_base:
                self._mark(result, _SUM, base)
        elif work.status == "counted" and "convolution" in name:
            return self._match(number, args)
        return ()

    def _match(self, number: int, args: tuple[Any, ...]) -> tuple[int, ...]:
        (kind, base), (other, weight) = self._read(args[0]), self._read(args[1])
        if kind == other == _IMAGINARY:
            self._imaginary[base, weight] = number
        elif kind == other == _SUM and (base, weight) in self._imaginary:
            return (self._imaginary.pop((base, weight)), number)
        return ()

    def _mark(self, tensor: torch.Tensor, kind: int, base: int) -> None:
        self._parts[id(tensor)] = (weakref.ref(tensor), kind, base)

    def _read(self, tensor: object) -> tuple[int, int]:
        known = self._parts.get(id(tensor))
        return known[1:] if known is not None and known[0]() is tensor else (-1, 0)
