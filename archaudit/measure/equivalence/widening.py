"""Models that compute a part in shorter floats, run in doubles all the same: where a port rounds is no difference between two models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from archaudit.measure.dispatch import DispatchMode

_SHORTER = frozenset({torch.float32, torch.float16, torch.bfloat16})


class _Widened(DispatchMode):
    """Gives doubles wherever an operator is asked for shorter floats by name (`.float()`, `softmax(dtype=torch.float32)`)."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in _SHORTER:
            kwargs["dtype"] = torch.float64
        return func(*args, **kwargs)


@contextmanager
def widened(dtype: torch.dtype) -> Iterator[None]:
    """While open, floats are of `dtype` unless told otherwise, and doubles always where `dtype` is that."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        if dtype == torch.float64:
            with _Widened():
                yield
        else:
            yield
    finally:
        torch.set_default_dtype(before)
