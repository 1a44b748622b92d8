"""Rules that advise, on shape, training and numerics: the fault, near misses, a suppressed case."""

from __future__ import annotations

import pytest
import torch
from auditing import audit, find_paths
from torch import nn

IMAGE = (2, 3, 8, 8)


def stack(*layers):
    return lambda: nn.Sequential(*(make() for make in layers))


class Function(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.function = function

    def forward(self, x):
        return self.function(self.layer(x))


FAULTS = {
    "AR401": [(stack(lambda: nn.Linear(64, 1001, dtype=torch.bfloat16)), (2, 64), ["0"])],
    "AR403": [
        (stack(lambda: nn.AdaptiveAvgPool2d(1), lambda: nn.Conv2d(3, 4, 3, padding=1)), IMAGE, ["1"]),
        (stack(lambda: nn.Conv2d(3, 4, 3, padding=12, dilation=12)), IMAGE, ["0"]),
    ],
    "AR404": [(stack(lambda: nn.Conv2d(3, 4, 2, stride=3)), IMAGE, ["0"])],
    "AR501": [
        (stack(lambda: nn.Dropout(0.5), lambda: nn.BatchNorm2d(3)), IMAGE, ["0"]),
        (stack(lambda: nn.Dropout(0.5), lambda: nn.Linear(4, 6), lambda: nn.BatchNorm1d(6)), (5, 4), ["0"]),
    ],
    "AR502": [(stack(lambda: nn.AdaptiveAvgPool2d(1), lambda: nn.BatchNorm2d(3)), IMAGE, ["1"])],
    "AR601": [(lambda: Function(lambda x: x.softmax(-1).log()), (2, 4), [""])],
    "AR602": [(stack(lambda: nn.LayerNorm(4, eps=1e-12, dtype=torch.float16)), (2, 4), ["0"])],
    "AR603": [(stack(lambda: nn.Linear(4, 5), lambda: nn.Softmax(dim=0)), (2, 4), ["1"])],
    "AR604": [(stack(lambda: nn.Linear(4, 5), nn.ReLU, lambda: nn.Softmax(dim=1)), (2, 4), ["1"])],
}
NEAR_MISSES = {
    "AR401": [
        (stack(lambda: nn.Linear(64, 1001)), (2, 64)),
        (stack(lambda: nn.Linear(64, 1024, dtype=torch.bfloat16)), (2, 64)),
        (stack(lambda: nn.Conv2d(3, 64, 3, dtype=torch.bfloat16)), IMAGE),
    ],
    "AR403": [
        (stack(lambda: nn.Conv2d(3, 4, 3, padding=1)), IMAGE),
        (stack(lambda: nn.Conv2d(3, 4, 3, padding=7, dilation=7)), IMAGE),  # its corners read the corners of the image
        (stack(lambda: nn.AdaptiveAvgPool2d(1), lambda: nn.Conv2d(3, 4, 1)), IMAGE),
    ],
    "AR404": [
        (stack(lambda: nn.Conv2d(3, 4, 2, stride=2)), IMAGE),
        (stack(lambda: nn.Conv2d(3, 4, 1, stride=2)), IMAGE),  # the shortcut of a residual block
        (stack(lambda: nn.Conv2d(3, 4, 2, stride=3, dilation=2)), IMAGE),
    ],
    "AR501": [
        (stack(lambda: nn.BatchNorm2d(3), lambda: nn.Dropout(0.5)), IMAGE),
        (stack(lambda: nn.Dropout(0.0), lambda: nn.BatchNorm2d(3)), IMAGE),
        (stack(lambda: nn.Dropout(0.5), lambda: nn.LayerNorm(8)), IMAGE),
    ],
    "AR502": [(stack(lambda: nn.AdaptiveAvgPool2d(2), lambda: nn.BatchNorm2d(3)), IMAGE), (stack(lambda: nn.BatchNorm1d(4)), (2, 4))],
    "AR601": [(lambda: Function(lambda x: x.log_softmax(-1)), (2, 4)), (lambda: Function(lambda x: x.exp().log()), (2, 4))],
    "AR602": [(stack(lambda: nn.LayerNorm(4, eps=1e-12)), (2, 4)), (stack(lambda: nn.LayerNorm(4, dtype=torch.float16)), (2, 4))],
    "AR603": [
        (stack(lambda: nn.Linear(4, 5), lambda: nn.Softmax(dim=-1)), (2, 4)),
        (stack(lambda: nn.Linear(4, 5), lambda: nn.Softmax(dim=0)), (4,)),  # no batch
    ],
    "AR604": [
        (stack(lambda: nn.Linear(4, 5), lambda: nn.Softmax(dim=1)), (2, 4)),
        (stack(lambda: nn.Linear(4, 5), nn.Tanh, lambda: nn.Softmax(dim=1)), (2, 4)),
    ],
}


def list_cases(cases):
    return [pytest.param(code, *case, id=f"{code}-{place}") for code, group in cases.items() for place, case in enumerate(group)]


def dtype_of(code):
    return {"AR401": "bfloat16", "AR602": "float16"}.get(code, "float32")


@pytest.mark.parametrize(("code", "build", "shape", "paths"), list_cases(FAULTS))
def test_the_fault_is_found(code, build, shape, paths):
    assert find_paths(build, code, shape, dtype=dtype_of(code)) == paths


@pytest.mark.parametrize(("code", "build", "shape"), list_cases(NEAR_MISSES))
def test_a_near_miss_is_not_found(code, build, shape):
    kinds = {tensor.dtype for tensor in build().parameters()}
    dtype = str(next(iter(kinds), torch.float32)).removeprefix("torch.")
    assert find_paths(build, code, shape, dtype=dtype) == []


@pytest.mark.parametrize(("code", "build", "shape", "paths"), list_cases({code: cases[:1] for code, cases in FAULTS.items()}))
def test_a_suppressed_finding_is_listed(code, build, shape, paths):
    found = audit(build, shape, codes=[code], suppressed={code: "by design"}, dtype=dtype_of(code))
    assert (len(found.findings), len(found.suppressed)) == (0, 1)


class Words(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(size, 8)

    def forward(self, ids):
        return self.embed(ids)


def test_a_large_vocabulary_of_an_odd_size_is_found():
    assert find_paths(lambda: Words(50257), "AR402", (2, 5), dtype="int64") == ["embed"]
    assert find_paths(lambda: Words(50304), "AR402", (2, 5), dtype="int64") == []
    assert find_paths(lambda: Words(77), "AR402", (2, 5), dtype="int64") == []
    found = audit(lambda: Words(50257), (2, 5), codes=["AR402"], dtype="int64", suppressed={"AR402": "the tokenizer's"})
    assert len(found.suppressed) == 1


def test_the_price_of_a_kernel_that_reads_padding_is_its_share():
    build, shape, _ = FAULTS["AR403"][0]
    (found,) = audit(build, shape, codes=["AR403"]).findings
    # by hand: on 1x1 only the centre of 3x3 reads the input; 8 of 9 of 4*3*9 weights, each used at one position of two images
    assert (found.cost.params, found.cost.macs) == (4 * 3 * 8, 2 * 4 * 3 * 8)
