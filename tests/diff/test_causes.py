from fractions import Fraction

import pytest
from factories import make_module, make_tensor
from hypothesis import given
from hypothesis import strategies as st

from archaudit.diff import explain_change
from archaudit.diff.causes import _round_to
from archaudit.schema import Cause, ModuleRecord


def conv(inputs: int, outputs: int, kernel: int = 3, groups: int = 1, bias: bool = False) -> ModuleRecord:
    weight = (outputs, inputs // groups, kernel, kernel)
    tensors = [make_tensor("weight", weight), *([make_tensor("bias", (outputs,))] if bias else [])]
    count = outputs * (inputs // groups) * kernel * kernel + outputs * bias
    return make_module(count, "Conv2d", settings={"groups": groups}, tensors=tuple(tensors))


def linear(inputs: int, outputs: int) -> ModuleRecord:
    return make_module(inputs * outputs, "Linear", tensors=(make_tensor("weight", (outputs, inputs)),))


def explain(before: list[ModuleRecord], after: list[ModuleRecord]) -> dict[str, int]:
    return {cause.text: cause.delta for cause in explain_change(before, after)}


def test_one_factor_has_the_whole_change() -> None:
    assert explain([linear(4, 6)], [linear(4, 3)]) == {"outputs 6→3": -12}


def test_two_factors_share_the_change_by_the_average_of_both_orders() -> None:
    # 2x2 = 4 to 4x6 = 24. Inputs first: 4 then 16; outputs first: 8 then 12. Inputs (4 + 12) / 2 = 8, outputs (16 + 8) / 2 = 12.
    assert explain([linear(2, 2)], [linear(4, 6)]) == {"inputs 2→4": 8, "outputs 2→6": 12}


def test_a_dense_convolution_made_separable() -> None:
    causes = explain([conv(304, 256)], [conv(160, 160, groups=160), conv(160, 128, kernel=1)])
    assert list(causes) == ["3x3 dense → depthwise 3x3 + pointwise 1x1", "inputs 304→160", "outputs 256→128"]
    assert sum(causes.values()) == 21_920 - 700_416


def test_merging_mirrors_splitting() -> None:
    whole, parts = [conv(8, 4)], [conv(8, 8, groups=8), conv(8, 4, kernel=1)]
    assert explain(whole, parts) == {"3x3 dense → depthwise 3x3 + pointwise 1x1": 104 - 288}
    assert explain(parts, whole) == {"depthwise 3x3 + pointwise 1x1 → 3x3 dense": 288 - 104}


def test_kernel_groups_and_bias() -> None:
    assert explain([conv(4, 4)], [conv(4, 4, kernel=5)]) == {"kernel 3x3→5x5": 256}
    assert explain([conv(4, 4)], [conv(4, 4, groups=2)]) == {"3x3 dense → 3x3 in 2 groups": -72}
    assert explain([conv(4, 4)], [conv(4, 4, bias=True)]) == {"bias no→yes": 4}


def test_a_layer_of_vectors_has_features() -> None:
    norms = [
        make_module(2 * size, "BatchNorm2d", tensors=(make_tensor("weight", (size,)), make_tensor("bias", (size,)))) for size in (256, 128)
    ]
    assert explain(norms[:1], norms[1:]) == {"features 256→128": -256}


def test_what_is_no_product_has_one_cause() -> None:
    assert explain([linear(4, 6)], [conv(4, 6)]) == {"Linear → Conv2d": 192}
    odd = make_module(7, "Odd", tensors=(make_tensor("table", (7,)), make_tensor("other", (3, 2))))
    assert explain([odd], [make_module(9, "Odd", tensors=odd.tensors)]) == {"other shapes": 2}


@pytest.mark.parametrize(("before", "after"), [([], [linear(1, 1)]), ([linear(1, 1)], []), ([linear(2, 3)], [linear(2, 3)])])
def test_without_a_change_or_a_side_there_are_no_causes(before: list[ModuleRecord], after: list[ModuleRecord]) -> None:
    assert explain_change(before, after) == ()


_SIZES = st.sampled_from([1, 2, 3, 8, 12, 24])


@given(_SIZES, _SIZES, _SIZES, _SIZES, st.sampled_from([1, 3, 5]), st.sampled_from([1, 3, 5]), st.booleans())
def test_causes_sum_exactly_and_negate_when_swapped(
    inputs: int, outputs: int, others: int, ends: int, kernel: int, size: int, bias: bool
) -> None:
    before, after = [conv(inputs, outputs, kernel)], [conv(others, ends, size, bias=bias)]
    delta = after[0].own.params - before[0].own.params
    causes = explain_change(before, after)
    assert sum(cause.delta for cause in causes) == delta
    assert sum(cause.delta for cause in explain_change(after, before)) == -delta


@given(st.lists(st.fractions(max_denominator=12), min_size=1, max_size=5))
def test_rounding_keeps_the_sum_and_moves_no_share_by_more_than_one(shares: list[Fraction]) -> None:
    total = sum(shares)
    shares[0] += -total % 1
    whole = _round_to(shares, int(sum(shares)))
    assert sum(whole) == sum(shares)
    assert all(abs(rounded - share) < 1 for rounded, share in zip(whole, shares, strict=True))


def test_causes_are_records() -> None:
    assert explain_change([linear(1, 2)], [linear(1, 3)]) == (Cause(text="outputs 2→3", delta=1),)
