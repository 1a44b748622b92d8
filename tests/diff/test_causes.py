from fractions import Fraction
from math import prod

import msgspec
import pytest
from factories import make_cost, make_module, make_tensor
from hypothesis import given
from hypothesis import strategies as st

from archaudit.diff import explain_change, explain_flops
from archaudit.diff.causes import _round_to
from archaudit.schema import Call, Cause, ModuleRecord, Shape


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


def test_the_weight_of_transformers_conv1d_has_its_inputs_first() -> None:
    def conv1d(inputs: int, outputs: int) -> ModuleRecord:
        return make_module(inputs * outputs, "Conv1D", tensors=(make_tensor("weight", (inputs, outputs)),))

    assert explain([conv1d(16, 64)], [conv1d(16, 128)]) == {"outputs 64→128": 16 * 64}


def test_two_factors_share_the_change_by_the_average_of_both_orders() -> None:
    # 2x2 = 4 to 4x6 = 24. Inputs first: 4 then 16; outputs first: 8 then 12. Inputs (4 + 12) / 2 = 8, outputs (16 + 8) / 2 = 12.
    assert explain([linear(2, 2)], [linear(4, 6)]) == {"inputs 2→4": 8, "outputs 2→6": 12}


def test_a_dense_convolution_made_separable() -> None:
    causes = explain([conv(304, 256)], [conv(160, 160, groups=160), conv(160, 128, kernel=1)])
    assert list(causes) == ["3x3 dense → depthwise 3x3 + pointwise 1x1", "inputs 304→160", "outputs 256→128"]
    assert sum(causes.values()) == 21_920 - 700_416


def test_only_a_depthwise_and_a_pointwise_convolution_are_one_that_was_separated() -> None:
    dense, depthwise, pointwise = conv(8, 4), conv(8, 8, groups=8), conv(8, 4, kernel=1)
    assert explain([dense], [depthwise, pointwise]) == {"3x3 dense → depthwise 3x3 + pointwise 1x1": 104 - 288}
    three = "Conv2d → Conv2d + Conv2d + Conv2d"
    assert explain([dense], [depthwise, pointwise, pointwise]) == {three: 136 - 288}
    two = "Conv2d → Conv2d + Conv2d"
    assert explain([dense], [depthwise, conv(8, 4)]) == {two: 72}  # the second is no 1x1
    assert explain([dense], [depthwise, conv(4, 4, kernel=1)]) == {two: 88 - 288}  # it takes other channels than the first gives
    assert explain([dense], [conv(8, 8), pointwise]) == {two: 608 - 288}  # the first is dense
    assert explain([dense], [depthwise, conv(8, 4, kernel=1, groups=2)]) == {two: 88 - 288}  # the second is grouped
    assert explain([dense], [make_module(5, "Scale"), pointwise]) == {"Conv2d → Scale + Conv2d": 37 - 288}


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


# --- FLOPs


def run(record: ModuleRecord, output: Shape, times: int = 1, positions: int | None = None) -> ModuleRecord:
    """The layer as it was called: its MACs are its weights at each position of what it gives."""
    weights = sum(prod(tensor.shape) for tensor in record.tensors if tensor.name == "weight")
    sizes = output[-2:] if len(record.tensors[0].shape) == 4 else output[:-1]
    macs = weights * (prod(sizes) * times if positions is None else positions)
    calls = tuple(Call(order=order, inputs=(), outputs=(output,)) for order in range(times))
    return msgspec.structs.replace(record, own=make_cost(record.own.params, macs), calls=calls)


def flops(before: list[ModuleRecord], after: list[ModuleRecord]) -> dict[str, int]:
    return {cause.text: cause.delta for cause in explain_flops(before, after)}


def test_a_layer_at_fewer_positions_says_so() -> None:
    one = conv(4, 6)
    assert flops([run(one, (1, 6, 8, 8))], [run(one, (1, 6, 4, 4))]) == {"output 8x8→4x4": -2 * 216 * 48}
    words = linear(4, 6)
    assert flops([run(words, (1, 50, 6))], [run(words, (1, 197, 6))]) == {"positions 50→197": 2 * 24 * 147}


def test_a_transposed_convolution_works_at_the_positions_of_its_input() -> None:
    def deconv(size: int) -> ModuleRecord:
        # 4 inputs, 2 outputs, 3 x 3: 72 weights, used at each of size x size positions; what comes out is twice as large
        call = Call(order=1, inputs=((1, 4, size, size),), outputs=((1, 2, 2 * size, 2 * size),))
        tensors = (make_tensor("weight", (4, 2, 3, 3)),)
        settings = {"groups": 1, "transposed": True}
        return make_module(make_cost(72, 72 * size**2), "ConvTranspose2d", settings=settings, tensors=tensors, calls=(call,))

    (cause,) = explain_flops([deconv(8)], [deconv(4)])
    assert cause.text == "input 8x8→4x4"
    assert cause.delta == 2 * 72 * (16 - 64)


def test_groups_that_do_not_divide_a_size_that_is_not_changed_yet_are_fractions() -> None:
    def pointwise(channels: int, groups: int) -> ModuleRecord:
        shape = (channels, channels // groups, 1, 1)
        cost = make_cost(prod(shape), 64 * prod(shape))
        call = Call(order=1, inputs=((1, channels, 8, 8),), outputs=((1, channels, 8, 8),))
        return make_module(cost, "Conv2d", settings={"groups": groups}, tensors=(make_tensor("weight", shape),), calls=(call,))

    # 4x4 weights became 6x6 in 3 groups: 16 to 12. With groups first, 16/3: over all orders -152/9 for the groups and 58/9 for each size,
    # at 64 positions, twice: -2161.8, 824.9 and 824.9, which are rounded so that they sum to -512.
    causes = {cause.text: cause.delta for cause in explain_flops([pointwise(4, 1)], [pointwise(6, 3)])}
    assert causes == {"1x1 dense → 1x1 in 3 groups": -2162, "inputs 4→6": 825, "outputs 4→6": 825}


def test_calls_are_positions_too() -> None:
    one = conv(4, 6)
    assert flops([run(one, (1, 6, 8, 8))], [run(one, (1, 6, 8, 8), times=2)]) == {"positions 64→128": 2 * 216 * 64}


def test_weights_and_positions_share_the_change() -> None:
    # 16 weights at 4 positions = 64, 32 at 1 = 32. Weights first: 64, then -96; positions first: -48, then 16. 40 and -72, twice for FLOPs.
    found = flops([run(conv(4, 4, kernel=1), (1, 4, 2, 2))], [run(conv(4, 8, kernel=1), (1, 8, 1, 1))])
    assert found == {"outputs 4→8": 80, "output 2x2→1x1": -144}


def test_a_separable_convolution_at_another_size() -> None:
    after = [run(conv(160, 160, groups=160), (1, 160, 64, 64)), run(conv(160, 128, kernel=1), (1, 128, 64, 64))]
    found = flops([run(conv(304, 256), (1, 256, 128, 128))], after)
    assert list(found) == ["3x3 dense → depthwise 3x3 + pointwise 1x1", "inputs 304→160", "outputs 256→128", "output 128x128→64x64"]
    assert sum(found.values()) == 2 * (21_920 * 64 * 64 - 700_416 * 128 * 128)


def test_bias_costs_no_flops() -> None:
    assert flops([run(conv(4, 4), (1, 4, 2, 2))], [run(conv(4, 4, bias=True), (1, 4, 2, 2))]) == {}


def test_what_is_no_product_has_no_causes_of_flops() -> None:
    one, norm = run(conv(4, 4), (1, 4, 2, 2)), make_module(make_cost(8, 64), "Norm", tensors=(make_tensor("weight", (8,)),))
    assert flops([one], [norm]) == {}
    assert flops([norm], [make_module(make_cost(8, 99), "Norm", tensors=norm.tensors)]) == {}
    parts = [run(conv(4, 4, groups=4), (1, 4, 2, 2)), run(conv(4, 4, kernel=1), (1, 4, 1, 1))]
    assert flops([one], parts) == {}, "the two parts work at different positions"
    assert flops([linear(0, 4)], [one]) == {}
    assert flops([one], [msgspec.structs.replace(run(conv(4, 4), (1, 4, 3, 3)), flops_complete=False)]) == {}


@given(_SIZES, _SIZES, _SIZES, _SIZES, st.sampled_from([1, 3]), st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9))
def test_causes_of_flops_sum_exactly_and_negate_when_swapped(
    inputs: int, outputs: int, others: int, ends: int, kernel: int, size: int, high: int, wide: int
) -> None:
    before, after = [run(conv(inputs, outputs, kernel), (1, outputs, high, 4))], [run(conv(others, ends, size), (1, ends, 4, wide))]
    delta = after[0].own.flops - before[0].own.flops
    assert sum(cause.delta for cause in explain_flops(before, after)) == delta
    assert sum(cause.delta for cause in explain_flops(after, before)) == -delta
