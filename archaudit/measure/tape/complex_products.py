"""Complex convolutions, which torch decomposes before a dispatch mode sees them.

torch computes one complex convolution as three real ones, on the real parts, the imaginary parts and their sums. A complex matrix product
stays one operator. So that both count in the same way, with one multiply-accumulate for each complex multiplication, only the first of the
three convolutions is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from archaudit.measure.formulas import Work

_CONVOLUTIONS = frozenset(
    (torch.conv1d, torch.conv2d, torch.conv3d, torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)
)

_COUNTED_BEFORE = Work("zero", note="part of a complex convolution, whose complex multiplications are counted with its first part")


class ComplexConvolutions(TorchFunctionMode):
    """While open, notices calls of complex convolutions; `adjust` gives the work of the operators inside them."""

    def __init__(self) -> None:
        super().__init__()
        self._inside = False
        self._counted = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        first = (args[0] if args else kwargs.get("input")) if func in _CONVOLUTIONS else None
        if not isinstance(first, torch.Tensor) or not first.is_complex():
            return func(*args, **kwargs)
        self._inside, self._counted = True, False
        try:
            return func(*args, **kwargs)
        finally:
            self._inside = False

    def adjust(self, work: Work) -> Work:
        """The work of an operator that runs now: that of a second or third part of a complex convolution is zero."""
        if not self._inside or work.status != "counted":
            return work
        if self._counted:
            return _COUNTED_BEFORE
        self._counted = True
        return work
