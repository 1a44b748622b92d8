from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from archaudit.measure.formulas import format_work

rand = torch.rand

CASES = [
    # 3x3, stride 1, padding 1: 8x8 positions
    ("plain", lambda: F.conv2d(rand(2, 3, 8, 8), rand(4, 3, 3, 3), rand(4), padding=1), 2 * 64 * 4 * 3 * 9),
    # (9 - 3) / 2 + 1 = 4
    ("stride", lambda: F.conv2d(rand(1, 3, 9, 9), rand(4, 3, 3, 3), stride=2), 16 * 4 * 3 * 9),
    # the dilated kernel spans 5: 9 - 5 + 1 = 5
    ("dilation", lambda: F.conv2d(rand(1, 3, 9, 9), rand(4, 3, 3, 3), dilation=2), 25 * 4 * 3 * 9),
    ("groups", lambda: F.conv2d(rand(1, 6, 5, 5), rand(4, 3, 3, 3), groups=2), 9 * 4 * 3 * 9),
    ("depthwise", lambda: F.conv2d(rand(1, 6, 5, 5), rand(6, 1, 3, 3), groups=6), 9 * 6 * 1 * 9),
    ("rectangular", lambda: F.conv2d(rand(1, 2, 5, 9), rand(4, 2, 1, 7)), 5 * 3 * 4 * 2 * 7),
    ("same", lambda: F.conv2d(rand(1, 3, 8, 8), rand(4, 3, 3, 3), padding="same"), 64 * 4 * 3 * 9),
    ("unbatched", lambda: F.conv2d(rand(3, 8, 8), rand(4, 3, 3, 3)), 36 * 4 * 3 * 9),
    ("one_dimension", lambda: F.conv1d(rand(2, 3, 10), rand(5, 3, 4)), 2 * 7 * 5 * 3 * 4),
    ("one_dimension_unbatched", lambda: F.conv1d(rand(3, 10), rand(5, 3, 4)), 7 * 5 * 3 * 4),
    ("three_dimensions", lambda: F.conv3d(rand(1, 2, 4, 5, 6), rand(3, 2, 2, 2, 2)), 3 * 4 * 5 * 3 * 2 * 8),
    # transposed: each of the 4x4 input positions is multiplied with the whole kernel, for every stride
    ("transposed", lambda: F.conv_transpose2d(rand(2, 3, 4, 4), rand(3, 5, 2, 2), rand(5), stride=2), 2 * 16 * 3 * 5 * 4),
    (
        "transposed_padded",
        lambda: F.conv_transpose2d(rand(1, 3, 4, 4), rand(3, 5, 3, 3), stride=3, padding=1, output_padding=1),
        16 * 3 * 45,
    ),
    ("transposed_groups", lambda: F.conv_transpose2d(rand(1, 6, 4, 4), rand(6, 2, 3, 3), stride=2, groups=3), 16 * 6 * 2 * 9),
    ("transposed_unbatched", lambda: F.conv_transpose2d(rand(3, 4, 4), rand(3, 5, 2, 2)), 16 * 3 * 5 * 4),
    ("transposed_one_dimension", lambda: F.conv_transpose1d(rand(2, 3, 7), rand(3, 5, 4), stride=2), 2 * 7 * 3 * 5 * 4),
    ("transposed_three_dimensions", lambda: F.conv_transpose3d(rand(1, 2, 3, 3, 3), rand(2, 4, 2, 2, 2)), 27 * 2 * 4 * 8),
]


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(("run", "expected"), [pytest.param(run, macs, id=name) for name, run, macs in CASES])
def test_convolutions_equal_hand_counts(count, device, run, expected):
    assert count(run, device).macs == expected


@pytest.mark.parametrize(("run", "expected"), [pytest.param(run, macs, id=name) for name, run, macs in CASES])
def test_composites_that_are_not_decomposed_cost_the_same(count, run, expected):
    assert count(run, inference=True).macs == expected


def test_factors_are_grouped(count):
    work = count(lambda: F.conv2d(rand(1, 576, 32, 32), rand(256, 576, 3, 3), padding=1)).of("aten::convolution")
    assert format_work(work) == "1*32*32 * 256 * 576*3*3 = 1,358,954,496"
    assert work.terms == ((1, 32, 32, 256, 576, 3, 3),)


def test_empty_batch_costs_nothing(count):
    assert count(lambda: F.conv2d(rand(0, 3, 8, 8), rand(4, 3, 3, 3))).macs == 0


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_deformable_convolution_costs_the_same_as_a_plain_one(count, device):
    ops = pytest.importorskip("torchvision.ops")
    offsets = lambda: ops.deform_conv2d(rand(2, 4, 7, 7), rand(2, 18, 5, 5), rand(6, 2, 3, 3))  # noqa: E731
    assert count(offsets, device).macs == 2 * 25 * 6 * 2 * 9


def test_reordered_weights_cost_the_same(count):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no mkldnn")

    def run():
        return torch.mkldnn_convolution(rand(1, 6, 5, 5), rand(4, 3, 3, 3), None, [0, 0], [1, 1], [1, 1], 2)

    assert count(run, "cpu").macs == 9 * 4 * 3 * 9


def test_time_first_convolution(count):
    """Only on CPU: torch has no meta kernel for it."""
    assert count(lambda: torch.conv_tbc(rand(9, 2, 3), rand(4, 3, 5), rand(5)), "cpu").macs == 6 * 2 * 5 * 3 * 4
