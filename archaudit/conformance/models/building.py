"""Building blocks of the cases' models: a module of named parts and one function, and functions that make inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn


class Model(nn.Module):
    """A module of named parts and one function: `forward(*inputs)` is `run(self, *inputs)`.

    Modules and parameters are registered under their names, plain tensors as buffers.
    """

    def __init__(self, run: Callable[..., Any], **parts: nn.Module | torch.Tensor) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    if TYPE_CHECKING:  # a part has any type

        def __getattr__(self, name: str) -> Any: ...

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(self, *args, **kwargs)


def param(*shape: int, dtype: torch.dtype | None = None) -> nn.Parameter:
    """A random parameter, on the device of the active `torch.device` context."""
    return nn.Parameter(torch.randn(shape, dtype=dtype))


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A Linear without bias, whose parameters equal its multiply-accumulates for one row."""
    return nn.Linear(inputs, outputs, bias=False)


def image(channels: int = 3, side: int = 8, batch: int = 1) -> Callable[[], tuple[torch.Tensor]]:
    """A function that makes the inputs: one random image, shaped (batch, channels, side, side)."""
    return lambda: (torch.randn(batch, channels, side, side),)


def floats(*shape: int) -> Callable[[], tuple[torch.Tensor]]:
    """A function that makes the inputs: one random float tensor."""
    return lambda: (torch.randn(shape),)


def tokens(length: int = 10, vocabulary: int = 100) -> Callable[[], tuple[torch.Tensor]]:
    """A function that makes the inputs: one batch of token ids, shaped (1, length)."""
    return lambda: (torch.randint(0, vocabulary, (1, length)),)
