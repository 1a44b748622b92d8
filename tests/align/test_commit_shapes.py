"""Commits as people make them, in four shapes with fifteen variants each; the truth of every row is written by hand in `expect`.

At least 97 % of these rows must be right, and no key of a checkpoint may be mapped to a tensor of another role.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import torch
from torch import nn

from archaudit.align import align
from archaudit.diff import diff
from archaudit.diff.checkpoint.key_map import map_checkpoint
from archaudit.measure.recipe import measure_live
from archaudit.schema import Profile

_LEAST_RIGHT = 0.97
_VARIANTS = 15


class ConvNormAct(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs), nn.SiLU()
        )


class Bottleneck(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce, self.conv, self.expand = (
            ConvNormAct(width, width // 2, 1),
            ConvNormAct(width // 2, width // 2),
            ConvNormAct(width // 2, width, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.expand(self.conv(self.reduce(x)))


class Basic(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))


class Inverted(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.pw, self.dw, self.proj = (
            ConvNormAct(width, 2 * width, 1),
            ConvNormAct(2 * width, 2 * width, groups=2 * width),
            nn.Conv2d(2 * width, width, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.proj(self.dw(self.pw(x)))


BLOCKS: tuple[type[nn.Module], ...] = (Bottleneck, Basic, Inverted)


class Head(nn.Module):
    def __init__(self, width: int, convs: int, classes: int, style: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(convs):
            if style == "separable":
                layers += [ConvNormAct(width, width, groups=width), ConvNormAct(width, width, 1)]
            elif style == "bn":
                layers += [ConvNormAct(width, width)]
            else:
                layers += [nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(4, width), nn.ReLU()]
        self.tower = nn.Sequential(*layers)
        self.out = nn.Conv2d(width, classes, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.tower(x))


class TopDown(nn.Module):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.lateral, self.output = nn.Conv2d(width, outputs, 1), nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.lateral(x))


class Pyramid(nn.Module):
    def __init__(self, width: int, outputs: int, rates: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(ConvNormAct(width, outputs, 1 if not place else 3) for place in range(rates))
        self.fuse = ConvNormAct(rates * outputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fuse(torch.cat([branch(x) for branch in self.branches], 1))


class Net(nn.Module):
    """Any of stem, backbone, neck and heads, in a chain; several heads run on the same features."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        self.heads = [name for name in parts if "head" in name]
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        for name, part in self.named_children():
            if name not in self.heads:
                x = part(x)
        return [self.get_submodule(name)(x) for name in self.heads]


class TwoOutputs(nn.Module):
    def __init__(self, width: int, convs: int, classes: int, style: str) -> None:
        super().__init__()
        self.tower = Head(width, convs, 1, style).tower
        self.cls, self.box = nn.Conv2d(width, classes, 3, padding=1), nn.Conv2d(width, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.tower(x)
        return self.cls(x), self.box(x)


def stack(block: type[nn.Module], width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(block(width) for _ in range(depth)))


class Commit(NamedTuple):
    """Two models, and the truth: partners by path before (None: removed); `role` names what a tensor is for, by its path."""

    before: nn.Module
    after: nn.Module
    expect: dict[str, str | None]
    role: Callable[[str], str]


def _walk(model: nn.Module, top: str) -> list[str]:
    return [f"{top}.{path}" if path else top for path, _ in model.get_submodule(top).named_modules()]


def shorten_backbone(place: int) -> Commit:
    """Blocks are removed from the end of the backbone, and the head becomes separable; every third variant is narrowed as well."""
    block, depth, removed = BLOCKS[place % 3], 4 + place % 4, 1 + place % 3
    width, narrow = 16 + 8 * (place % 2), 16 if place % 3 == 2 else 16 + 8 * (place % 2)
    before = Net(stem=ConvNormAct(3, width, 3, 2), backbone=stack(block, width, depth), head=Head(width, 1 + place % 3, 10, "gn"))
    after = Net(
        stem=ConvNormAct(3, narrow, 3, 2), backbone=stack(block, narrow, depth - removed), head=Head(narrow, 1 + place % 3, 10, "separable")
    )
    expect: dict[str, str | None] = {path: path for top in ("stem", "head.out") for path in _walk(before, top)}
    expect |= {path: path for path in ("backbone", "head", "head.tower")}
    for number in range(depth):
        expect |= {path: path if number < depth - removed else None for path in _walk(before, f"backbone.{number}")}
    return Commit(
        before, after, expect, lambda path: re.sub(r"\.\d+\.", ".", path, count=1) if path.startswith("backbone") else _part(path)
    )


def swap_neck(place: int) -> Commit:
    """Another neck under the same name, between the same backbone and head."""
    block, width, outputs = BLOCKS[place % 3], 16 + 8 * (place % 2), 16
    necks = [TopDown(width, outputs), Pyramid(width, outputs, 2 + place % 3)]
    if place % 2:
        necks.reverse()
    sides = [
        Net(stem=ConvNormAct(3, width), backbone=stack(block, width, 2 + place % 3), neck=neck, head=Head(outputs, 1, 10, "bn"))
        for neck in necks
    ]
    expect: dict[str, str | None] = {path: path for top in ("stem", "backbone", "head") for path in _walk(sides[0], top)}
    return Commit(*sides, expect | {"neck": "neck"}, _part)


def replace_backbone(place: int) -> Commit:
    """Another kind of blocks, and other depths, under an equal head."""
    one, other = BLOCKS[place % 3], BLOCKS[(place + 1 + place // 3 % 2) % 3]
    width = 16 + 8 * (place % 2)
    head = {"style": ("gn", "bn", "separable")[place % 3], "convs": 1 + place % 2}
    before, after = (
        Net(stem=ConvNormAct(3, width), backbone=stack(block, width, depth), head=Head(width, classes=10, **head))  # type: ignore[arg-type]
        for block, depth in ((one, 2 + place % 4), (other, 3 + place % 3))
    )
    expect: dict[str, str | None] = {path: path for top in ("stem", "head") for path in _walk(before, top)}
    return Commit(before, after, expect | {"backbone": "backbone"}, _part)


def merge_heads(place: int) -> Commit:
    """Two heads with towers of their own become one with a common tower."""
    block, width, convs = BLOCKS[place % 3], 16 + 8 * (place % 2), 1 + place % 3
    style = ("gn", "bn")[place % 2]
    parts = {"stem": ConvNormAct(3, width), "backbone": stack(block, width, 2 + place % 3)}
    before = Net(**parts, cls_head=Head(width, convs, 9, style), box_head=Head(width, convs, 4, style))
    after = Net(**parts, head=TwoOutputs(width, convs, 9, style))
    expect: dict[str, str | None] = {path: path for top in ("stem", "backbone") for path in _walk(before, top)}
    expect |= {"cls_head.out": "head.cls", "box_head.out": "head.box"}
    roles = {"cls_head.out": "cls", "box_head.out": "box", "head.cls": "cls", "head.box": "box"}

    def role(path: str) -> str:
        return next((name for top, name in roles.items() if path.startswith(f"{top}.")), "tower" if "tower" in path else _part(path))

    return Commit(before, after, expect, role)


def _part(path: str) -> str:
    """The part of the model; the tower and the output of a head are two."""
    names = path.split(".")
    return ".".join(names[:2]) if "head" in names[0] else names[0]


SHAPES = {make.__name__: make for make in (shorten_backbone, swap_neck, replace_backbone, merge_heads)}


def measure(model: nn.Module) -> Profile:
    return measure_live(model, (torch.zeros(1, 3, 32, 32),))


def judge(commit: Commit) -> Iterator[tuple[str, bool]]:
    """For each row with a known truth, and each mapped key, what it says and whether that is right."""
    before, after = measure(commit.before), measure(commit.after)
    matches = align(before, after)
    partners = {match.before_path: match.after_path for match in matches if match.before_path is not None}
    for path, expected in commit.expect.items():
        yield f"{path} → {partners[path]} (truth: {expected})", partners[path] == expected
    checkpoint = map_checkpoint(before, after, matches)
    for one, other in [*((key, key) for key in checkpoint.same), *checkpoint.renamed.items()]:
        if commit.role(one) != commit.role(other):
            yield f"key {one} → {other}", False


def judge_all(places: range, capsys: pytest.CaptureFixture[str]) -> None:
    found = [(f"{name} {place}: {text}", right) for name, make in SHAPES.items() for place in places for text, right in judge(make(place))]
    wrong = [text for text, right in found if not right]
    with capsys.disabled():
        sys.stdout.write(f"\n  rows of commits right: {len(found) - len(wrong)} of {len(found)}\n")
    assert not [text for text in wrong if ": key " in text]
    assert len(wrong) <= (1 - _LEAST_RIGHT) * len(found), "\n".join(wrong)


def test_the_rows_of_commits(capsys: pytest.CaptureFixture[str]) -> None:
    judge_all(range(3), capsys)


@pytest.mark.slow
def test_the_rows_of_sixty_commits(capsys: pytest.CaptureFixture[str]) -> None:
    judge_all(range(_VARIANTS), capsys)


def test_a_block_that_one_list_lost_is_not_the_one_that_another_list_got() -> None:
    """The encoder loses two of six equal layers, and the pooler gets a second one: nothing says that it is one of those."""

    def make(depth: int, pooled: int) -> nn.Module:
        return Net(stem=ConvNormAct(3, 16), encoder=stack(Basic, 16, depth), pooler=stack(Basic, 16, pooled), head=Head(16, 1, 2, "bn"))

    matches = {match.before_path: match.after_path for match in align(measure(make(6, 1)), measure(make(4, 2)))}
    assert [path for path in ("encoder.4", "encoder.5", "encoder.4.conv1", "encoder.5.conv2") if matches[path] is not None] == []
    assert matches["pooler.0.conv1"] == "pooler.0.conv1"


def test_a_head_rebuilt_in_place_is_a_section_of_its_own() -> None:
    """Blocks of one list are removed, and the part behind it is rebuilt under its name: two sections, not one."""

    def make(depth: int, style: str) -> Profile:
        return measure(Net(enc=nn.Sequential(ConvNormAct(3, 16), *stack(Inverted, 16, depth)), dec=Head(16, 2, 4, style).tower))

    before, after = make(6, "gn"), make(3, "separable")
    matches = align(before, after)
    found = {group.name: (group.before.params, group.after.params) for group in diff(before, after, matches).groups}
    sizes = [{module.path: module.total.params for module in side.modules} for side in (before, after)]
    assert found["dec"] == (sizes[0]["dec"], sizes[1]["dec"])
    assert found["enc.4-6 (removed)"] == (sum(sizes[0][f"enc.{place}"] for place in (4, 5, 6)), 0)
