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
