"""The encoder that both models share: MobileNetV3-Small's features, tapped at three strides."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small

LOW_LEVEL_CHANNELS = 16
MID_LEVEL_CHANNELS = 24
ENCODER_CHANNELS = 576

# Positions in torchvision's `features` whose outputs are the last ones at a quarter and at an eighth of the input's size.
_LOW_LEVEL_BLOCK = 1
_MID_LEVEL_BLOCK = 3


class FeatureLevels(NamedTuple):
    """Feature maps of one image batch: (batch, 16, H/4, W/4), (batch, 24, H/8, W/8) and (batch, 576, H/16, W/16)."""

    low: Tensor
    mid: Tensor
    encoded: Tensor


class MobileNetV3Backbone(nn.Module):
    """MobileNetV3-Small without its classifier, its last stage dilated so that the encoder ends at a sixteenth of the input's size."""

    def __init__(self) -> None:
        super().__init__()
        self.features: nn.Sequential = mobilenet_v3_small(weights=None, dilated=True).features

    def forward(self, image: Tensor) -> FeatureLevels:
        """The feature levels of images of shape (batch, 3, H, W)."""
        taps = {}
        x = image
        for position, block in enumerate(self.features):
            x = block(x)
            if position in (_LOW_LEVEL_BLOCK, _MID_LEVEL_BLOCK):
                taps[position] = x
        return FeatureLevels(low=taps[_LOW_LEVEL_BLOCK], mid=taps[_MID_LEVEL_BLOCK], encoded=x)
