"""The segmentation model before the change: four dilation rates, 256 channels, two dense 3x3 convolutions as decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archaudit.examples.segmentation.backbone import ENCODER_CHANNELS, LOW_LEVEL_CHANNELS, MobileNetV3Backbone
from archaudit.examples.segmentation.blocks import ASPPModule, conv_norm_relu, resize
from archaudit.examples.segmentation.weights import count_parameters, example_inputs, initialise_weights

__all__ = ["LightweightSegmentationModel", "count_parameters", "example_inputs"]

CONTEXT_CHANNELS = 256
PROJECTED_CHANNELS = 48


class LightweightSegmentationModel(nn.Module):
    """Scores of `num_classes` classes for each pixel: (batch, 3, H, W) to (batch, num_classes, H, W)."""

    def __init__(self, num_classes: int = 21) -> None:
        super().__init__()
        self.backbone = MobileNetV3Backbone()
        self.low_level_project = nn.Sequential(*conv_norm_relu(LOW_LEVEL_CHANNELS, PROJECTED_CHANNELS))
        self.aspp = ASPPModule(ENCODER_CHANNELS, CONTEXT_CHANNELS, dilation_rates=(1, 6, 12, 18), dropout=0.3)
        self.decoder = nn.Sequential(
            *conv_norm_relu(CONTEXT_CHANNELS + PROJECTED_CHANNELS, CONTEXT_CHANNELS, kernel_size=3),
            *conv_norm_relu(CONTEXT_CHANNELS, CONTEXT_CHANNELS, kernel_size=3),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(CONTEXT_CHANNELS, num_classes, kernel_size=1))
        initialise_weights([self.low_level_project, self.decoder, self.classifier])

    def forward(self, image: Tensor) -> Tensor:
        """Class scores at the size of the image."""
        features = self.backbone(image)
        context = resize(self.aspp(features.encoded), features.low.shape[2:])
        fused = torch.cat([context, self.low_level_project(features.low)], dim=1)
        return resize(self.classifier(self.decoder(fused)), image.shape[2:])


if __name__ == "__main__":
    print(f"Total parameters: {count_parameters(LightweightSegmentationModel())[0]:,}")
