"""Building blocks of both models: convolution with norm, atrous spatial pyramid pooling, bilinear resizing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_norm_relu(in_channels: int, out_channels: int, kernel_size: int = 1, dilation: int = 1) -> list[nn.Module]:
    """A convolution without bias that keeps height and width, its batch norm, and ReLU: layers for an `nn.Sequential`."""
    padding = dilation * (kernel_size // 2)
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """`x` of shape (batch, channels, h, w), bilinearly resized to `size` = (H, W)."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


class ASPPModule(nn.Module):
    """Atrous spatial pyramid pooling: one branch a dilation rate, one over the whole image's mean, joined by a 1x1 projection.

    A rate of 1 is a 1x1 convolution, any other a 3x3 convolution with that dilation. Maps (batch, in_channels, h, w) to
    (batch, out_channels, h, w).
    """

    def __init__(self, in_channels: int, out_channels: int, dilation_rates: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*conv_norm_relu(in_channels, out_channels, kernel_size=1 if rate == 1 else 3, dilation=rate))
            for rate in dilation_rates
        )
        self.image_pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_norm_relu(in_channels, out_channels))
        joined_channels = (len(dilation_rates) + 1) * out_channels
        self.project = nn.Sequential(*conv_norm_relu(joined_channels, out_channels), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """The pooled pyramid of encoder features."""
        levels = [branch(x) for branch in self.branches]
        levels.append(resize(self.image_pooling(x), x.shape[2:]))
        projected: Tensor = self.project(torch.cat(levels, dim=1))
        return projected
