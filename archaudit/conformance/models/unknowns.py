"""Work for which no multiply-accumulate count is agreed on or known: the only right answer is to say so."""

from __future__ import annotations

from typing import Any

import torch

from archaudit.conformance.case import Case
from archaudit.conformance.models.assembly import Model, floats, linear


@torch.library.custom_op("archaudit_conformance::mix", mutates_args=())
def mix(x: torch.Tensor) -> torch.Tensor:
    """An operator of somebody's own: what it does inside is invisible to a dispatcher."""
    return x @ x.transpose(-2, -1)


@mix.register_fake
def _mix_shape(x: torch.Tensor) -> torch.Tensor:
    return x.new_empty((*x.shape[:-1], x.shape[-2]))


def _spectral(model: Any, x: torch.Tensor) -> Any:
    return torch.fft.irfft(torch.fft.rfft(model.proj(x)), n=16)


def _solve(model: Any, x: torch.Tensor) -> Any:
    gram = model.proj(x)
    return torch.linalg.solve(gram @ gram.transpose(-2, -1) + 10 * torch.eye(8, device=x.device), x)


CASES = (
    Case(
        name="custom_operator",
        shows="An operator without a formula makes the count incomplete; the layer beside it stays counted.",
        build=lambda: Model(lambda m, x: mix(m.proj(x)), proj=linear(16, 8)),
        args=floats(10, 16),
        params=16 * 8,
        expects_incomplete=True,
        tags=("custom operator",),  # pytorch#131041
    ),
    Case(
        name="fft",
        shows="A Fourier transform is real work without an agreed count of multiply-accumulates.",
        build=lambda: Model(_spectral, proj=linear(16, 16)),
        args=floats(10, 16),
        params=16 * 16,
        expects_incomplete=True,
        tags=("fft",),
    ),
    Case(
        name="linalg_solve",
        shows="Solving a linear system.",
        build=lambda: Model(_solve, proj=linear(8, 8)),
        args=floats(8, 8),
        params=8 * 8,
        expects_incomplete=True,
        tags=("linalg",),
    ),
    Case(
        name="linalg_svd",
        shows="A singular value decomposition.",
        build=lambda: Model(lambda m, x: torch.linalg.svdvals(m.proj(x)), proj=linear(8, 8)),
        args=floats(8, 8),
        params=8 * 8,
        expects_incomplete=True,
        tags=("linalg",),
    ),
)
