"""Models that a careless counter leaves changed: training mode, gradients, hooks, forward passes that write or fail."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, image, linear


def _writing(model: Any, x: torch.Tensor) -> Any:
    model.seen = model.seen + 1
    model.total.add_(x.sum())
    model.cache.append(x.shape[0])
    return model.layer(x)


def _make_writing_model() -> nn.Module:
    model = Model(_writing, layer=linear(16, 8), total=torch.zeros(()))
    model.__dict__.update(seen=0, cache=[])
    return model


def _failing(model: Any, x: torch.Tensor) -> Any:
    raise RuntimeError(f"this model cannot be run on {model.layer(x).shape}")


def _hooked() -> nn.Module:
    layer = linear(16, 8)
    layer.register_forward_hook(lambda module, args, output: output * 2)
    layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    return nn.Sequential(layer)


def _half_trained() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.Dropout(0.5), nn.Flatten(), linear(6 * 64, 4))
    model[1].eval()  # a frozen norm in a model in training mode
    return model


CASES = (
    Case(
        name="training_mode",
        shows="A model handed over in training mode keeps its mode, its running statistics and the random state.",
        build=lambda: nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.Dropout(0.5), nn.ReLU()),
        args=image(batch=2),
        params=6 * 3 * 9 + 2 * 6,
        macs=2 * 64 * 6 * 3 * 9,
        by_convention=(
            2 * 64 * 6 * 3 * 9 + 2 * 2 * 6,
            2 * 64 * 6 * 3 * 9 + 2 * 6,
            2 * 64 * 6 * 3 * 9 + 2 * 2 * 64 * 6,
            2 * 64 * 6 * 3 * 9 + 5 * 2 * 64 * 6,
        ),
        train=True,
        tags=("side effects", "norm"),  # torchinfo#121
    ),
    Case(
        name="training_mode_in_part",
        shows="A model in training mode with one part in eval mode: each flag keeps its value.",
        build=_half_trained,
        args=image(),
        params=6 * 3 * 9 + 2 * 6 + 6 * 64 * 4,
        macs=64 * 6 * 3 * 9 + 6 * 64 * 4,
        by_convention=(
            64 * 6 * 3 * 9 + 6 * 64 * 4 + 2 * 6,
            64 * 6 * 3 * 9 + 6 * 64 * 4 + 2 * 64 * 6,
            64 * 6 * 3 * 9 + 6 * 64 * 4 + 5 * 64 * 6,
        ),
        train=True,
        tags=("side effects", "norm"),
    ),
    Case(
        name="gradients_present",
        shows="Existing gradients are kept, and none are added.",
        build=lambda: _with_gradients(nn.Sequential(linear(16, 8), nn.ReLU(), linear(8, 4))),
        args=floats(3, 16),
        params=16 * 8 + 8 * 4,
        macs=3 * (16 * 8 + 8 * 4),
        tags=("side effects",),
    ),
    Case(
        name="hooks_of_its_own",
        shows="A model's own hooks run and are kept.",
        build=_hooked,
        args=floats(3, 16),
        params=16 * 8,
        macs=3 * 16 * 8,
        modules={"0": (16 * 8, 3 * 16 * 8)},
        tags=("side effects", "hook"),
    ),
    Case(
        name="forward_that_writes",
        shows="A forward pass that counts its calls, writes to a buffer and appends to a list: counting must not change them.",
        build=_make_writing_model,
        args=floats(3, 16),
        params=16 * 8,
        macs=3 * 16 * 8,
        tags=("side effects",),
    ),
    Case(
        name="forward_that_raises",
        shows="A model that cannot be run: an error, and nothing left changed.",
        build=lambda: Model(_failing, layer=linear(16, 8)),
        args=floats(3, 16),
        params=16 * 8,
        raises=True,
        tags=("side effects",),
    ),
)


def _with_gradients(model: nn.Module) -> nn.Module:
    for parameter in model[0].parameters() if isinstance(model, nn.Sequential) else ():
        parameter.grad = torch.ones_like(parameter)
    return model
