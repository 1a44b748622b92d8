"""Models inside something else: scripted, traced, compiled, DataParallel, checkpointed, functional_call."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, linear, param


class DoubledProduct(torch.autograd.Function):
    """A product with its own backward pass."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return 2 * (x @ weight)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, weight = ctx.saved_tensors
        return 2 * grads[0] @ weight.t(), 2 * x.t() @ grads[0]


def _scripted() -> nn.Module:
    script: Any = torch.jit.script
    return nn.Sequential(linear(16, 8), _ignore_deprecation(lambda: script(nn.Sequential(linear(8, 8), nn.ReLU()))))


def _traced() -> nn.Module:
    trace: Any = torch.jit.trace
    return nn.Sequential(linear(16, 8), _ignore_deprecation(lambda: trace(nn.Sequential(linear(8, 8), nn.ReLU()), torch.zeros(1, 8))))


def _ignore_deprecation(convert: Callable[[], Any]) -> Any:
    """The result of `convert`, without the warning that scripting is deprecated: published models have scripted parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        return convert()


def _compiled() -> nn.Module:
    compiled: Any = torch.compile
    return nn.Sequential(linear(16, 8), compiled(nn.Sequential(linear(8, 8), nn.ReLU()), backend="eager"))


def _data_parallel() -> nn.Module:
    layer = linear(16, 8)
    wrapper = nn.DataParallel(nn.Sequential(layer, nn.ReLU()))
    wrapper.device_ids = []  # the model stays on its device even on a machine with GPUs
    return wrapper if layer.weight.is_meta else wrapper.cpu()


def _graph_module() -> nn.Module:
    trace: Any = torch.fx.symbolic_trace
    traced: nn.Module = trace(nn.Sequential(linear(16, 8), nn.ReLU(), linear(8, 4)))
    return traced


def _autocast(model: Any, x: torch.Tensor) -> Any:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return model.layer(x)


def _functional_call(model: Any, x: torch.Tensor) -> Any:
    return torch.func.functional_call(model.layer, {"weight": model.generated @ model.layer.weight}, (x,))


CASES = (
    Case(
        name="scripted_submodule",
        shows="A scripted part: counted, or reported as unknown.",
        build=_scripted,
        args=floats(3, 16),
        params=16 * 8 + 8 * 8,
        macs=3 * (16 * 8 + 8 * 8),
        may_be_incomplete=True,
        tags=("scripted",),
    ),
    Case(
        name="traced_submodule",
        shows="A traced part: counted, or reported as unknown.",
        build=_traced,
        args=floats(3, 16),
        params=16 * 8 + 8 * 8,
        macs=3 * (16 * 8 + 8 * 8),
        may_be_incomplete=True,
        needs_real=True,
        tags=("scripted",),
    ),
    Case(
        name="compiled_submodule",
        shows="A compiled part: unwrapped and counted, or reported as unknown.",
        build=_compiled,
        args=floats(3, 16),
        params=16 * 8 + 8 * 8,
        macs=3 * (16 * 8 + 8 * 8),
        may_be_incomplete=True,
        tags=("compiled",),  # fvcore#137, ptflops#110, pytorch#128199
    ),
    Case(
        name="data_parallel",
        shows="A model wrapped in DataParallel.",
        build=_data_parallel,
        args=floats(3, 16),
        params=16 * 8,
        macs=3 * 16 * 8,
        modules={"": (0, 3 * 16 * 8), "module.0": (16 * 8, 3 * 16 * 8)},
        tags=("wrapper",),  # fvcore#109
    ),
    Case(
        name="graph_module",
        shows="A model traced by torch.fx, whose forward is generated code.",
        build=_graph_module,
        args=floats(3, 16),
        params=16 * 8 + 8 * 4,
        macs=3 * (16 * 8 + 8 * 4),
        modules={"0": (16 * 8, 3 * 16 * 8), "2": (8 * 4, 3 * 8 * 4)},
        tags=("wrapper",),
    ),
    Case(
        name="autograd_function",
        shows="An autograd.Function runs its operators where a tracer does not see them.",
        build=lambda: Model(lambda m, x: DoubledProduct.apply(x, m.weight), weight=param(16, 8)),
        args=floats(3, 16),
        params=16 * 8,
        macs=3 * 16 * 8,
        tags=("autograd",),
    ),
    Case(
        name="checkpointed",
        shows="Activation checkpointing runs the forward pass once.",
        build=lambda: Model(lambda m, x: checkpoint(m.layer, x, use_reentrant=False), layer=linear(16, 8)),
        args=floats(3, 16),
        params=16 * 8,
        macs=3 * 16 * 8,
        modules={"layer": (16 * 8, 3 * 16 * 8)},
        tags=("autograd",),
    ),
    Case(
        name="autocast_inside",
        shows="A layer under autocast casts its inputs, and costs the same.",
        build=lambda: Model(_autocast, layer=linear(16, 8)),
        args=floats(3, 16),
        params=16 * 8,
        macs=3 * 16 * 8,
        tags=("dtype",),
    ),
    Case(
        name="functional_call",
        shows="A layer run with a weight that the model computes.",
        build=lambda: Model(_functional_call, layer=linear(16, 8), generated=param(8, 8)),
        args=floats(3, 16),
        params=16 * 8 + 8 * 8,
        macs=8 * 8 * 16 + 3 * 16 * 8,  # the weight, then the layer
        modules={"": (8 * 8, 8 * 8 * 16 + 3 * 16 * 8), "layer": (16 * 8, 3 * 16 * 8)},
        tags=("transform",),
    ),
    Case(
        name="grad_enabled_inside",
        shows="A forward pass that computes a gradient, as energy models do, runs the products of the backward pass too.",
        build=lambda: Model(_force, layer=linear(8, 8)),
        args=floats(3, 8),
        params=8 * 8,
        macs=3 * 8 * 8 + 3 * 8 * 8,  # x W', then the gradient with respect to x
        may_be_incomplete=True,
        tags=("autograd",),
    ),
)


def _force(model: Any, x: torch.Tensor) -> Any:
    with torch.enable_grad():
        position = x.detach().requires_grad_(True)
        energy = model.layer(position).pow(2).sum()
        (gradient,) = torch.autograd.grad(energy, position)
    return gradient
