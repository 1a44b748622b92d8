"""Models that name a device which is not here (`.cuda()`, `device="cuda"`): where tensors lie changes no count, so it is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from archaudit.schema import Recipe

Built = tuple[nn.Module, Callable[[], AbstractContextManager[Any]]]

# What torch says, built without the device's library or run without its driver or the device.
_REFUSALS = re.compile(
    r"not compiled with (CUDA|XPU)|NVIDIA driver|No (CUDA|HIP) GPUs|CUDA driver|accelerator device when none|"
    r"support for mps devices|MPS backend"
)
_HERE = ("cpu", "meta")
# Methods that only say where a tensor is to lie; `to` says other things, too.
_MOVES = frozenset(getattr(torch.Tensor, name) for name in ("cuda", "xpu", "pin_memory") if hasattr(torch.Tensor, name))


def asks_for_device(error: BaseException | None) -> bool:
    """Whether `error` came of a device that is not here."""
    return error is not None and _REFUSALS.search(str(error)) is not None


def build_elsewhere(build: Callable[[Recipe], Built], built_on: str, run_on: str) -> Callable[[Recipe], Built]:
    """`build`, but tensors that are to lie on another device stay on `built_on` in the constructor, and on `run_on` in forward."""

    def build_there(recipe: Recipe) -> Built:
        with _Stay(built_on):
            model, context = build(recipe)

        @contextmanager
        def stay() -> Iterator[None]:
            with context(), _Stay(run_on):
                yield

        return model, stay

    return build_there


class _Stay(TorchFunctionMode):
    """While open, no tensor goes to another device than the CPU or meta."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = torch.device(device)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _MOVES:
            return args[0]
        named = dict(kwargs or {})
        if "device" in named and _is_elsewhere(named["device"]):
            named["device"] = args[0].device if func is torch.Tensor.to else self._device
        if func is torch.Tensor.to:
            args = tuple(args[0].device if place and _is_elsewhere(given) else given for place, given in enumerate(args))
        return func(*args, **named)


def _is_elsewhere(device: Any) -> bool:
    """Whether `device`, as torch takes it (a number is a GPU's), is neither the CPU nor meta."""
    if isinstance(device, bool):
        return False
    if isinstance(device, int):  # without a device some versions of torch do not say which one that would be
        return True
    return isinstance(device, str | torch.device) and torch.device(device).type not in _HERE
