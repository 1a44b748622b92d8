"""Convolutions: groups, strides, dilation, padding, transposition, one to three dimensions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, image, linear, param


def _own_kernels(model: Any, x: torch.Tensor, style: torch.Tensor) -> Any:
    kernels = model.make(style).view(2 * 4, 3, 3, 3)
    return F.conv2d(x.view(1, 6, 8, 8), kernels, groups=2).view(2, 4, 6, 6)


def _unfolded(model: Any, x: torch.Tensor) -> Any:
    columns = F.unfold(x, 3, padding=1)  # (1, 27, 64)
    return model.weight @ columns


def _classifier() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10)
    )


CASES = (
    Case(
        name="functional_conv2d",
        shows="F.conv2d on a parameter of the model itself.",
        build=lambda: Model(lambda m, x: F.conv2d(x, m.weight, padding=1), weight=param(8, 3, 3, 3)),
        args=image(),
        params=8 * 3 * 9,
        macs=64 * 8 * 3 * 9,  # output positions * out * in * kernel
        tags=("functional", "direct parameter"),
    ),
    Case(
        name="conv2d_bias_batch_four",
        shows="The whole batch is counted, and the bias is not.",
        build=lambda: nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1)),
        args=image(batch=4),
        params=8 * 3 * 9 + 8,
        macs=4 * (4 * 4) * 8 * 3 * 9,
        by_convention=(4 * (4 * 4) * (8 * 3 * 9 + 8),),
        tags=("bias", "batch"),
    ),
    Case(
        name="conv2d_rectangular",
        shows="Kernel, stride and padding that differ by dimension.",
        build=lambda: nn.Sequential(nn.Conv2d(4, 6, (1, 5), stride=(2, 1), padding=(0, 2), bias=False)),
        args=floats(1, 4, 8, 10),
        params=6 * 4 * 5,
        macs=(4 * 10) * 6 * 4 * 5,
        tags=("convolution",),
    ),
    Case(
        name="conv2d_grouped",
        shows="Each of four groups takes a quarter of the input channels.",
        build=lambda: nn.Sequential(nn.Conv2d(8, 12, 3, padding=1, groups=4, bias=False)),
        args=image(8),
        params=12 * (8 // 4) * 9,
        macs=64 * 12 * (8 // 4) * 9,
        tags=("convolution", "groups"),
    ),
    Case(
        name="conv2d_depthwise",
        shows="A depthwise convolution has one input channel for each output channel.",
        build=lambda: nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)),
        args=image(16),
        params=16 * 9,
        macs=64 * 16 * 9,
        tags=("convolution", "groups"),
    ),
    Case(
        name="conv2d_dilated",
        shows="Dilation widens the receptive field, not the number of weights.",
        build=lambda: nn.Sequential(nn.Conv2d(3, 6, 3, dilation=2, bias=False)),
        args=image(),
        params=6 * 3 * 9,
        macs=(4 * 4) * 6 * 3 * 9,  # 8 - 2 * 2 positions a side
        tags=("convolution",),
    ),
    Case(
        name="conv2d_padding_same",
        shows="padding='same' keeps the size for any kernel and dilation.",
        build=lambda: nn.Sequential(nn.Conv2d(3, 6, (3, 5), padding="same", dilation=2, bias=False)),
        args=image(),
        params=6 * 3 * 15,
        macs=64 * 6 * 3 * 15,
        tags=("convolution", "padding"),
    ),
    Case(
        name="conv2d_padding_circular",
        shows="Circular padding is a separate step before the convolution.",
        build=lambda: nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, padding_mode="circular", bias=False)),
        args=image(),
        params=6 * 3 * 9,
        macs=64 * 6 * 3 * 9,
        tags=("convolution", "padding"),
    ),
    Case(
        name="conv2d_unbatched",
        shows="An image without a batch dimension is one image.",
        build=lambda: nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False)),
        args=floats(3, 8, 8),
        params=6 * 3 * 9,
        macs=64 * 6 * 3 * 9,
        tags=("convolution", "unbatched"),
    ),
    Case(
        name="conv1d_strided",
        shows="A convolution over a sequence.",
        build=lambda: nn.Sequential(nn.Conv1d(4, 8, 5, stride=2, padding=2, bias=False)),
        args=floats(2, 4, 20),
        params=8 * 4 * 5,
        macs=2 * 10 * 8 * 4 * 5,
        tags=("convolution", "1d"),
    ),
    Case(
        name="conv3d",
        shows="A convolution over a volume.",
        build=lambda: nn.Sequential(nn.Conv3d(2, 4, 3, padding=1, bias=False)),
        args=floats(1, 2, 4, 6, 6),
        params=4 * 2 * 27,
        macs=(4 * 6 * 6) * 4 * 2 * 27,
        tags=("convolution", "3d"),
    ),
    Case(
        name="conv_transpose2d",
        shows="A transposed convolution costs one kernel for each input position, not for each output position.",
        build=lambda: nn.Sequential(nn.ConvTranspose2d(8, 3, 2, stride=2, bias=False)),
        args=image(8),
        params=8 * 3 * 4,
        macs=64 * 8 * 3 * 4,
        tags=("convolution", "transposed"),  # fvcore#78, pytorch#119806
    ),
    Case(
        name="conv_transpose2d_output_padding",
        shows="Output padding adds positions, not work.",
        build=lambda: nn.Sequential(nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1, groups=2, bias=False)),
        args=image(8),
        params=8 * (4 // 2) * 9,
        macs=64 * 8 * (4 // 2) * 9,
        tags=("convolution", "transposed", "groups"),
    ),
    Case(
        name="conv_transpose1d",
        shows="A transposed convolution over a sequence with overlapping windows.",
        build=lambda: nn.Sequential(nn.ConvTranspose1d(4, 6, 5, stride=3, bias=False)),
        args=floats(2, 4, 7),
        params=4 * 6 * 5,
        macs=2 * 7 * 4 * 6 * 5,
        tags=("convolution", "transposed", "1d"),
    ),
    Case(
        name="conv_by_unfold",
        shows="A convolution written as unfold and a matrix product counts as the product.",
        build=lambda: Model(_unfolded, weight=param(6, 27)),
        args=image(),
        params=6 * 27,
        macs=64 * 6 * 27,
        tags=("functional", "matmul"),
    ),
    Case(
        name="named_conv_that_is_linear",
        shows="A class whose name contains Conv is counted by what it runs, not by its name.",
        build=lambda: nn.Sequential(Conv1D(linear(16, 8))),
        args=floats(1, 10, 16),
        params=16 * 8,
        macs=10 * 16 * 8,
        tags=("name",),
    ),
    Case(
        name="conv_norm_pool_linear",
        shows="In a small classifier only the convolution and the linear layer have multiply-accumulates.",
        build=_classifier,
        args=image(),
        params=(6 * 3 * 9 + 6) + 2 * 6 + (6 * 10 + 10),
        macs=64 * 6 * 3 * 9 + 6 * 10,
        by_convention=(
            64 * (6 * 3 * 9 + 6) + 2 * 6 + (6 * 10 + 10),  # biases, and two terms a channel for the norm
            64 * 6 * 3 * 9 + 6 * 10 + 2 * 64 * 6 + 64 * 6,  # two terms an element for the norm, one for the pool
        ),
        modules={
            "": (0, 64 * 6 * 3 * 9 + 6 * 10),
            "0": (6 * 3 * 9 + 6, 64 * 6 * 3 * 9),
            "1": (2 * 6, 0),
            "3": (0, 0),
            "5": (6 * 10 + 10, 6 * 10),
        },
        tags=("bias", "norm", "pool"),
    ),
    Case(
        name="conv2d_even_kernel_reflect",
        shows="A kernel of even size, with reflected padding, which is a pad of its own.",
        build=lambda: nn.Sequential(nn.Conv2d(3, 4, 4, padding=2, padding_mode="reflect", bias=False)),
        args=image(3, 8),
        params=4 * 3 * 16,
        macs=9 * 9 * 4 * 3 * 16,  # 8 + 2 * 2 - 4 + 1 positions in each direction
        tags=("convolution", "padding"),
    ),
    Case(
        name="conv1d_causal_depthwise",
        shows="The short convolution of a state space model: padded on both sides, and cut.",
        build=lambda: Model(lambda m, x: m.conv(x)[..., :10], conv=nn.Conv1d(8, 8, 4, padding=3, groups=8, bias=False)),
        args=floats(2, 8, 10),
        params=8 * 4,
        macs=2 * 13 * 8 * 4,  # 13 positions are computed, and ten are kept
        tags=("convolution", "groups"),
    ),
    Case(
        name="conv_transpose3d_strided_grouped",
        shows="A transposed convolution in three dimensions is counted once for each of its input positions.",
        build=lambda: nn.Sequential(nn.ConvTranspose3d(4, 6, 3, stride=2, groups=2, bias=False)),
        args=floats(1, 4, 2, 3, 4),
        params=4 * (6 // 2) * 27,
        macs=(2 * 3 * 4) * 4 * (6 // 2) * 27,
        tags=("convolution", "transposed", "groups"),
    ),
    Case(
        name="conv_then_pixel_shuffle",
        shows="Upsampling by a convolution and a shuffle, which only moves elements.",
        build=lambda: nn.Sequential(nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.PixelShuffle(2)),
        args=image(3, 8),
        params=12 * 3 * 9,
        macs=64 * 12 * 3 * 9,
        tags=("convolution",),
    ),
    Case(
        name="conv_with_weights_of_each_image",
        shows="Kernels that differ from image to image run as one grouped convolution.",
        build=lambda: Model(_own_kernels, make=linear(5, 4 * 3 * 9)),
        args=lambda: (torch.randn(2, 3, 8, 8), torch.randn(2, 5)),
        params=5 * 4 * 3 * 9,
        macs=2 * 5 * 4 * 3 * 9 + 2 * 36 * 4 * 3 * 9,
        tags=("convolution", "functional"),
    ),
    Case(
        name="atrous_pyramid",
        shows="Three dilated convolutions on the same input, joined and mixed by a 1x1 convolution.",
        build=lambda: Model(
            lambda m, x: m.mix(torch.cat([branch(x) for branch in m.branches], dim=1)),
            branches=nn.ModuleList([nn.Conv2d(3, 4, 3, padding=rate, dilation=rate, bias=False) for rate in (1, 2, 4)]),
            mix=nn.Conv2d(12, 5, 1, bias=False),
        ),
        args=image(3, 8),
        params=3 * 4 * 3 * 9 + 12 * 5,
        macs=64 * (3 * 4 * 3 * 9 + 12 * 5),
        modules={"branches": (0, 64 * 3 * 4 * 3 * 9), "mix": (12 * 5, 64 * 12 * 5)},
        tags=("convolution", "dilation"),
    ),
)


class Conv1D(nn.Module):
    """A linear layer under the name that GPT-2 in transformers gives it."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.weight = inner.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight)
