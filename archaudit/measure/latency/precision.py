"""In which arithmetic a model runs: TF32 on or off, or an autocast. Whatever is set is put back."""

from __future__ import annotations

import warnings
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
    """While open, products of float32 run as asked: in TF32 or, for everything else, in full.

    `allow_tf32` is set where it can be read: every torch knows it, and from 2.9 on it sets `fp32_precision` too. Where somebody set only
    the newer one, torch refuses to read the other, and the newer one is set.
    """
    if device == "cpu":
        yield
        return
    places, attribute = _find_switches()
    value = dtype == "tf32" if attribute == "allow_tf32" else ("tf32" if dtype == "tf32" else "ieee")
    previous = [_read(place, attribute) for place in places]
    inherited = _read(places[0], "fp32_precision")
    try:
        for place in places:
            _write(place, attribute, value)
        yield
    finally:
        for place, before in zip(places, previous, strict=True):
            _write(place, attribute, before)
        if inherited == "none":  # which is written as `ieee` by the switch before, and means that it follows others
            _write(places[0], "fp32_precision", inherited)


def _find_switches() -> tuple[tuple[Any, ...], str]:
    """Where TF32 is switched, for matrix products, convolutions and recurrent layers, and the switch's name."""
    places: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    try:
        for place in places:
            _read(place, "allow_tf32")
    except RuntimeError:
        return (places[0], places[1].conv, places[1].rnn), "fp32_precision"
    return places, "allow_tf32"


def _read(place: Any, attribute: str) -> Any:
    """A switch; None where this torch does not have it. torch 2.9 warns of the names before, which are not the user's doing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return getattr(place, attribute, None)


def _write(place: Any, attribute: str, value: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        setattr(place, attribute, value)
