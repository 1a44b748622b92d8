"""Computed weights: parametrizations, pruning, adapters; and frozen parameters and buffers."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, linear, param


class Symmetric(nn.Module):
    """A weight made symmetric from its upper triangle."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.triu() + weight.triu(1).transpose(-1, -2)


class LowRank(nn.Module):
    """A weight plus the product of two narrow ones."""

    def __init__(self, rows: int, columns: int, rank: int) -> None:
        super().__init__()
        self.left, self.right = param(rows, rank), param(rank, columns)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.left @ self.right


def _parametrized(layer: nn.Module, parametrization: nn.Module) -> nn.Module:
    parametrize.register_parametrization(layer, "weight", parametrization)
    return nn.Sequential(layer)


def _old_weight_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated, but in many published models
        return nn.Sequential(nn.utils.weight_norm(linear(16, 8)))


def _old_spectral_norm() -> nn.Module:
    old: Any = nn.utils.spectral_norm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.Sequential(old(linear(16, 8)))


def _pruned(layer: nn.Module, amount: float) -> nn.Module:
    from torch.nn.utils import prune

    unstructured: Any = prune.l1_unstructured
    unstructured(layer, "weight", amount=amount)
    return nn.Sequential(layer)


def _lora() -> nn.Module:
    model = Model(lambda m, x: m.base(x) + m.up(m.down(x)) * 2.0, base=linear(16, 16), down=linear(16, 2), up=linear(2, 16))
    model.base.weight.requires_grad_(False)
    return model


def _frozen() -> nn.Module:
    body, head = nn.Linear(16, 16), nn.Linear(16, 4)
    return nn.Sequential(body.requires_grad_(False), nn.ReLU(), head)


def _with_buffers() -> nn.Module:
    model = Model(lambda m, x: F.linear(x, m.projection) + m.shift, projection=torch.randn(8, 16))
    model.register_buffer("shift", torch.zeros(8), persistent=False)
    return model


CASES = (
    Case(
        name="weight_norm",
        shows="weight_norm as a parametrization: the magnitudes are parameters too, and normalizing is no contraction.",
        build=lambda: nn.Sequential(parametrizations.weight_norm(linear(16, 8))),
        args=floats(1, 16),
        params=16 * 8 + 8,
        macs=16 * 8,
        tags=("parametrization",),
    ),
    Case(
        name="weight_norm_old",
        shows="weight_norm as the older hook, which keeps the weight as a plain attribute.",
        build=_old_weight_norm,
        args=floats(1, 16),
        params=16 * 8 + 8,
        macs=16 * 8,
        modules={"": (0, 16 * 8), "0": (16 * 8 + 8, 16 * 8)},
        tags=("parametrization", "hook"),
    ),
    Case(
        name="weight_norm_conv_transpose",
        shows="weight_norm on a transposed convolution, as in vocoders.",
        build=lambda: nn.Sequential(parametrizations.weight_norm(nn.ConvTranspose1d(4, 6, 4, stride=2, bias=False))),
        args=floats(1, 4, 10),
        params=4 * 6 * 4 + 4,
        macs=10 * 4 * 6 * 4,
        tags=("parametrization", "transposed"),
    ),
    Case(
        name="spectral_norm",
        shows="spectral_norm divides by u.(W v): a matrix-vector product and a dot product at every forward pass.",
        build=lambda: nn.Sequential(parametrizations.spectral_norm(linear(16, 8))),
        args=floats(3, 16),
        params=16 * 8,
        macs=3 * 16 * 8 + (8 * 16 + 8),
        modules={"": (0, 3 * 16 * 8 + (8 * 16 + 8)), "0": (0, 3 * 16 * 8 + (8 * 16 + 8))},
        tags=("parametrization", "operator"),
    ),
    Case(
        name="spectral_norm_old",
        shows="spectral_norm as the older hook does the same work.",
        build=_old_spectral_norm,
        args=floats(3, 16),
        params=16 * 8,
        macs=3 * 16 * 8 + (8 * 16 + 8),
        tags=("parametrization", "hook", "operator"),
    ),
    Case(
        name="parametrized_symmetric",
        shows="A custom parametrization: the stored weight counts as parameters, the computed one does not.",
        build=lambda: _parametrized(linear(6, 6), Symmetric()),
        args=floats(3, 6),
        params=6 * 6,
        macs=3 * 6 * 6,
        tags=("parametrization",),
    ),
    Case(
        name="parametrized_low_rank",
        shows="A parametrization that multiplies matrices costs its product, once in each forward pass.",
        build=lambda: _parametrized(linear(16, 8), LowRank(8, 16, rank=2)),
        args=floats(3, 16),
        params=16 * 8 + 8 * 2 + 2 * 16,
        macs=3 * 16 * 8 + 8 * 2 * 16,
        modules={"": (0, 3 * 16 * 8 + 8 * 2 * 16), "0.parametrizations.weight.0": (8 * 2 + 2 * 16, 8 * 2 * 16)},
        tags=("parametrization",),
    ),
    Case(
        name="pruned",
        shows="Pruning by a mask sets weights to zero; it removes neither parameters nor work.",
        build=lambda: _pruned(nn.Linear(8, 4), 0.5),
        args=floats(1, 8),
        params=8 * 4 + 4,
        macs=8 * 4,
        by_convention=(8 * 4 + 4,),
        modules={"0": (8 * 4 + 4, 8 * 4)},
        tags=("pruning", "hook"),
    ),
    Case(
        name="lora_by_hand",
        shows="A low-rank adapter parallel to a frozen layer.",
        build=_lora,
        args=floats(5, 16),
        params=16 * 16 + 16 * 2 + 2 * 16,
        macs=5 * (16 * 16 + 16 * 2 + 2 * 16),
        modules={"base": (16 * 16, 5 * 16 * 16), "down": (16 * 2, 5 * 16 * 2), "up": (2 * 16, 5 * 2 * 16)},
        tags=("frozen", "adapter"),
    ),
    Case(
        name="frozen_body",
        shows="Frozen parameters are parameters.",
        build=_frozen,
        args=floats(1, 16),
        params=(16 * 16 + 16) + (16 * 4 + 4),
        macs=16 * 16 + 16 * 4,
        by_convention=(16 * 16 + 16 + 16 * 4 + 4,),
        tags=("frozen", "bias"),
    ),
    Case(
        name="buffers_are_no_parameters",
        shows="A fixed projection in a buffer is counted as work and not as parameters; nor is a non-persistent buffer.",
        build=_with_buffers,
        args=floats(3, 16),
        params=0,
        macs=3 * 16 * 8,
        tags=("buffer",),
    ),
)
