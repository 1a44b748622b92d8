"""Adapters to other counters, each called as its README says, on real tensors and without gradients.

An adapter takes (model, args, kwargs) and returns a Count, or raises what the counter raises. A counter without keyword inputs raises for a
model that needs them. An adapter does not change the model's mode: a counter that needs eval mode sets it itself, and is watched doing so.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from archaudit.conformance.case import Count, Counter
from archaudit.errors import MeasureError

Adapter = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Count]


def make_counter(name: str) -> Counter:
    """The counter of this name. Raises MeasureError where it is unknown or not installed."""
    if name not in _ADAPTERS:
        raise MeasureError(f"there is no counter {name!r}", f"Known: {', '.join(_ADAPTERS)}.")
    if not _is_installed(name):
        raise MeasureError(f"{name} is not installed", f"Run: pip install {name}")
    adapter = _ADAPTERS[name]

    def count(build: Callable[[], nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
        model = build()
        with _mute():
            return adapter(model, args, kwargs)

    return count


def _is_installed(name: str) -> bool:
    return name == "flop_counter" or find_spec(name) is not None


@contextlib.contextmanager
def _mute() -> Iterator[None]:
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)


def _count_with_flop_counter(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
    """torch.utils.flop_counter counts FLOPs, two for each multiply-accumulate, and no parameters."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as mode:
        model(*args, **kwargs)
    return Count(macs=mode.get_total_flops() // 2)


def _count_with_torchinfo(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
    """torchinfo's "mult-adds" are multiply-accumulates; it runs in eval mode and without gradients by itself."""
    from torchinfo import summary

    inputs: dict[str, Any] = {"input_data": list(args), **kwargs} if args else {"input_data": kwargs}
    statistics = summary(model, verbose=0, device="cpu", **inputs)
    return Count(params=int(statistics.total_params), macs=int(statistics.total_mult_adds))


def _count_with_fvcore(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
    """fvcore's "flops" are multiply-accumulates. It lists the operators that it does not count; harmless ones are among them."""
    from fvcore.nn import FlopCountAnalysis, parameter_count

    _refuse_keywords("fvcore", kwargs)
    with torch.no_grad():
        analysis = FlopCountAnalysis(model, args)
        macs = int(analysis.total())
    return Count(params=int(parameter_count(model)[""]), macs=macs, skipped=tuple(sorted(analysis.unsupported_ops())))


def _count_with_thop(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
    """thop's "ops" are multiply-accumulates."""
    _refuse_keywords("thop", kwargs)
    macs, params = import_module("thop").profile(model, inputs=args, verbose=False)
    return Count(params=int(params), macs=int(macs))


def _count_with_ptflops(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
    """ptflops divides its multiply-accumulates by the length of the first input, which is undone here. None means that it failed."""

    def inputs(_: Any) -> Any:
        return args[0] if len(args) == 1 and not kwargs else {**{f"input_{number}": value for number, value in enumerate(args)}, **kwargs}

    called = model if len(args) <= 1 and not (args and kwargs) else _ByName(model, len(args))
    with torch.no_grad():
        macs, params = import_module("ptflops").get_model_complexity_info(
            called, (1,), as_strings=False, print_per_layer_stat=False, verbose=False, input_constructor=inputs
        )
    if macs is None or params is None:
        raise MeasureError("ptflops returned nothing")
    samples = len(args[0]) if called is model and args and isinstance(args[0], torch.Tensor) else 1
    return Count(params=int(params), macs=int(macs) * samples)


def _count_with_calflops(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
    """calflops returns FLOPs and multiply-accumulates; the latter are used."""
    calculate_flops = import_module("calflops").calculate_flops
    with torch.no_grad():
        _, macs, params = calculate_flops(model, args=list(args), kwargs=dict(kwargs), print_results=False, output_as_string=False)
    return Count(params=int(params), macs=int(macs))


class _ByName(nn.Module):
    """A model whose positional inputs have names, for a counter that takes several inputs only by name."""

    def __init__(self, model: nn.Module, positional: int) -> None:
        super().__init__()
        self.model, self.positional = model, positional

    def forward(self, **inputs: Any) -> Any:
        values = list(inputs.values())
        return self.model(*values[: self.positional], **dict(list(inputs.items())[self.positional :]))


def _refuse_keywords(name: str, kwargs: dict[str, Any]) -> None:
    if kwargs:
        raise MeasureError(f"{name} takes no keyword inputs")


_ADAPTERS: dict[str, Adapter] = {
    "flop_counter": _count_with_flop_counter,
    "torchinfo": _count_with_torchinfo,
    "fvcore": _count_with_fvcore,
    "thop": _count_with_thop,
    "ptflops": _count_with_ptflops,
    "calflops": _count_with_calflops,
}
