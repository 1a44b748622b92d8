"""Sizes are explained from their values at a few points; the expected expressions are worked out by hand."""

import random

import pytest

from archaudit.scaling.explaining import Explainer, fit_rounded
from archaudit.scaling.expressions import Expression

RANDOM = random.Random(1)
POINTS = [{"B": RANDOM.choice((1, 2, 3, 5)), "H": RANDOM.randint(100, 400), "W": RANDOM.randint(80, 1800)} for _ in range(12)]


def explain(function, *seen):
    """The expression for the values of a function, after the sizes that were seen before."""
    explainer = Explainer(POINTS)
    for each in seen:
        assert explainer.explain(tuple(each(**point) for point in POINTS)) is not None
    found = explainer.explain(tuple(function(**point) for point in POINTS))
    return None if found is None else found.format()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda B, H, W: 64, "64"),
        (lambda B, H, W: 2 * H - 2, "2*H - 2"),
        (lambda B, H, W: B * H * W, "B*H*W"),
        (lambda B, H, W: H * W + 1, "H*W + 1"),
        # three convolutions of stride 2 with padding: ceil(W/8)
        (lambda B, H, W: -(-W // 8), "((W + 7)//8)"),
        # an even image is padded to an odd one
        (lambda B, H, W: 2 * ((W + 1) // 2) + 1, "2*((W + 1)//2) + 1"),
        (lambda B, H, W: B * (-(-W // 8)), "B*((W + 7)//8)"),
    ],
)
def test_sizes_that_models_compute(function, expected):
    assert explain(function) == expected


def test_flattened_windows_are_a_product_of_rounded_sizes():
    explainer = Explainer(POINTS)
    rows = tuple(-(-point["H"] // 28) for point in POINTS)
    columns = tuple(-(-point["W"] // 28) for point in POINTS)
    assert explainer.explain(rows) is not None
    assert explainer.explain(columns) is not None
    found = explainer.explain(tuple(point["B"] * row * column for point, row, column in zip(POINTS, rows, columns, strict=True)))
    assert found is not None
    # each of 5 x 3 windows of an image of 140 x 84, twice
    assert found.evaluate({"B": 2, "H": 140, "W": 84}) == 2 * 5 * 3


def test_a_size_without_a_form_has_no_expression():
    assert explain(lambda B, H, W: (H * 7919) % 101) is None


# ceil(size/32) for sizes whose remainders leave room: (70 + c)//32 = 3 needs c >= 26, (210 + c)//32 = 7 needs c <= 45
DOUBTFUL = (70, 140, 210, 300)
ROUNDED = (3, 5, 7, 10)


def test_a_share_in_doubt_has_every_offset_that_fits():
    factor, added, fits = fit_rounded(DOUBTFUL, ROUNDED)
    assert (factor, added) == (1, 0)
    assert next((fit.numerator, fit.divisor, fit.low, fit.high) for fit in fits) == (1, 32, 26, 45)


def test_a_run_is_found_that_decides_a_doubt():
    explainer = Explainer([{"H": size} for size in DOUBTFUL])
    assert explainer.explain(ROUNDED) == Expression.atom("((H + 31)//32)")
    (doubt,) = explainer.doubts.values()
    # at 92 the middle offset 36 reaches the next multiple of 32, 128
    assert doubt.move(71, 1) == 92
    assert doubt.count_decided(92) > 0


def test_a_size_that_takes_two_values_is_no_share():
    assert fit_rounded((1, 2, 3, 5, 7), (0, 1, 1, 1, 1)) is None
