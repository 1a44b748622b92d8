"""torchvision's weights entries: each model as its entry builds it, without the weights, and the figures that the library publishes.

Input sizes are those of torchvision's own test of these figures: the entry's preprocessing of a 512x512 image (the crop size; 520 for
segmentation, 512 for flow), 16 frames for video, and a curated size for each detection model.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import nn
from torchvision import models
from torchvision.models import WeightsEnum

from archaudit.schema import InputSpec, Recipe

FRAMES = 16
SEGMENTATION_SIZE = 520
FLOW_SIZE = 512
DETECTION_SIZES = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": 320,
    "keypointrcnn_resnet50_fpn": 1333,
    "ssd300_vgg16": 300,
    "ssdlite320_mobilenet_v3_large": 320,
}
DETECTION_SIZE = 800

# torchvision rounds its figures to this many decimals of 10^9; those with fewer have lost zeros at the end.
DIGITS = 3


@dataclass(frozen=True)
class Published:
    """One weights entry of one model: `params`, and `gmacs` as printed (torchvision's `_ops`, in 10^9 multiply-accumulates)."""

    model: str
    entry: Any
    family: str
    params: int
    gmacs: float

    @property
    def id(self) -> str:
        """`resnet50-IMAGENET1K_V2`."""
        return f"{self.model}-{self.entry.name}"

    def recipe(self) -> Recipe:
        """The model as the entry's builder makes it, on the input of the published figures."""
        build = functools.partial(build_as_published, self.model, self.entry)
        if self.family == "detection":
            return Recipe(name=self.id, reference=self.id, build=build, example_inputs=self._make_image)
        return Recipe(name=self.id, reference=self.id, build=build, inputs=self._list_inputs())

    def _list_inputs(self) -> tuple[InputSpec, ...]:
        if self.family == "segmentation":
            return (InputSpec(shape=(1, 3, SEGMENTATION_SIZE, SEGMENTATION_SIZE)),)
        if self.family == "optical_flow":
            return (InputSpec(shape=(1, 3, FLOW_SIZE, FLOW_SIZE)),) * 2
        crop = self.entry.transforms.keywords["crop_size"]
        height, width = (crop, crop) if isinstance(crop, int) else crop
        return (InputSpec(shape=(1, 3, *((FRAMES,) if self.family == "video" else ()), height, width)),)

    def _make_image(self) -> tuple[Any, ...]:
        size = DETECTION_SIZES.get(self.model, DETECTION_SIZE)
        return ([torch.rand(3, size, size)],)


def list_published() -> list[Published]:
    """Every weights entry of every builder that torchvision lists, in the library's order."""
    return [
        Published(name, entry, models.get_model_builder(name).__module__.split(".")[2], entry.meta["num_params"], entry.meta["_ops"])
        for name in models.list_models()
        for entry in models.get_model_weights(name)
    ]


def build_as_published(name: str, entry: Any) -> nn.Module:
    """`builder(weights=entry)`: all that the builder derives from the entry, but no values. A quantised model is built in float, from the
    entry that it was quantised from, since the builder makes a quantised one only with its values."""
    with without_values():
        return models.get_model_builder(name)(weights=entry.meta.get("unquantized", entry))


@contextmanager
def without_values() -> Iterator[None]:
    """While open, a weights entry has no values to download and a model none to load."""
    with (
        mock.patch.object(WeightsEnum, "get_state_dict", return_value={}),
        mock.patch.object(nn.Module, "load_state_dict", return_value=None),
    ):
        yield
