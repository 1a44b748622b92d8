"""Rules on steps that do nothing or run twice: the fault, a near miss, a suppressed case, and the proof of the fix."""

from __future__ import annotations

import pytest
import torch
from auditing import audit, find_paths, prove
from torch import nn
from torch.nn import functional

IMAGE = (2, 3, 8, 8)


class Computed(nn.Module):
    """A convolution, and then a function of its output."""

    def __init__(self, function) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.function = function

    def forward(self, x):
        return self.function(self.conv(x))


def after(*layers):
    return lambda: nn.Sequential(nn.Conv2d(3, 4, 1), *(make() for make in layers))


IDLE = [
    after(nn.ReLU, nn.ReLU),
    after(nn.ReLU6, nn.ReLU),
    after(nn.Sigmoid, nn.ReLU6),
    after(nn.ReLU, lambda: nn.MaxPool2d(2), nn.ReLU),
    after(nn.ReLU, lambda: nn.AvgPool2d(2, padding=1), nn.ReLU),
    after(nn.ReLU, nn.Dropout, nn.ReLU),
    after(lambda: nn.Softmax(1), lambda: nn.LeakyReLU(0.2)),
    after(nn.ReLU, nn.PReLU),
    after(nn.Hardsigmoid, lambda: nn.Hardtanh(0, 1)),
    after(nn.Tanh, nn.Hardtanh),
    after(nn.ReLU, lambda: nn.Upsample(scale_factor=2), nn.ReLU),
    after(nn.Softplus, nn.ELU),
]
IDLE_FUNCTIONS = [
    lambda x: functional.relu(x).abs(),
    lambda x: torch.sigmoid(x).clamp(0, 1),
    lambda x: functional.relu(functional.relu(x) + torch.sigmoid(x)),
    lambda x: functional.relu(torch.cat([x.exp(), x.square()], 1)),
    lambda x: functional.relu((functional.relu(x) * torch.sigmoid(x)).mean((2, 3))),
    lambda x: torch.relu_(functional.relu(x).flatten(1)),
]
EFFECTIVE = [
    lambda x: functional.relu6(functional.relu(x)),  # values above six
    lambda x: functional.relu(torch.tanh(x)),
    lambda x: functional.relu(functional.relu(x) - torch.sigmoid(x)),
    lambda x: functional.relu(torch.cat([functional.relu(x), x], 1)),
    lambda x: functional.hardtanh(torch.sigmoid(x), 0.1, 1),
    lambda x: functional.leaky_relu(functional.silu(x)),
    lambda x: functional.relu(functional.interpolate(functional.relu(x), scale_factor=2, mode="bicubic")),  # overshoots
    lambda x: functional.selu(functional.relu(x)),  # scales
]


@pytest.mark.parametrize("build", IDLE, ids=range(len(IDLE)))
def test_a_layer_that_returns_its_values_is_found_and_proven(build):
    last = str(len(list(build().children())) - 1)
    assert find_paths(build, "AR203", IMAGE) == [last]
    assert [each.outcome for each in prove(build, "AR203", IMAGE)] == ["proven"]


@pytest.mark.parametrize("function", IDLE_FUNCTIONS, ids=range(len(IDLE_FUNCTIONS)))
def test_a_function_that_returns_its_values_is_found_and_proven(function):
    build = lambda: Computed(function)  # noqa: E731
    assert find_paths(build, "AR203", IMAGE) == [""]
    assert [each.outcome for each in prove(build, "AR203", IMAGE)] == ["proven"]


@pytest.mark.parametrize("function", EFFECTIVE, ids=range(len(EFFECTIVE)))
def test_an_activation_that_changes_values_is_not_found(function):
    assert find_paths(lambda: Computed(function), "AR203", IMAGE) == []


class SharedActivation(nn.Module):
    """One layer, which does nothing at its second call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.pool = nn.Conv2d(3, 3, 1), nn.ReLU(), nn.MaxPool2d(2)

    def forward(self, x):
        return self.conv(self.relu(self.pool(self.relu(self.conv(x)))))


def test_only_the_call_without_effect_of_a_shared_layer_is_removed():
    found = audit(SharedActivation, IMAGE, codes=["AR203"])
    assert [(each.path, each.key, each.edits[0].call) for each in found.findings] == [("relu", "relu 1", 1)]
    assert [each.outcome for each in prove(SharedActivation, "AR203", IMAGE)] == ["proven"]


def test_suppressed_steps():
    for code, build in (
        ("AR203", IDLE[0]),
        ("AR205", IDENTITIES[0]),
        ("AR208", lambda: Twice()),
        ("AR209", lambda: Computed(lambda x: x * 1.0)),
    ):
        found = audit(build, IMAGE, codes=[code], suppressed={code: "kept for the exported graph"})
        assert (len(found.findings), len(found.suppressed)) == (0, 1), code


def frozen_identity():
    layer = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight)
    layer.weight.requires_grad_(False)
    return layer


IDENTITIES = [
    after(lambda: nn.MaxPool2d(1, 1)),
    after(lambda: nn.AvgPool2d(1)),
    after(lambda: nn.Upsample(scale_factor=1)),
    after(lambda: nn.ZeroPad2d(0)),
    after(lambda: nn.PixelShuffle(1)),
]
NO_IDENTITIES = [
    after(lambda: nn.MaxPool2d(1, 2)),
    after(lambda: nn.AvgPool2d(1, divisor_override=2)),
    after(lambda: nn.Upsample(scale_factor=2)),
    after(lambda: nn.ZeroPad2d((0, 0, 1, 0))),
    after(lambda: nn.AdaptiveAvgPool2d(8)),  # it adapts other sizes of the input
]


@pytest.mark.parametrize("build", IDENTITIES, ids=range(len(IDENTITIES)))
def test_a_layer_that_returns_its_input_is_found_and_proven(build):
    assert find_paths(build, "AR205", IMAGE) == ["1"]
    assert [each.outcome for each in prove(build, "AR205", IMAGE)] == ["proven"]


@pytest.mark.parametrize("build", NO_IDENTITIES, ids=range(len(NO_IDENTITIES)))
def test_a_layer_that_changes_its_input_is_not_found(build):
    assert find_paths(build, "AR205", IMAGE) == []


def test_a_frozen_convolution_that_is_the_identity_is_found_and_a_trained_one_is_not():
    assert find_paths(lambda: nn.Sequential(nn.Conv2d(3, 4, 1), frozen_identity()), "AR205", IMAGE) == ["1"]
    assert find_paths(lambda: nn.Sequential(nn.Conv2d(3, 4, 1), frozen_identity().requires_grad_(True)), "AR205", IMAGE) == []


class Twice(nn.Module):
    def __init__(self, other: nn.Module | None = None, changed: bool = False) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.other, self.changed = other, changed

    def forward(self, x):
        x = self.conv(x)
        first = self.norm(x)
        second = (self.other or self.norm)(x + 1 if self.changed else x)
        return first + 2 * second


def test_a_layer_that_runs_twice_on_the_same_values_is_found_and_proven():
    found = audit(Twice, IMAGE, codes=["AR208"])
    assert [(each.path, each.key) for each in found.findings] == [("norm", "call 1")]
    assert [each.outcome for each in prove(Twice, "AR208", IMAGE)] == ["proven"]


class Branches(nn.Module):
    """Two branches with pools of their own, of which the second is equal to the first."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.one, self.two = nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(size, 1, size // 2)
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.conv(self.one(x)) + self.conv(self.two(x))


def test_equal_branches_are_found_with_all_that_they_run():
    found = audit(Branches, IMAGE, codes=["AR208"])
    assert sorted((each.path, each.key) for each in found.findings) == [("conv", "call 1"), ("two", "call 0")]
    assert [each.outcome for each in prove(Branches, "AR208", IMAGE)] == ["proven", "proven"]


@pytest.mark.parametrize(
    "build", [lambda: Twice(nn.BatchNorm2d(4)), lambda: Twice(changed=True), lambda: Branches(5), lambda: Twice(nn.Dropout(0.1))]
)
def test_other_weights_other_values_and_dropout_are_no_repetition(build):
    assert find_paths(build, "AR208", IMAGE) == []


@pytest.mark.parametrize("function", [lambda x: x * 1.0, lambda x: x + 0, lambda x: x / 1, lambda x: x - 0.0])
def test_an_operator_with_a_neutral_constant_is_found_and_proven(function):
    build = lambda: Computed(function)  # noqa: E731
    assert find_paths(build, "AR209", IMAGE) == [""]
    assert [each.outcome for each in prove(build, "AR209", IMAGE)] == ["proven"]


@pytest.mark.parametrize("function", [lambda x: x * 0.5, lambda x: x + 1, lambda x: 1 / x, lambda x: 0 - x])
def test_an_operator_with_another_constant_is_not_found(function):
    assert find_paths(lambda: Computed(function), "AR209", IMAGE) == []
