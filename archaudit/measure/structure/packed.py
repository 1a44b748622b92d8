"""Packed weights: tensors that hold several small weights in each element, as the quantization libraries lay them out."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

# Layers of GPTQ and AWQ keep a weight of 4 bits eight to an int32, in a buffer or parameter of this name.
_PACKED_NAMES = frozenset({"qweight"})
_USUAL_BITS = 4


def count_packed(tensor: torch.Tensor, name: str, module: nn.Module) -> int | None:
    """How many weights a packed tensor stands for; None for a tensor that is not recognised as packed.

    Recognised: bitsandbytes' 4-bit parameters (two to a byte; their `quant_state` knows the original shape), and integer tensors
    named `qweight` as GPTQ and AWQ keep them (`bits` or `w_bit` of their module says how small the weights are).
    """
    state: Any = getattr(tensor, "quant_state", None)
    shape = getattr(state, "shape", None)
    if shape is not None:
        return math.prod(int(size) for size in shape)
    if type(tensor).__name__ == "Params4bit" and tensor.dtype == torch.uint8:
        return tensor.numel() * 2
    if name in _PACKED_NAMES and tensor.dtype in (torch.int32, torch.int64):
        bits = getattr(module, "bits", getattr(module, "w_bit", _USUAL_BITS))
        return tensor.numel() * tensor.element_size() * 8 // bits if isinstance(bits, int) and bits > 0 else None
    return None
