"""Rules on buffers, gradients and constants: the fault, a near miss, a suppressed case."""

from __future__ import annotations

import pytest
import torch
from auditing import audit, find_paths, prove
from torch import nn

IMAGE = (2, 3, 8, 8)


class Buffered(nn.Module):
    def __init__(self, persistent: bool = True, read: str = "") -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.register_buffer("mask", torch.ones(4, 1, 1), persistent=persistent)
        self.read = read

    def forward(self, x):
        x = self.norm(self.conv(x))
        if self.read == "always" or (self.read == "training" and self.training):
            x = x * self.mask
        return x


class Gated(nn.Module):
    """The gate's weights choose by argmax, through which no gradient passes."""

    def __init__(self, passes: bool = False, frozen: bool = False) -> None:
        super().__init__()
        self.gate, self.table = nn.Linear(4, 6), nn.Embedding(6, 4)
        self.gate.requires_grad_(not frozen)
        self.passes = passes

    def forward(self, x):
        scores = self.gate(x)
        if self.passes:
            return scores.softmax(-1) @ self.table.weight
        return self.table(scores.argmax(-1)) + x


def stack(*layers):
    return lambda: nn.Sequential(*(make() for make in layers))


class Negative(nn.Module):
    def __init__(self, sign: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.sign = sign

    def forward(self, x):
        x = torch.relu(self.conv(x))
        return torch.relu(-x if self.sign < 0 else x)


FAULTS = {
    "AR104": [(Buffered, IMAGE, [""])],
    "AR105": [(Gated, (2, 4), ["gate"])],
    "AR106": [(stack(lambda: nn.Conv2d(3, 4, 1), lambda: nn.Dropout(0.0)), IMAGE, ["1"])],
    "AR107": [
        (stack(lambda: nn.Linear(4, 1), lambda: nn.Softmax(1)), (2, 4), ["1"]),
        (stack(lambda: nn.Linear(4, 1), lambda: nn.LayerNorm(1)), (2, 4), ["1"]),
        (stack(lambda: nn.AdaptiveAvgPool2d(1), lambda: nn.GroupNorm(3, 3)), IMAGE, ["1"]),
    ],
    "AR108": [(lambda: Negative(-1), IMAGE, [""]), (stack(lambda: nn.Conv2d(3, 4, 1), nn.LogSigmoid, nn.ReLU), IMAGE, ["2"])],
}
NEAR_MISSES = {
    "AR104": [
        (lambda: Buffered(persistent=False), IMAGE),
        (lambda: Buffered(read="always"), IMAGE),
        (lambda: Buffered(read="training"), IMAGE),
    ],
    "AR105": [(lambda: Gated(passes=True), (2, 4)), (lambda: Gated(frozen=True), (2, 4))],
    "AR106": [(stack(lambda: nn.Conv2d(3, 4, 1), lambda: nn.Dropout(0.1)), IMAGE)],
    "AR107": [
        (stack(lambda: nn.Linear(4, 1), lambda: nn.Softmax(0)), (2, 4)),
        (stack(lambda: nn.AdaptiveAvgPool2d(1), lambda: nn.GroupNorm(1, 3)), IMAGE),
    ],
    "AR108": [(lambda: Negative(1), IMAGE), (stack(lambda: nn.Conv2d(3, 4, 1), nn.Sigmoid, nn.ReLU), IMAGE)],
}


@pytest.mark.parametrize(("code", "build", "shape", "paths"), [(code, *case) for code, group in FAULTS.items() for case in group])
def test_the_fault_is_found(code, build, shape, paths):
    assert find_paths(build, code, shape) == paths


@pytest.mark.parametrize(("code", "build", "shape"), [(code, *case) for code, group in NEAR_MISSES.items() for case in group])
def test_a_near_miss_is_not_found(code, build, shape):
    assert find_paths(build, code, shape) == []


@pytest.mark.parametrize("code", FAULTS)
def test_a_suppressed_finding_is_listed(code):
    build, shape, _ = FAULTS[code][0]
    found = audit(build, shape, codes=[code], suppressed={code: "by design"})
    assert (len(found.findings), len(found.suppressed)) == (0, 1)


@pytest.mark.parametrize("code", ["AR104", "AR106"])
def test_the_fix_is_proven(code):
    build, shape, _ = FAULTS[code][0]
    assert [each.outcome for each in prove(build, code, shape)] == ["proven"]
