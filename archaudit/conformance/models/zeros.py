"""Work without multiply-accumulates: norms, pooling, resizing, lookups, activations. And lazy layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, image, tokens

PIXELS = 4 * 8 * 8  # elements of the images below

CASES = (
    Case(
        name="embedding",
        shows="A lookup multiplies nothing, for a table of any size.",
        build=lambda: nn.Embedding(1000, 64),
        args=tokens(10, 1000),
        params=1000 * 64,
        macs=0,
        tags=("embedding", "integer input"),
    ),
    Case(
        name="embedding_bag",
        shows="A lookup that sums the rows it reads.",
        build=lambda: nn.EmbeddingBag(100, 16, mode="sum"),
        args=lambda: (torch.zeros(4, 5, dtype=torch.long),),
        params=100 * 16,
        macs=0,
        tags=("embedding", "integer input"),
    ),
    Case(
        name="batch_norm",
        shows="Batch norm in eval mode scales and shifts.",
        build=lambda: nn.BatchNorm2d(4),
        args=image(4),
        params=2 * 4,
        macs=0,
        by_convention=(2 * 4, 2 * PIXELS, PIXELS),  # two terms for each channel, or one or two for each element
        tags=("norm",),
    ),
    Case(
        name="layer_group_instance_norm",
        shows="Layer, group, instance and RMS norm.",
        build=lambda: nn.Sequential(
            nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.LayerNorm([8, 8]), nn.RMSNorm(8), nn.LocalResponseNorm(2)
        ),
        args=image(4),
        params=2 * 4 + 2 * 4 + 2 * 64 + 8,
        macs=0,
        by_convention=(2 * 4 + 2 * 4 + 2 * 64, 2 * 4 + 2 * 4 + 2 * 64 + 8, 3 * 5 * PIXELS),
        tags=("norm",),
    ),
    Case(
        name="pooling",
        shows="Maximum, average, adaptive and power-average pooling.",
        build=lambda: nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2, stride=1), nn.LPPool2d(2, 2, stride=1), nn.AdaptiveAvgPool2d(2)),
        args=image(4),
        params=0,
        macs=0,
        by_convention=(4 * 2 * 2,),  # one term for each output element of the adaptive pooling
        tags=("pool",),
    ),
    Case(
        name="upsampling",
        shows="Nearest, bilinear and bicubic resizing, and pixel shuffle.",
        build=lambda: nn.Sequential(
            nn.Upsample(scale_factor=2),
            nn.Upsample(size=(9, 9), mode="bilinear", align_corners=False),
            nn.Upsample(size=(5, 5), mode="bicubic"),
            nn.PixelShuffle(2),
        ),
        args=image(4),
        params=0,
        macs=0,
        by_convention=(4 * 16 * 16 + 4 * 4 * 81 + 4 * 4 * 25, 4 * 16 * 16 + 4 * 4 * 81),  # one or four terms for each output element
        tags=("resize",),
    ),
    Case(
        name="activations",
        shows="Activations, softmax and dropout.",
        build=lambda: nn.Sequential(nn.ReLU(), nn.GELU(), nn.SiLU(), nn.PReLU(), nn.Softmax(-1), nn.Dropout(0.5), nn.Softplus(), nn.GLU()),
        args=floats(4, 16),
        params=1,
        macs=0,
        by_convention=(4,),  # the slope of PReLU, once for each row
        tags=("elementwise",),
    ),
    Case(
        name="elementwise_arithmetic",
        shows="Sums, products, comparisons, sorting, cumulation and copies of tensors.",
        build=lambda: Model(lambda m, x: (x * x + 1).cumsum(-1).sort(-1).values.clamp(0, 3).flip(0).contiguous().roll(1) / (x.abs() + 1)),
        args=floats(4, 16),
        params=0,
        macs=0,
        tags=("elementwise",),
    ),
    Case(
        name="grid_sample",
        shows="Sampling an image at given positions interpolates; it does not contract.",
        build=lambda: Model(lambda m, x, grid: F.grid_sample(x, grid, align_corners=False)),
        args=lambda: (torch.randn(1, 4, 8, 8), torch.zeros(1, 5, 5, 2)),
        params=0,
        macs=0,
        by_convention=(4 * 4 * 25,),
        tags=("resize",),
    ),
    Case(
        name="indexing_and_scatter",
        shows="Gathering, scattering, stacking and slicing move data.",
        build=lambda: Model(
            lambda m, x: torch.cat([x[:, ::2], x.gather(1, m.order), torch.zeros_like(x).scatter(1, m.order, 1.0)], 1),
            order=torch.zeros(4, 8, dtype=torch.long),
        ),
        args=floats(4, 16),
        params=0,
        macs=0,
        tags=("movement",),
    ),
    Case(
        name="lazy_linear",
        shows="A layer that infers its input size at the first call.",
        build=lambda: nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(4)),
        args=floats(3, 16),
        params=(16 * 8 + 8) + (8 * 4 + 4),
        macs=3 * (16 * 8 + 8 * 4),
        by_convention=(3 * (16 * 8 + 8 + 8 * 4 + 4),),
        tags=("lazy", "bias"),
    ),
    Case(
        name="lazy_conv_norm",
        shows="A lazy convolution and a lazy norm.",
        build=lambda: nn.Sequential(nn.LazyConv2d(6, 3, padding=1, bias=False), nn.LazyBatchNorm2d()),
        args=image(),
        params=6 * 3 * 9 + 2 * 6,
        macs=64 * 6 * 3 * 9,
        by_convention=(64 * 6 * 3 * 9 + 2 * 6, 64 * 6 * 3 * 9 + 2 * 64 * 6),
        tags=("lazy", "norm"),
    ),
)
