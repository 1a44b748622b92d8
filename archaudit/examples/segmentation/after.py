"""The segmentation model after the change: three dilation rates, 128 channels, two depthwise separable decoder stages."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archaudit.examples.segmentation.backbone import ENCODER_CHANNELS, LOW_LEVEL_CHANNELS, MID_LEVEL_CHANNELS, MobileNetV3Backbone
from archaudit.examples.segmentation.blocks import ASPPModule, conv_norm_relu, resize
from archaudit.examples.segmentation.weights import count_parameters, example_inputs, initialise_weights

__all__ = ["DepthwiseSeparableConv", "LightweightSegmentationModel", "count_parameters", "example_inputs"]

CONTEXT_CHANNELS = 128
PROJECTED_CHANNELS = 32


class DepthwiseSeparableConv(nn.Module):
    """A convolution in two steps, one filter for each channel and then a 1x1 mix of channels, with one norm and ReLU at the end."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, padding: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, padding=padding, groups=in_channels, bias=bias)
        self.pointwise = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=bias)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, in_channels, h, w) to (batch, out_channels, h, w)."""
        out: Tensor = self.relu(self.bn(self.pointwise(self.depthwise(x))))
        return out


class LightweightSegmentationModel(nn.Module):
    """Scores of `num_classes` classes for each pixel: (batch, 3, H, W) to (batch, num_classes, H, W)."""

    def __init__(self, num_classes: int = 21) -> None:
        super().__init__()
        self.backbone = MobileNetV3Backbone()
        self.low_level_project = nn.Sequential(*conv_norm_relu(LOW_LEVEL_CHANNELS, PROJECTED_CHANNELS))
        self.mid_level_project = nn.Sequential(*conv_norm_relu(MID_LEVEL_CHANNELS, PROJECTED_CHANNELS))
        self.aspp = ASPPModule(ENCODER_CHANNELS, CONTEXT_CHANNELS, dilation_rates=(1, 6, 12), dropout=0.1)
        self.decoder_stage1 = DepthwiseSeparableConv(CONTEXT_CHANNELS + PROJECTED_CHANNELS, CONTEXT_CHANNELS)
        self.decoder_stage2 = DepthwiseSeparableConv(CONTEXT_CHANNELS + PROJECTED_CHANNELS, CONTEXT_CHANNELS)
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(CONTEXT_CHANNELS, num_classes, kernel_size=1))
        initialise_weights([self.low_level_project, self.mid_level_project, self.decoder_stage1, self.decoder_stage2, self.classifier])

    def forward(self, image: Tensor) -> Tensor:
        """Class scores at the size of the image: context is fused with mid-level features at H/8, then with low-level ones at H/4."""
        features = self.backbone(image)
        x = resize(self.aspp(features.encoded), features.mid.shape[2:])
        x = self.decoder_stage1(torch.cat([x, self.mid_level_project(features.mid)], dim=1))
        x = resize(x, features.low.shape[2:])
        x = self.decoder_stage2(torch.cat([x, self.low_level_project(features.low)], dim=1))
        return resize(self.classifier(x), image.shape[2:])


if __name__ == "__main__":
    print(f"Total parameters: {count_parameters(LightweightSegmentationModel())[0]:,}")
