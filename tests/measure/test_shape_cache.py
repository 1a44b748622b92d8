"""A cached result equals the result that torch computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from modeling import measure
from torch import nn
from torch.nn import functional
from torchvision import models

from archaudit.errors import MeasureError
from archaudit.measure.tape.shape_cache import CachedShapesMode, ShapeCache, _describe, _is_fresh, _read_kind


def describe(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.shape, value.stride(), value.dtype, value.device
    return [describe(item) for item in value] if isinstance(value, tuple | list) else value


OPERATORS: list[Callable[[torch.Tensor], Any]] = [
    torch.relu,
    lambda tensor: tensor.relu_(),
    functional.hardswish,
    lambda tensor: tensor + 1,
    lambda tensor: tensor.to(torch.int64) + 1.5,
    lambda tensor: tensor.permute(0, 2, 3, 1).contiguous().clone(),
    lambda tensor: tensor.permute(0, 2, 3, 1) * 2,
    lambda tensor: functional.max_pool2d(tensor, 2, return_indices=True),
    lambda tensor: functional.conv2d(tensor, tensor.new_empty(5, 3, 3, 3), padding=1),
    lambda tensor: functional.batch_norm(tensor, tensor.new_empty(3), tensor.new_empty(3)),
    lambda tensor: tensor.split(2, dim=2),
    lambda tensor: tensor.sort(),
    lambda tensor: tensor.transpose_(1, 2),
    lambda tensor: tensor.unsqueeze_(0),
    lambda tensor: torch.complex(tensor, tensor).conj() * 2,
    lambda tensor: torch.zeros(3) + tensor.shape[0],
    lambda tensor: (tensor > 0, tensor == tensor, tensor.bool().any()),
]


@pytest.mark.parametrize("number", range(len(OPERATORS)))
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 3, 6, 4)])
def test_cached_results_equal_computed_ones(number: int, shape: tuple[int, ...]) -> None:
    operator = OPERATORS[number]
    with torch.no_grad():
        expected = describe(operator(torch.empty(shape, device="meta")))
        with CachedShapesMode(ShapeCache()):
            answers = [describe(operator(torch.empty(shape, device="meta"))) for _ in range(3)]
    assert answers == [expected] * 3


def test_calls_with_other_shapes_or_scalar_types_are_not_confused() -> None:
    with torch.no_grad(), CachedShapesMode(ShapeCache()):
        assert [(torch.empty(size, device="meta", dtype=torch.int64) + 1).shape for size in (2, 3)] == [(2,), (3,)]
        numbers = (1, 1.0, True)
        sums = [torch.empty(2, device="meta", dtype=torch.uint8) + number for number in numbers]
    assert [total.dtype for total in sums] == [torch.uint8, torch.float32, torch.uint8]


def test_in_place_operators_return_their_argument() -> None:
    tensor = torch.empty(2, device="meta")
    with torch.no_grad(), CachedShapesMode(ShapeCache()):
        assert all(tensor.add_(1) is tensor for _ in range(3))


def test_real_tensors_are_computed() -> None:
    with torch.no_grad(), CachedShapesMode(ShapeCache()):
        assert [(torch.ones(1) * number + torch.ones(1)).item() for number in (1, 2)] == [2.0, 3.0]


@pytest.mark.parametrize("operator", [lambda tensor: tensor / 2, torch.exp, lambda tensor: tensor.mean(dtype=torch.get_default_dtype())])
def test_cached_dtypes_follow_the_default_dtype(operator: Callable[[torch.Tensor], torch.Tensor]) -> None:
    cache, seen = ShapeCache(), []
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.float32, torch.float64, torch.float32):
            torch.set_default_dtype(dtype)
            with torch.no_grad(), CachedShapesMode(cache):
                seen.append(operator(torch.empty(3, device="meta", dtype=torch.int64)).dtype)
    finally:
        torch.set_default_dtype(before)
    assert seen == [torch.float32, torch.float64, torch.float32]


class Mixed(nn.Module):
    """In-place and strided operators, shapes that repeat and shapes that do not, and buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Hardswish(inplace=True)) for _ in "abc")
        )
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.shared = self.layers[0][0]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        image = self.layers(image)
        image = self.shared(image.transpose(2, 3)).contiguous()
        image += functional.interpolate(image[:, :, ::2], size=image.shape[-2:])
        tokens = image.flatten(2).transpose(1, 2)
        attended, _ = self.attention(tokens, tokens, tokens)
        return torch.cat([attended, tokens.softmax(-1)], 1).mean((0, 1))


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (Mixed, (2, 4, 6, 10)),
        (models.mobilenet_v3_small, (1, 3, 64, 64)),
        (lambda: nn.Sequential(nn.Linear(3, 3), nn.GRU(3, 5)), (7, 1, 3)),
    ],
)
def test_the_shape_cache_changes_nothing_in_a_profile(build: Any, shape: tuple[int, ...]) -> None:
    def run_kernel(cache: ShapeCache, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return operator(*args, **kwargs)

    cached = measure(build, lambda: torch.empty(shape))
    with mock.patch.object(ShapeCache, "run", run_kernel):
        computed = measure(build, lambda: torch.empty(shape))
    assert cached == computed
    assert cached.peaks.saved_bytes


def test_a_shape_mismatch_still_raises_with_the_cache() -> None:
    with pytest.raises(MeasureError, match=r"1 \(Linear\) raised"):
        measure(lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(3, 4)), lambda: torch.empty(1, 4))


def test_results_that_share_their_storage_are_not_fresh() -> None:
    tensor, other = torch.empty(4, device="meta"), torch.empty(4, device="meta")
    described = _describe((tensor, other))
    assert _is_fresh((tensor, other), (), described)
    assert not _is_fresh((tensor, tensor), (), described)


def test_the_schema_says_whether_an_operator_makes_a_tensor_or_writes_its_first_argument() -> None:
    aten = torch.ops.aten
    kinds = {
        "new": [aten.add.Tensor, aten.split_with_sizes_copy.default, aten.topk.default],
        "in place": [aten.add_.Tensor, aten.relu_.default, aten.index_put_.default],
        "other": [aten.view.default, aten.add.out, aten.sort.values_stable, aten.size.int, aten.split.Tensor, aten._assert_async.default],
    }
    assert {kind: [operator for operator in operators if _read_kind(operator) != kind] for kind, operators in kinds.items()} == {
        kind: [] for kind in kinds
    }
