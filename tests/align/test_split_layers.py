"""Which layers can replace which: each condition with a case that just misses it."""

from __future__ import annotations

import pytest

from archaudit.align.splits import is_divided, is_factored, is_same_map, is_separated
from archaudit.index import Layer

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
