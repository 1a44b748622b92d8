"""A detector as people write them: a backbone of bottlenecks, a feature pyramid, and two heads on all of its levels.

The small one has fewer and narrower blocks, and separable convolutions in the heads, each in a wrapper of its own.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from archaudit.measure.recipe import measure_live
from archaudit.schema import Profile


class Sizes(NamedTuple):
    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    features: int = 192
    convs: int = 4
    separable: bool = False


LARGE = Sizes()
SMALL = Sizes(widths=(48, 96, 192, 384), depths=(2, 3, 4, 2), features=128, convs=3, separable=True)
_ANCHORS, _CLASSES = 9, 91


class ConvNormAct(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: bool = True) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            *([nn.SiLU()] if act else []),
        )


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        middle = outputs // 2
        self.reduce = ConvNormAct(inputs, middle, 1)
        self.conv = ConvNormAct(middle, middle, 3, stride)
        self.expand = ConvNormAct(middle, outputs, 1, act=False)
        self.shortcut = nn.Identity() if inputs == outputs and stride == 1 else ConvNormAct(inputs, outputs, 1, stride, act=False)
        self.act = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.expand(self.conv(self.reduce(x))) + self.shortcut(x))


class Backbone(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        first = sizes.widths[0]
        self.stem = nn.Sequential(ConvNormAct(3, first // 2, 3, 2), ConvNormAct(first // 2, first, 3, 2))
        self.stages = nn.ModuleList()
        for place, ((inputs, outputs), depth) in enumerate(zip(pairwise((first, *sizes.widths)), sizes.depths, strict=True)):
            blocks = [Bottleneck(inputs, outputs, 2 if place else 1), *(Bottleneck(outputs, outputs) for _ in range(depth - 1))]
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.stem(x)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found[1:]


class Pyramid(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.features
        self.lateral = nn.ModuleList(nn.Conv2d(inputs, width, 1) for inputs in sizes.widths[1:])
        self.output = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in sizes.widths[1:])
        self.p6, self.p7 = nn.Conv2d(width, width, 3, 2, 1), nn.Conv2d(width, width, 3, 2, 1)

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        merged = [lateral(x) for lateral, x in zip(self.lateral, features, strict=True)]
        for place in range(len(merged) - 1, 0, -1):
            merged[place - 1] = merged[place - 1] + functional.interpolate(merged[place], size=merged[place - 1].shape[-2:])
        found = [output(x) for output, x in zip(self.output, merged, strict=True)]
        found.append(self.p6(found[-1]))
        return [*found, self.p7(torch.relu(found[-1]))]


def make_tower(sizes: Sizes) -> nn.Sequential:
    width, layers = sizes.features, list[nn.Module]()
    for _ in range(sizes.convs):
        if sizes.separable:
            layers += [ConvNormAct(width, width, 3, groups=width, act=False), ConvNormAct(width, width, 1)]
        else:
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(32, width), nn.ReLU()]
    return nn.Sequential(*layers)


class ClassHead(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.tower = make_tower(sizes)
        self.logits = nn.Conv2d(sizes.features, _ANCHORS * _CLASSES, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(self.tower(x))


class BoxHead(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.tower = make_tower(sizes)
        self.deltas = nn.Conv2d(sizes.features, _ANCHORS * 4, 3, padding=1)
        self.centerness = nn.Conv2d(sizes.features, _ANCHORS, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.tower(x)
        return self.deltas(x), self.centerness(x)


class Detector(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.backbone, self.fpn = Backbone(sizes), Pyramid(sizes)
        self.cls_head, self.box_head = ClassHead(sizes), BoxHead(sizes)

    def forward(self, images: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        features = self.fpn(self.backbone(images))
        return {"logits": [self.cls_head(x) for x in features], "boxes": [self.box_head(x)[0] for x in features]}


def measure_detectors() -> tuple[Profile, Profile]:
    """The large one and the small one, on an image of 256 x 256."""
    large, small = (measure_live(Detector(sizes), (torch.zeros(1, 3, 256, 256),)) for sizes in (LARGE, SMALL))
    return large, small
