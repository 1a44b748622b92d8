"""In which arithmetic a model runs: TF32 on or off, or an autocast. Whatever is set is put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from archaudit.errors import MeasureError
from archaudit.schema import Device, Precision

_CASTS = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def check_precision(dtype: Precision, device: Device) -> None:
    """Raises MeasureError for an arithmetic that the device does not have."""
    if dtype == "tf32" and device == "cpu":
        raise MeasureError("TF32 is an arithmetic of CUDA devices: there is none to time on the CPU", "Choose another --dtype.")


def cast_passes(dtype: Precision, device: Device) -> AbstractContextManager[Any]:
    """The context of one pass: an autocast, entered anew for each pass, so that no pass profits from the weights cast in another."""
    cast = _CASTS.get(dtype)
    return torch.autocast(device, dtype=cast) if cast is not None else nullcontext()


def find_dtype(dtype: Precision) -> torch.dtype:
    """The type of tensors that a matrix product of this arithmetic takes."""
    return _CASTS.get(dtype, torch.float32)


@contextmanager
def float32_precision(dtype: Precision, device: Device) -> Iterator[None]:
    """While open, products of float32 run as asked: in TF32 or, for everything else, in full."""
    if device == "cpu":
        yield
        return
    attribute, on, off = _name_switch()
    places = [torch.backends.cuda.matmul, getattr(torch.backends.cudnn, "conv", torch.backends.cudnn)]
    previous = [getattr(place, attribute) for place in places]
    try:
        for place in places:
            setattr(place, attribute, on if dtype == "tf32" else off)
        yield
    finally:
        for place, value in zip(places, previous, strict=True):
            setattr(place, attribute, value)


def _name_switch() -> tuple[str, Any, Any]:
    """The switch's name and its two positions: torch 2.9 renamed it, and warns of the name before."""
    if hasattr(torch.backends.cuda.matmul, "fp32_precision") and hasattr(torch.backends.cudnn, "conv"):
        return "fp32_precision", "tf32", "ieee"
    return "allow_tf32", True, False
