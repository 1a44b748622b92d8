"""Linear layers, matrix products and einsum: the products that most models consist of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, linear, param

CASES = (
    Case(
        name="linear_3d_input",
        shows="A Linear costs one product for every row, however many leading dimensions there are.",
        build=lambda: nn.Sequential(linear(16, 8)),
        args=floats(1, 10, 16),
        params=16 * 8,
        macs=10 * 16 * 8,  # rows * in * out
        modules={"": (0, 10 * 16 * 8), "0": (16 * 8, 10 * 16 * 8)},
        tags=("linear",),  # torchinfo#226, #77
    ),
    Case(
        name="linear_4d_batched",
        shows="Batch and two spatial dimensions are all rows.",
        build=lambda: nn.Sequential(nn.Linear(16, 8)),
        args=floats(2, 5, 7, 16),
        params=16 * 8 + 8,
        macs=2 * 5 * 7 * 16 * 8,
        by_convention=(2 * 5 * 7 * (16 * 8 + 8),),  # one add for each output
        tags=("linear", "bias"),
    ),
    Case(
        name="linear_vector_input",
        shows="An input without a batch dimension is one row.",
        build=lambda: nn.Sequential(linear(16, 8)),
        args=floats(16),
        params=16 * 8,
        macs=16 * 8,
        tags=("linear", "unbatched"),
    ),
    Case(
        name="functional_linear",
        shows="F.linear on a parameter of the model itself counts like an nn.Linear.",
        build=lambda: Model(lambda m, x: m.head(F.linear(x, m.weight)), weight=param(8, 16), head=nn.Linear(8, 4)),
        args=floats(1, 16),
        params=8 * 16 + (8 * 4 + 4),
        macs=16 * 8 + 8 * 4,
        by_convention=(16 * 8 + 8 * 4 + 4,),
        modules={"": (8 * 16, 16 * 8 + 8 * 4), "head": (8 * 4 + 4, 8 * 4)},
        tags=("functional", "direct parameter"),  # torchinfo#54
    ),
    Case(
        name="matmul_operator",
        shows="The @ operator between activations is a matrix product.",
        build=lambda: Model(_gram, proj=linear(16, 16)),
        args=floats(1, 10, 16),
        params=16 * 16,
        macs=10 * 16 * 16 + 10 * 16 * 10,  # the projection, then (10 x 16) @ (16 x 10)
        modules={"": (0, 10 * 16 * 16 + 10 * 16 * 10), "proj": (16 * 16, 10 * 16 * 16)},
        tags=("functional", "matmul"),  # DeepSpeed#1591, calflops#48
    ),
    Case(
        name="matmul_broadcast",
        shows="A product that broadcasts its batch dimensions costs every broadcast copy.",
        build=lambda: Model(lambda m, x: x @ m.weight, weight=param(3, 16, 8)),
        args=floats(2, 1, 5, 16),
        params=3 * 16 * 8,
        macs=2 * 3 * 5 * 16 * 8,  # batch 2 x 3 after broadcasting
        tags=("matmul",),
    ),
    Case(
        name="matmul_vector_by_batch",
        shows="A vector times a batch of matrices.",
        build=lambda: Model(lambda m, x: torch.matmul(m.weight, x), weight=param(16)),
        args=floats(4, 16, 8),
        params=16,
        macs=4 * 16 * 8,
        tags=("matmul",),
    ),
    Case(
        name="einsum",
        shows="An einsum over two operands.",
        build=lambda: Model(lambda m, x: torch.einsum("btc,cd->btd", x, m.weight), weight=param(16, 8)),
        args=floats(1, 10, 16),
        params=16 * 8,
        macs=10 * 16 * 8,
        tags=("einsum",),
    ),
    Case(
        name="einsum_three_operands",
        shows="An einsum over three operands costs its two pairwise products.",
        build=lambda: Model(lambda m, x: torch.einsum("ij,jk,kl->il", x, m.left, m.right), left=param(6, 6), right=param(6, 6)),
        args=floats(6, 6),
        params=2 * 6 * 6,
        macs=2 * 6 * 6 * 6,  # all sides equal: the same in either order
        tags=("einsum",),  # unetr_plus_plus#56
    ),
    Case(
        name="einsum_batched_heads",
        shows="An einsum with a batch index on both operands.",
        build=lambda: Model(lambda m, x: torch.einsum("bhqd,hkd->bhqk", x, m.keys), keys=param(4, 7, 8)),
        args=floats(2, 4, 5, 8),
        params=4 * 7 * 8,
        macs=2 * 4 * 5 * 7 * 8,  # b * h * q * k, over d
        tags=("einsum",),
    ),
    Case(
        name="einsum_diagonal",
        shows="An einsum of one operand (a trace) is no contraction.",
        build=lambda: Model(lambda m, x: torch.einsum("bii->b", x) * m.scale, scale=param(1)),
        args=floats(3, 5, 5),
        params=1,
        macs=0,
        tags=("einsum", "zero"),
    ),
    Case(
        name="tensordot",
        shows="tensordot over two dimensions at once.",
        build=lambda: Model(lambda m, x: torch.tensordot(x, m.weight, dims=2), weight=param(4, 6, 8)),
        args=floats(3, 4, 6),
        params=4 * 6 * 8,
        macs=3 * (4 * 6) * 8,
        tags=("functional",),
    ),
    Case(
        name="multi_dot",
        shows="A chain of products is counted in the order in which it runs.",
        build=lambda: Model(lambda m, x: torch.linalg.multi_dot([x, m.narrow, m.wide]), narrow=param(16, 2), wide=param(2, 16)),
        args=floats(10, 16),
        params=16 * 2 + 2 * 16,
        macs=10 * 16 * 2 + 10 * 2 * 16,  # (x narrow) wide; the other order would be 16*2*16 + 10*16*16
        tags=("functional",),
    ),
    Case(
        name="mixed_dtypes",
        shows="Layers in bfloat16 and double precision: the count does not depend on the size of the elements.",
        build=lambda: Model(
            lambda m, x: m.double_part(m.half_part(x.to(torch.bfloat16)).to(torch.float64)),
            half_part=linear(16, 8).to(torch.bfloat16),
            double_part=linear(8, 4).to(torch.float64),
        ),
        args=floats(3, 16),
        params=16 * 8 + 8 * 4,
        macs=3 * (16 * 8 + 8 * 4),
        modules={"half_part": (16 * 8, 3 * 16 * 8), "double_part": (8 * 4, 3 * 8 * 4)},
        tags=("dtype",),  # torchinfo#29, #372
    ),
)


def _gram(model: Model, x: torch.Tensor) -> torch.Tensor:
    rows: torch.Tensor = model.proj(x)
    return rows @ rows.transpose(-2, -1)
