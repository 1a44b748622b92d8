"""Pairs of models whose forward graphs are compared, and their reports."""

from __future__ import annotations

import functools

import torch
from torch import nn

from archaudit.load import load_recipe, parse_inputs, parse_reference
from archaudit.measure.recipe import measure_recipe
from archaudit.pipeline.profile_diff import compare_plain
from archaudit.schema import Profile, Report


class OneSkip(nn.Module):
    """stem → a → b → add(b, stem) → head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = (nn.Conv2d(inputs, 8, 3, padding=1) for inputs in (3, 8, 8))
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(self.b(self.a(x)) + x)


class TwoSkips(OneSkip):
    """stem → a → add(a, stem) → b → add(b, first add) → head."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.a(x)
        y = y + x
        return self.head(self.b(y) + y)


TORCHVISION = {
    "resnet": ("resnet18", "resnet34"),
    "mobilenet": ("mobilenet_v2", "mobilenet_v3_large"),
    "vit": ("vit_b_16", "vit_b_32"),
    "densenet": ("densenet121", "densenet169"),
    "convnext": ("convnext_tiny", "convnext_small"),
}
PAIRS = ("skip", "example", *TORCHVISION)


@functools.cache
def measure_pair(name: str) -> tuple[Profile, Profile]:
    if name in TORCHVISION:
        before, after = TORCHVISION[name]
        return _measure(f"torchvision:{before}"), _measure(f"torchvision:{after}")
    if name == "skip":
        return _measure(f"{__file__}:OneSkip", "1x3x8x8"), _measure(f"{__file__}:TwoSkips", "1x3x8x8")
    models = "archaudit.examples.segmentation.{}:LightweightSegmentationModel"
    return _measure(models.format("before"), "1x3x512x512"), _measure(models.format("after"), "1x3x512x512")


def _measure(reference: str, *inputs: str) -> Profile:
    return measure_recipe(load_recipe(parse_reference(reference), parse_inputs(list(inputs))), other_counters=False, symbolic=bool(inputs))


@functools.cache
def compare_pair(name: str, kind: str = "pair") -> Report:
    """The report of a pair: as it is (`pair`), with the sides swapped (`swapped`), or of its first model against itself (`same`)."""
    before, after = measure_pair(name)
    return compare_plain(*{"pair": (before, after), "swapped": (after, before), "same": (before, before)}[kind])
