"""Rules on layers that another one cancels, repeats or could hold: the fault, a near miss, a suppressed case, and the proof of the fix."""

from __future__ import annotations

import pytest
import torch
from auditing import audit, find_paths, prove
from torch import nn

IMAGE = (2, 3, 8, 8)


def stack(*layers):
    """A builder of a sequence of layers, each made anew."""
    return lambda: nn.Sequential(*(make() for make in layers))


def conv(inputs=3, outputs=8, size=3, **options):
    return lambda: nn.Conv2d(inputs, outputs, size, **options)


CASES = {
    # by rule: models with the fault, their inputs, and the modules at fault
    "AR201": [
        (stack(conv(), lambda: nn.BatchNorm2d(8)), IMAGE, ["0"]),
        (stack(conv(), lambda: nn.BatchNorm2d(8, affine=False)), IMAGE, ["0"]),
        (stack(conv(), lambda: nn.InstanceNorm2d(8)), IMAGE, ["0"]),
        (stack(conv(), lambda: nn.GroupNorm(8, 8)), IMAGE, ["0"]),
        (stack(lambda: nn.Linear(4, 6), lambda: nn.BatchNorm1d(6)), (5, 4), ["0"]),
        (stack(lambda: nn.ConvTranspose2d(3, 8, 2, stride=2), lambda: nn.BatchNorm2d(8)), IMAGE, ["0"]),
        (stack(lambda: nn.Conv1d(3, 8, 3), lambda: nn.BatchNorm1d(8)), (2, 3, 9), ["0"]),
        (stack(conv(groups=3, outputs=6), lambda: nn.BatchNorm2d(6)), IMAGE, ["0"]),
    ],
    "AR202": [
        (stack(lambda: nn.Linear(16, 16), lambda: nn.Linear(16, 4)), (2, 16), ["1"]),
        (stack(lambda: nn.Linear(16, 16, bias=False), lambda: nn.Linear(16, 4)), (2, 5, 16), ["1"]),
        (stack(conv(padding=1), conv(8, 4, 1)), IMAGE, ["1"]),
        (stack(conv(3, 8, 1, bias=False), conv(8, 4, 3, padding=1)), IMAGE, ["1"]),
        (stack(conv(3, 8, 1), conv(8, 4, 3)), IMAGE, ["1"]),
        (stack(conv(3, 8, 1), conv(8, 4, 1)), IMAGE, ["1"]),
        (stack(conv(3, 8, 3, stride=2, padding=1, padding_mode="reflect"), conv(8, 4, 1)), IMAGE, ["1"]),
    ],
    "AR204": [
        (stack(lambda: nn.BatchNorm2d(3), lambda: nn.BatchNorm2d(3)), IMAGE, ["0"]),
        (stack(lambda: nn.BatchNorm2d(3, affine=False), lambda: nn.BatchNorm2d(3, eps=0.1)), IMAGE, ["0"]),
        (stack(lambda: nn.BatchNorm2d(3), lambda: nn.BatchNorm2d(3, affine=False)), IMAGE, ["0"]),
    ],
    "AR206": [
        (stack(conv(3, 8), conv(8, 8, 1, groups=8), conv(8, 4, 1)), IMAGE, ["1"]),
        (stack(conv(3, 8), conv(8, 8, 1, groups=8, bias=False), conv(8, 4, 3, padding=1)), IMAGE, ["1"]),
        (stack(conv(3, 8), conv(8, 8, 1, groups=8), conv(8, 8, 3, groups=4)), IMAGE, ["1"]),
        (stack(conv(3, 8), conv(8, 8, 1, groups=8), nn.ReLU), IMAGE, ["1"]),
    ],
    "AR207": [
        (stack(lambda: nn.LayerNorm(16), lambda: nn.Linear(16, 4)), (2, 5, 16), ["0"]),
        (stack(lambda: nn.LayerNorm(16, bias=False), lambda: nn.Linear(16, 4, bias=False)), (2, 16), ["0"]),
        (stack(lambda: nn.RMSNorm(16), lambda: nn.Linear(16, 4)), (2, 16), ["0"]),
    ],
}
NEAR_MISSES = {
    "AR201": [
        (stack(conv(bias=False), lambda: nn.BatchNorm2d(8)), IMAGE),
        (stack(conv(), nn.ReLU, lambda: nn.BatchNorm2d(8)), IMAGE),
        (stack(conv(), lambda: nn.GroupNorm(2, 8)), IMAGE),  # the mean is over four channels
        (stack(lambda: nn.Linear(4, 5), lambda: nn.BatchNorm1d(5)), (2, 5, 4)),  # its channels are the dimension before
        (stack(lambda: nn.Linear(4, 6), lambda: nn.LayerNorm(6)), (5, 4)),  # only the mean of the bias is subtracted
        (stack(conv(), lambda: nn.LayerNorm([8, 6, 6])), IMAGE),
    ],
    "AR202": [
        (stack(lambda: nn.Linear(16, 16), nn.ReLU, lambda: nn.Linear(16, 4)), (2, 16)),
        (stack(lambda: nn.Linear(16, 2), lambda: nn.Linear(2, 16)), (2, 16)),  # a low rank, cheaper than one layer
        (stack(conv(padding=1), conv(8, 8, 3)), IMAGE),  # two kernels: one of 5x5 is dearer
        (stack(conv(3, 8, 1), conv(8, 4, 3, padding=1)), IMAGE),  # the zeros of the padding do not get the bias
        (stack(conv(3, 6, 3, groups=3), conv(6, 3, 1)), IMAGE),  # depthwise and pointwise
        (stack(lambda: nn.Linear(16, 16), nn.Dropout, lambda: nn.Linear(16, 4)), (2, 16)),
        (stack(conv(3, 8, 3), conv(8, 4, 1, stride=2)), IMAGE),
    ],
    "AR204": [
        (stack(lambda: nn.BatchNorm2d(3), nn.ReLU, lambda: nn.BatchNorm2d(3)), IMAGE),
        (stack(lambda: nn.BatchNorm2d(3), lambda: nn.InstanceNorm2d(3)), IMAGE),
        (stack(lambda: nn.LayerNorm(8), lambda: nn.LayerNorm(8)), IMAGE),  # the first has a scale for each element
    ],
    "AR206": [
        (stack(conv(3, 8), conv(8, 8, 3, groups=8), conv(8, 4, 1)), IMAGE),
        (stack(conv(8, 8, 1, groups=8), nn.ReLU), (2, 8, 4, 4)),  # no layer before it, an activation behind
        (stack(nn.ReLU, conv(8, 8, 1, groups=8), conv(8, 4, 3, padding=1)), (2, 8, 4, 4)),  # its shift is lost at the border
    ],
    "AR207": [
        (stack(lambda: nn.LayerNorm(16), nn.ReLU, lambda: nn.Linear(16, 4)), (2, 16)),
        (stack(lambda: nn.LayerNorm(16), lambda: nn.Linear(16, 4, bias=False)), (2, 16)),  # nothing holds the shift
    ],
}


def list_cases(cases):
    return [pytest.param(code, *case, id=f"{code}-{place}") for code, group in cases.items() for place, case in enumerate(group)]


@pytest.mark.parametrize(("code", "build", "shape", "paths"), list_cases(CASES))
def test_the_fault_is_found_and_its_fix_is_proven(code, build, shape, paths):
    assert find_paths(build, code, shape) == paths
    (proof,) = prove(build, code, shape)
    assert proof.outcome == "proven", proof.reason


@pytest.mark.parametrize(("code", "build", "shape"), list_cases(NEAR_MISSES))
def test_a_near_miss_is_not_found(code, build, shape):
    assert find_paths(build, code, shape) == []


@pytest.mark.parametrize(("code", "build", "shape", "paths"), list_cases({code: cases[:1] for code, cases in CASES.items()}))
def test_a_suppressed_finding_is_listed_with_its_reason(code, build, shape, paths):
    found = audit(build, shape, codes=[code], suppressed={f"{code}:{paths[0]}": "as published"})
    assert [each.suppressed for each in found.suppressed] == ["as published"]
    assert not found.findings


class TwoReaders(nn.Module):
    """The convolution's output goes to the norm, and on beside it: the bias is not lost."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        x = self.first(x)
        return self.second(x) + x


@pytest.mark.parametrize(
    ("code", "first", "second"),
    [
        ("AR201", lambda: nn.Conv2d(3, 3, 1), lambda: nn.BatchNorm2d(3)),
        ("AR202", lambda: nn.Conv2d(3, 3, 1), lambda: nn.Conv2d(3, 3, 1)),
        ("AR204", lambda: nn.BatchNorm2d(3), lambda: nn.BatchNorm2d(3)),
        ("AR206", lambda: nn.Conv2d(3, 3, 1, groups=3), lambda: nn.Conv2d(3, 3, 1)),
    ],
)
def test_a_layer_whose_output_something_else_reads_is_not_redundant(code, first, second):
    assert find_paths(lambda: TwoReaders(first(), second()), code, IMAGE) == []


class SharedLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.conv(self.norm(self.conv(x)))


def test_a_bias_of_a_layer_that_runs_twice_is_not_redundant():
    assert find_paths(SharedLayer, "AR201", IMAGE) == []


class Written(nn.Module):
    """The convolution's output is changed in place before the norm reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.conv(x)
        x[:, :, 0] = 0
        return self.norm(x)


def test_a_bias_of_an_output_that_is_changed_in_place_is_not_redundant():
    assert find_paths(Written, "AR201", IMAGE) == []


class FunctionalNorm(nn.Module):
    """A norm of a library's own class, which calls the function, and an activation with it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(8))
        self.register_buffer("running_var", torch.ones(8))
        self.weight, self.bias = nn.Parameter(torch.ones(8)), nn.Parameter(torch.zeros(8))

    def forward(self, x):
        x = nn.functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training)
        return nn.functional.relu(x)


def test_a_bias_before_a_norm_of_another_library_is_found_and_proven():
    build = stack(conv(), FunctionalNorm)
    assert find_paths(build, "AR201", IMAGE) == ["0"]
    assert [each.outcome for each in prove(build, "AR201", IMAGE)] == ["proven"]


def test_the_price_of_a_merge_is_both_layers_less_the_merged_one():
    (found,) = audit(CASES["AR202"][0][0], (2, 16), codes=["AR202"]).findings
    # by hand: 16*16+16 and 16*4+4 become 16*4+4; 2 rows of 16*16 multiply-accumulates fewer
    assert (found.cost.params, found.cost.macs) == (16 * 16 + 16, 2 * 16 * 16)
