"""Operators other than layers and matmul: products that counters often lack a formula for, and work without a known or agreed count.

For the latter the only right answer is "incomplete".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, linear, param


def _mixture(model: Any, x: torch.Tensor) -> Any:
    ends = torch.tensor([4, 10, 16], dtype=torch.int32, device=x.device)
    return torch._grouped_mm(x.to(torch.bfloat16), model.experts, offs=ends)


def _deform(model: Any, x: torch.Tensor) -> Any:
    from torchvision.ops import deform_conv2d

    return deform_conv2d(x, model.offset(x), model.weight, padding=1)


@torch.library.custom_op("archaudit_conformance::mix", mutates_args=())
def mix(x: torch.Tensor) -> torch.Tensor:
    """A custom operator, whose inside a dispatch mode does not see."""
    return x @ x.transpose(-2, -1)


@mix.register_fake
def _mix_shape(x: torch.Tensor) -> torch.Tensor:
    return x.new_empty((*x.shape[:-1], x.shape[-2]))


def _spectral(model: Any, x: torch.Tensor) -> Any:
    return torch.fft.irfft(torch.fft.rfft(model.proj(x)), n=16)


def _solve(model: Any, x: torch.Tensor) -> Any:
    gram = model.proj(x)
    return torch.linalg.solve(gram @ gram.transpose(-2, -1) + 10 * torch.eye(8, device=x.device), x)


# LU, 8 x 8: step k updates the elements below and to the right of pivot k.
_LU_8 = 7 * 7 + 6 * 6 + 5 * 5 + 4 * 4 + 3 * 3 + 2 * 2 + 1
# QR, 7 x 4: reflector k has 8 - k elements; its norm takes one product more, and it multiplies the 4 - k columns to its right twice.
_REFLECTORS_7X4 = (8 + 2 * 7 * 3) + (7 + 2 * 6 * 2) + (6 + 2 * 5 * 1) + 5
_Q_7X4 = (2 * 7 * 3 + 1) + (2 * 6 * 2 + 1) + (2 * 5 * 1 + 1) + 1


CASES = (
    Case(
        name="mv",
        shows="A matrix times a vector.",
        build=lambda: Model(lambda m, x: torch.mv(m.weight, x), weight=param(8, 16)),
        args=floats(16),
        params=8 * 16,
        macs=8 * 16,
        tags=("operator",),
    ),
    Case(
        name="dot",
        shows="A vector times a vector.",
        build=lambda: Model(lambda m, x: torch.dot(m.weight, x), weight=param(16)),
        args=floats(16),
        params=16,
        macs=16,
        tags=("operator",),
    ),
    Case(
        name="addmv",
        shows="A matrix times a vector, plus a vector.",
        build=lambda: Model(lambda m, x: torch.addmv(m.bias, m.weight, x), weight=param(8, 16), bias=param(8)),
        args=floats(16),
        params=8 * 16 + 8,
        macs=8 * 16,
        by_convention=(8 * 16 + 8,),
        tags=("operator", "bias"),
    ),
    Case(
        name="addmm",
        shows="A matrix product with its bias added inside the operator.",
        build=lambda: Model(lambda m, x: torch.addmm(m.bias, x, m.weight), weight=param(16, 8), bias=param(8)),
        args=floats(10, 16),
        params=16 * 8 + 8,
        macs=10 * 16 * 8,
        by_convention=(10 * 16 * 8 + 10 * 8,),
        tags=("operator", "bias"),
    ),
    Case(
        name="baddbmm",
        shows="A batch of products added to a batch of matrices.",
        build=lambda: Model(lambda m, x: torch.baddbmm(m.bias, x, m.weight), weight=param(3, 16, 8), bias=param(3, 10, 8)),
        args=floats(3, 10, 16),
        params=3 * 16 * 8 + 3 * 10 * 8,
        macs=3 * 10 * 16 * 8,
        by_convention=(3 * 10 * 16 * 8 + 3 * 10 * 8,),
        tags=("operator", "bias"),
    ),
    Case(
        name="addbmm",
        shows="A batch of products summed into one matrix.",
        build=lambda: Model(lambda m, x: torch.addbmm(m.bias, x, m.weight), weight=param(3, 16, 8), bias=param(10, 8)),
        args=floats(3, 10, 16),
        params=3 * 16 * 8 + 10 * 8,
        macs=3 * 10 * 16 * 8,
        by_convention=(3 * 10 * 16 * 8 + 10 * 8,),
        tags=("operator", "bias"),
    ),
    Case(
        name="outer_is_no_contraction",
        shows="An outer product multiplies but sums nothing: no multiply-accumulates.",
        build=lambda: Model(lambda m, x: torch.outer(x, m.weight), weight=param(8)),
        args=floats(16),
        params=8,
        macs=0,
        tags=("operator", "zero"),
    ),
    Case(
        name="bilinear",
        shows="nn.Bilinear contracts each row of two inputs with a three-dimensional weight.",
        build=lambda: Model(lambda m, x, y: m.pair(x, y), pair=nn.Bilinear(6, 5, 4, bias=False)),
        args=lambda: (torch.randn(3, 6), torch.randn(3, 5)),
        params=4 * 6 * 5,
        macs=3 * 4 * (6 * 5 + 5),  # for each row and output: x' W, then the product with y
        by_convention=(3 * 4 * 6 * 5,),  # each weight once a row, as one sum of triple products
        tags=("operator",),
    ),
    Case(
        name="int8_matmul",
        shows="An integer matrix product, as in quantised layers.",
        build=lambda: Model(lambda m, x: torch._int_mm(x, m.weight), weight=torch.ones(32, 24, dtype=torch.int8)),
        args=lambda: (torch.ones(20, 32, dtype=torch.int8),),
        params=0,  # the weight is a buffer
        macs=20 * 32 * 24,
        tags=("operator", "quantised"),
    ),
    Case(
        name="grouped_mm",
        shows="The grouped product of mixture-of-experts layers: each row goes through one expert.",
        build=lambda: Model(_mixture, experts=param(3, 32, 16, dtype=torch.bfloat16)),
        args=floats(16, 32),
        params=3 * 32 * 16,
        macs=16 * 32 * 16,  # all 16 rows, however they are divided
        exists=lambda: hasattr(torch, "_grouped_mm"),
        tags=("operator", "moe"),
    ),
    Case(
        name="cdist",
        shows="Euclidean distances of many points run as one matrix product: counted as that, or unknown.",
        build=lambda: Model(lambda m, x: torch.cdist(x, m.centres), centres=param(48, 8)),
        args=floats(32, 8),
        params=48 * 8,
        macs=32 * 48 * 8,  # the inner products in |x|^2 + |y|^2 - 2 x.y
        by_convention=(32 * 48 * (8 + 2),),  # as torch runs it: each row extended by its squared length and by 1
        may_be_incomplete=True,
        tags=("operator",),
    ),
    Case(
        name="deform_conv2d",
        shows="torchvision's deformable convolution costs as much as a plain one of the same shape.",
        build=lambda: Model(_deform, offset=nn.Conv2d(3, 18, 3, padding=1, bias=False), weight=param(6, 3, 3, 3)),
        args=lambda: (torch.randn(1, 3, 8, 8),),
        params=18 * 3 * 9 + 6 * 3 * 9,
        macs=64 * 18 * 3 * 9 + 64 * 6 * 3 * 9,  # 64 positions each; sampling is not a contraction
        modules={"": (6 * 3 * 9, 64 * (18 + 6) * 3 * 9), "offset": (18 * 3 * 9, 64 * 18 * 3 * 9)},
        tags=("operator", "torchvision"),
    ),
    Case(
        name="chained_vmap",
        shows="A layer mapped over a dimension by torch.func.vmap is counted for each slice.",
        build=lambda: Model(lambda m, x: torch.func.vmap(m.layer)(x), layer=linear(16, 8)),
        args=floats(5, 3, 16),
        params=16 * 8,
        macs=5 * 3 * 16 * 8,
        tags=("transform",),
    ),
    Case(
        name="solve_triangular",
        shows="Substitution multiplies each unknown with the elements below it.",
        build=lambda: Model(lambda m, x: torch.linalg.solve_triangular(m.factor, x, upper=False), factor=nn.Parameter(torch.eye(6))),
        args=floats(6, 4),
        params=6 * 6,
        macs=4 * (0 + 1 + 2 + 3 + 4 + 5),  # row i needs i products, for each of 4 right-hand sides
        by_convention=(4 * 6 * 6, 4 * 6 * 7 // 2),  # as a dense product; with the divisions
        may_be_incomplete=True,
        tags=("linalg",),
    ),
    Case(
        name="fft",
        shows="A Fourier transform and its inverse, as mixed-radix transforms of real numbers.",
        build=lambda: Model(_spectral, proj=linear(16, 16)),
        args=floats(10, 16),
        params=16 * 16,
        macs=10 * 16 * 16 + 2 * (10 * 16 * (2 + 2 + 2 + 2) // 2),  # half of N times the sum of its prime factors, twice
        may_be_incomplete=True,
        tags=("fft",),
    ),
    # --- no count is known
    Case(
        name="custom_operator",
        shows="An operator without a formula makes the count incomplete; the layer before it stays counted.",
        build=lambda: Model(lambda m, x: mix(m.proj(x)), proj=linear(16, 8)),
        args=floats(10, 16),
        params=16 * 8,
        expects_incomplete=True,
        tags=("custom operator",),  # pytorch#131041
    ),
    Case(
        name="linalg_solve",
        shows="A linear system is an LU factorization and two substitutions for each right-hand side.",
        build=lambda: Model(_solve, proj=linear(8, 8)),
        args=floats(8, 8),
        params=8 * 8,
        macs=2 * 8**3 + _LU_8 + 8 * 8 * 7,
        may_be_incomplete=True,
        tags=("linalg",),
    ),
    Case(
        name="linalg_inv",
        shows="An inverse is the solution for the columns of the identity.",
        build=lambda: Model(lambda m, x: m.proj(x) @ torch.linalg.inv(m.mixing), proj=linear(8, 8), mixing=nn.Parameter(torch.eye(8))),
        args=floats(4, 8),
        params=2 * 8 * 8,
        macs=2 * 4 * 8 * 8 + _LU_8 + 8 * 8 * 7,
        by_convention=(2 * 4 * 8 * 8 + 8**3,),  # LU and LAPACK's inverse of the factors, n^3 in all
        may_be_incomplete=True,
        tags=("linalg",),
    ),
    Case(
        name="linalg_slogdet",
        shows="The determinant of a flow's mixing matrix is its LU factorization.",
        build=lambda: Model(lambda m, x: (x @ m.mixing, torch.linalg.slogdet(m.mixing)[1]), mixing=nn.Parameter(torch.eye(8))),
        args=floats(4, 8),
        params=8 * 8,
        macs=4 * 8 * 8 + _LU_8,
        may_be_incomplete=True,
        tags=("linalg",),
    ),
    Case(
        name="linalg_qr",
        shows="A QR factorization is made of Householder reflectors, and Q of their products.",
        build=lambda: Model(lambda m, x: torch.linalg.qr(m.proj(x))[0], proj=linear(8, 4)),
        args=floats(7, 8),
        params=8 * 4,
        macs=7 * 8 * 4 + _REFLECTORS_7X4 + _Q_7X4,
        may_be_incomplete=True,
        tags=("linalg",),
    ),
    Case(
        name="cholesky_solve",
        shows="A system with a Cholesky factor is two substitutions for each right-hand side.",
        build=lambda: Model(lambda m, x: torch.cholesky_solve(x, torch.linalg.cholesky(m.covariance)), covariance=torch.eye(6)),
        args=floats(6, 4),
        params=0,
        macs=(6**3 - 6) // 6 + 4 * 6 * 5,
        may_be_incomplete=True,
        tags=("linalg",),
    ),
    Case(
        name="linalg_eigh",
        shows="Eigenvalues are iterated until they are close enough, so their work depends on the values.",
        build=lambda: Model(lambda m, x: torch.linalg.eigh(m.proj(x) @ m.proj(x).mT)[0], proj=linear(8, 8)),
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
