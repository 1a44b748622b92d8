"""The named shapes equal the shapes that torch returns."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from archaudit.measure.tape.shape_cache import RULES, CachedShapesMode, ShapeCache, ShapeRules

SHAPES = [(2, 3, 8, 8), (1, 5, 6, 4), (4, 1, 1, 7), (1, 1, 1, 1)]
aten = torch.ops.aten
_REJECTIONS = (RuntimeError, NotImplementedError, ValueError)


def describe(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.stride(), value.dtype, value.device
    return [describe(item) for item in value] if isinstance(value, tuple | list) else value


def make_arguments(operator: Any, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Any, ...]:
    tensor = torch.empty(shape, dtype=dtype, device="meta")
    if operator is aten.native_batch_norm.default:
        weights = [torch.empty(shape[1], dtype=torch.float32, device="meta") for _ in range(4)]
        return (tensor, *weights, False, 0.1, 1e-5)
    if "upsample" in str(operator):
        return (tensor, [shape[2] * 2, shape[3] + 1], False)
    return (tensor,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
@pytest.mark.parametrize("operator", RULES, ids=str)
def test_results_equal_those_of_torch(operator: Any, dtype: torch.dtype) -> None:
    cache = ShapeCache()
    for shape in SHAPES:
        try:
            expected = describe(operator(*make_arguments(operator, shape, dtype)))
        except _REJECTIONS:  # the operator does not exist for integers, with a cache either
            with pytest.raises(_REJECTIONS), CachedShapesMode(cache):
                operator(*make_arguments(operator, shape, dtype))
            continue
        with CachedShapesMode(cache):
            assert describe(operator(*make_arguments(operator, shape, dtype))) == expected


@pytest.mark.parametrize("operator", RULES, ids=str)
def test_the_second_shape_needs_no_run_of_torch(operator: Any) -> None:
    rules, args = ShapeRules(), make_arguments(operator, SHAPES[0], torch.float32)
    result = operator(*args)
    rules.learn(operator, args, {}, result if isinstance(result, tuple) else (result,))
    others = make_arguments(operator, SHAPES[1], torch.float32)
    looked_up = rules.look_up(operator, others, {})
    again = operator(*others)
    expected = again if isinstance(again, tuple) else (again,)
    assert looked_up == [(tuple(tensor.shape), tensor.dtype) for tensor in expected]


def test_torch_runs_strided_tensors() -> None:
    cache = ShapeCache()
    with CachedShapesMode(cache):
        torch.empty(2, 3, 4, 4, device="meta").sigmoid()
        answer = torch.empty(2, 3, 4, 4, device="meta").to(memory_format=torch.channels_last).sigmoid()
    assert answer.is_contiguous(memory_format=torch.channels_last)


def test_torch_runs_calls_that_it_would_reject() -> None:
    rules, fitting = ShapeRules(), make_arguments(aten.native_batch_norm.default, SHAPES[0], torch.float32)
    rules.learn(aten.native_batch_norm.default, fitting, {}, aten.native_batch_norm.default(*fitting))
    assert rules.look_up(aten.native_batch_norm.default, fitting, {}) is not None
    mismatched = (fitting[0], *[torch.empty(5, device="meta")] * 4, *fitting[5:])
    assert rules.look_up(aten.native_batch_norm.default, mismatched, {}) is None


@pytest.mark.parametrize("place", [1, 2, 3, 4])
def test_a_batch_norm_with_one_tensor_of_another_size_is_run_by_torch(place: int) -> None:
    operator = aten.native_batch_norm.default
    rules, fitting = ShapeRules(), make_arguments(operator, SHAPES[0], torch.float32)
    rules.learn(operator, fitting, {}, operator(*fitting))
    mismatched = list(fitting)
    mismatched[place] = torch.empty(5, device="meta")
    assert rules.look_up(operator, tuple(mismatched), {}) is None
    mismatched[place] = None  # one that is missing fits
    assert rules.look_up(operator, tuple(mismatched), {}) is None  # but is a call of another kind
    two = torch.empty(4, 3, device="meta"), *fitting[1:]
    rules.learn(operator, two, {}, operator(*two))
    assert rules.look_up(operator, (torch.empty(6, 3, device="meta"), *fitting[1:]), {}) == [
        ((6, 3), torch.float32), *[(tuple(tensor.shape), tensor.dtype) for tensor in operator(*two)[1:]],
    ]  # fmt: skip


@pytest.mark.parametrize("size", [[4], [4, 4, 4], [0, 4], [4, -1]])
def test_a_resize_to_a_size_that_does_not_fit_is_run_by_torch(size: list[int]) -> None:
    operator = aten.upsample_nearest2d.default
    rules, fitting = ShapeRules(), make_arguments(operator, SHAPES[0], torch.float32)[:2]
    rules.learn(operator, fitting, {}, (operator(*fitting),))
    assert rules.look_up(operator, fitting, {}) is not None
    assert rules.look_up(operator, (fitting[0], size), {}) is None


def test_numbers_differ_by_sign_and_type_and_other_settings_by_value() -> None:
    operator = aten.leaky_relu.default
    rules, tensor = ShapeRules(), torch.empty(2, 3, device="meta")
    rules.learn(operator, (tensor, 0.1), {}, (operator(tensor, 0.1),))
    known = [rules.look_up(operator, (tensor, slope), {}) is not None for slope in (0.1, 0.7, -0.1, 1, True, None)]
    assert known == [True, True, False, False, False, False]
    rules.learn(aten.gelu.default, (tensor,), {"approximate": "none"}, (tensor.clone(),))
    assert rules.look_up(aten.gelu.default, (tensor,), {"approximate": "none"}) is not None
    assert rules.look_up(aten.gelu.default, (tensor,), {"approximate": "tanh"}) is None


def test_only_contiguous_tensors_with_elements_are_looked_up() -> None:
    operator = aten.relu.default
    rules, tensor = ShapeRules(), torch.empty(2, 3, device="meta")
    rules.learn(operator, (tensor,), {}, (tensor.clone(),))
    assert rules.look_up(operator, (torch.empty(5, 7, device="meta"),), {}) == [((5, 7), torch.float32)]
    assert rules.look_up(operator, (torch.empty(5, 7, device="meta").T,), {}) is None
    assert rules.look_up(operator, (torch.empty(0, 7, device="meta"),), {}) is None
    assert rules.look_up(operator, (torch.empty(5, device="meta"),), {}) is None  # of another number of dimensions
    assert rules.look_up(operator, (torch.empty(5, 7, device="meta", dtype=torch.float16),), {}) is None
    assert rules.look_up(aten.add.Tensor, (tensor, tensor), {}) is None  # no rule


def test_a_result_that_has_no_named_shape_is_never_looked_up() -> None:
    operator = aten.relu.default
    rules, tensor = ShapeRules(), torch.empty(2, 3, device="meta")
    rules.learn(operator, (tensor,), {}, (torch.empty(3, 2, device="meta"),))
    assert rules.look_up(operator, (tensor,), {}) is None
    rules.learn(operator, (tensor,), {}, (tensor.clone(),))
    assert rules.look_up(operator, (tensor,), {}) is None  # the first answer stays
    other = ShapeRules()
    other.learn(operator, (tensor,), {}, (torch.empty(3, 2, device="meta").T,))  # strided
    assert other.look_up(operator, (tensor,), {}) is None
