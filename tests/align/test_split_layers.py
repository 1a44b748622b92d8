"""Which layers can replace which: each condition with a case that just misses it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archaudit.align import align
from archaudit.align.similarity import are_one_layer
from archaudit.align.splits import is_divided, is_factored, is_same_map, is_separated
from archaudit.index import Layer
from archaudit.measure.recipe import measure_live

K3, K1 = (3, 3), (1, 1)
DENSE = Layer(8, 16, K3, 1)
DEPTHWISE, POINTWISE = Layer(8, 8, K3, 8), Layer(8, 16, K1, 1)


@pytest.mark.parametrize(
    ("whole", "first", "second", "fits"),
    [
        (DENSE, DEPTHWISE, POINTWISE, True),
        (DENSE, Layer(8, 16, K3, 8), Layer(16, 5, K1, 1), True),  # two outputs a channel, and other sizes
        (DENSE, DEPTHWISE, Layer(9, 16, K1, 1), False),  # the second takes more than the first gives
        (DENSE, Layer(8, 8, K3, 4), POINTWISE, False),  # grouped, not depthwise
        (DENSE, DEPTHWISE, Layer(8, 16, K3, 1), False),  # the second is no 1x1
        (DENSE, DEPTHWISE, Layer(8, 16, K1, 2), False),  # the second is grouped
        (Layer(8, 16, K3, 2), DEPTHWISE, POINTWISE, False),  # what was grouped already
        (Layer(8, 16, K1, 1), DEPTHWISE, POINTWISE, False),  # what was 1x1 already
        (Layer(8, 16, (3,), 1), DEPTHWISE, POINTWISE, False),  # of another number of dimensions
        (DENSE, DEPTHWISE, Layer(8, 16, (1,), 1), False),
        (DENSE, Layer(8, 8, (3,), 8), POINTWISE, False),
    ],
)
def test_a_dense_convolution_is_separated_into_a_depthwise_and_a_pointwise_one(
    whole: Layer, first: Layer, second: Layer, fits: bool
) -> None:
    assert is_separated(whole, first, second) == fits


@pytest.mark.parametrize(
    ("whole", "parts", "fits"),
    [
        (Layer(100, 100, (), 1), [Layer(100, 4, (), 1), Layer(4, 100, (), 1)], True),
        (Layer(100, 100, (), 1), [Layer(100, 4, (), 1), Layer(4, 9, (), 1), Layer(9, 100, (), 1)], True),
        (Layer(8, 8, K3, 1), [Layer(8, 8, (3, 1), 1), Layer(8, 8, (1, 3), 1)], True),
        (Layer(100, 100, (), 1), [Layer(100, 49, (), 1), Layer(49, 100, (), 1)], True),  # 9,800 weights of 10,000
        (Layer(100, 100, (), 1), [Layer(100, 50, (), 1), Layer(50, 100, (), 1)], False),  # as many are no factors
        (Layer(100, 100, (), 1), [Layer(100, 4, (), 1), Layer(5, 100, (), 1)], False),  # not one after the other
        (Layer(100, 100, (), 1), [Layer(99, 4, (), 1), Layer(4, 100, (), 1)], False),  # other inputs
        (Layer(100, 100, (), 1), [Layer(100, 4, (), 1), Layer(4, 99, (), 1)], False),  # other outputs
        (Layer(100, 100, (), 1), [Layer(100, 4, (), 1), Layer(4, 100, K1, 1)], False),  # another number of dimensions
        (Layer(100, 100, (), 1), [Layer(100, 4, (), 1), Layer(4, 100, (), 2)], False),  # other groups
        (Layer(100, 100, (), 1), [Layer(100, 100, (), 1)], False),
        (Layer(8, 8, K3, 1), [Layer(8, 8, (1, 1), 1)], False),  # one smaller layer is no factorization
    ],
)
def test_a_layer_is_factored_into_smaller_ones_in_a_row(whole: Layer, parts: list[Layer], fits: bool) -> None:
    assert is_factored(whole, parts) == fits


@pytest.mark.parametrize(
    ("parts", "fits"),
    [
        ([Layer(8, 6, K3, 1), Layer(8, 10, K3, 1)], True),
        ([Layer(8, 6, K3, 1), Layer(8, 5, K3, 1), Layer(8, 5, K3, 1)], True),
        ([Layer(8, 6, K3, 1), Layer(8, 9, K3, 1)], False),  # 15 outputs of 16
        ([Layer(8, 6, K3, 1), Layer(7, 10, K3, 1)], False),  # other inputs
        ([Layer(8, 6, K3, 1), Layer(8, 10, K1, 1)], False),  # another kernel
        ([Layer(8, 6, K3, 1), Layer(8, 10, K3, 2)], False),  # other groups
        ([DENSE], False),
    ],
)
def test_a_layer_is_divided_by_its_outputs(parts: list[Layer], fits: bool) -> None:
    assert is_divided(DENSE, parts) == fits


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Layer(8, 16, (), 1), Layer(8, 16, K1, 1), True),
        (Layer(8, 16, (), 1), Layer(8, 17, K1, 1), False),
        (Layer(9, 16, (), 1), Layer(8, 16, K1, 1), False),
        (Layer(8, 16, (), 1), Layer(8, 16, K3, 1), False),
        (Layer(8, 16, K3, 1), Layer(8, 16, K3, 1), False),
        (Layer(8, 16, (), 1), Layer(8, 16, K1, 2), False),
        (Layer(8, 16, (), 1), None, False),
        (None, None, False),
    ],
)
def test_a_linear_layer_and_a_1x1_convolution_do_the_same_at_each_position(one: Layer | None, other: Layer | None, same: bool) -> None:
    assert is_same_map(one, other) == is_same_map(other, one) == same


def _make_tower(convs: int, separable: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(convs):
        if separable:
            layers += [
                nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8)),
                nn.Sequential(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8), nn.SiLU()),
            ]
        else:
            layers += [nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(8, 2, 1))


@pytest.mark.parametrize("convs", [1, 2, 3])
def test_a_separable_block_in_new_wrappers_is_a_split_and_wraps_nothing(convs: int) -> None:
    before, after = (measure_live(_make_tower(convs, separable), (torch.zeros(1, 8, 16, 16),)) for separable in (False, True))
    rows = {match.before_path: match for match in align(before, after) if match.before_path is not None}
    # the n-th convolution is 3n before; after, its depthwise part is 2n.0 and its pointwise one 2n+1.0, with the norm and the activation
    for place in range(convs):
        assert rows[f"{3 * place}"].after_path == f"{2 * place}.0"
        assert rows[f"{3 * place}"].changes == ("split",)
        assert rows[f"{3 * place + 1}"].after_path == f"{2 * place + 1}.1"
    assert [match.changes for match in align(before, after) if "wrapped" in match.changes] == []
    assert [match.changes for match in align(after, before) if "unwrapped" in match.changes] == []


def test_a_dense_convolution_is_no_depthwise_one_in_a_new_wrapper() -> None:
    """Without a pointwise convolution nothing has the place of the dense one."""
    wrapper = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.SiLU())
    before, after = (
        measure_live(nn.Sequential(first, nn.Conv2d(8, 2, 1)), (torch.zeros(1, 8, 16, 16),))
        for first in (nn.Conv2d(8, 8, 3, padding=1), wrapper)
    )
    rows = {match.before_path: match for match in align(before, after)}
    assert rows["0"].after_path is None
    assert [match.changes for match in rows.values() if "wrapped" in match.changes] == []


@pytest.mark.filterwarnings("ignore")
def test_a_convolution_prepared_for_quantization_with_its_norm_is_the_same_layer() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1)).train()
    image = (torch.zeros(1, 3, 8, 8),)
    before = measure_live(model, image)
    fused = torch.ao.quantization.fuse_modules_qat(model, [["0", "1", "2"]])
    fused.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    after = measure_live(torch.ao.quantization.prepare_qat(fused), image)
    rows = {match.before_path: match for match in align(before, after)}
    assert after.modules[1].type == "ConvBnReLU2d"
    assert (rows["0"].after_path, rows["3"].after_path) == ("0", "3")


def test_a_convolution_in_another_direction_is_another_layer_although_its_weight_has_the_same_shape() -> None:
    forward, transposed = (
        measure_live(nn.Sequential(layer), (torch.zeros(1, 8, 8, 8),)).modules[1]
        for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.ConvTranspose2d(8, 8, 3, padding=1))
    )
    assert [tensor.shape for tensor in forward.tensors] == [tensor.shape for tensor in transposed.tensors]
    assert not are_one_layer(forward, transposed)
