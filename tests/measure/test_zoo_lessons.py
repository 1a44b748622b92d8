"""What measuring the libraries' models taught: defaults that fit together, and ways to be fast that change no number."""

from __future__ import annotations

import gc
from typing import Any
from unittest import mock

import pytest
import torch
from modeling import measure
from torch import nn
from torch.nn import functional
from torchvision import models

from archaudit.errors import MeasureError
from archaudit.load import load_recipe, parse_reference
from archaudit.measure.process_state import paused_gc
from archaudit.measure.recipe import measure_recipe
from archaudit.measure.tape.shape_cache import ShapeCache
from archaudit.measure.tensors import iterate_tensors_in, list_tensors_in
from archaudit.schema import InputSpec


def test_a_transformer_whose_best_weights_are_for_larger_images_is_run_on_those_that_it_is_built_for() -> None:
    recipe = load_recipe(parse_reference("torchvision:vit_h_14"))
    assert recipe.inputs == (InputSpec(shape=(1, 3, 224, 224)),)
    assert measure_recipe(recipe, witnesses=False).totals.params == 632_045_800


def test_the_size_that_a_builder_is_told_is_the_size_of_the_input() -> None:
    assert load_recipe(parse_reference("torchvision:maxvit_t(input_size=(448, 448))")).inputs[0].shape == (1, 3, 448, 448)


@pytest.mark.parametrize("name", ["googlenet", "quantized_inception_v3"])
def test_builders_that_ask_how_to_initialise_are_told(name: str) -> None:
    recipe = load_recipe(parse_reference(f"torchvision:{name}"))
    with torch.device("meta"):
        recipe.build()  # a warning would be an error here


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
def test_remembered_answers_change_nothing_in_a_profile(build: Any, shape: tuple[int, ...]) -> None:
    def run_kernel(memory: ShapeCache, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return operator(*args, **kwargs)

    remembered = measure(build, lambda: torch.empty(shape))
    with mock.patch.object(ShapeCache, "run", run_kernel):
        computed = measure(build, lambda: torch.empty(shape))
    assert remembered == computed
    assert remembered.peaks.saved_bytes


def test_a_shape_that_does_not_fit_is_still_told() -> None:
    with pytest.raises(MeasureError, match=r"1 \(Linear\) raised"):
        measure(lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(3, 4)), lambda: torch.empty(1, 4))


def test_the_garbage_collector_rests_while_measuring_and_is_put_back() -> None:
    seen = []

    class Looking(nn.Module):
        def forward(self, tensor: torch.Tensor) -> torch.Tensor:
            seen.append(gc.isenabled())
            return tensor

    measure(Looking, torch.zeros(1))
    assert not any(seen)
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off_also_after_an_error() -> None:
    def fail() -> None:
        with paused_gc():
            raise ValueError("bad")

    gc.disable()
    try:
        with pytest.raises(ValueError, match="bad"):
            fail()
        assert not gc.isenabled()
    finally:
        gc.enable()
    with pytest.raises(ValueError, match="bad"):
        fail()
    assert gc.isenabled()


def test_tensors_are_found_in_order_and_once_for_each_place() -> None:
    first, second, third = torch.zeros(1), torch.zeros(2), nn.Parameter(torch.zeros(3))
    nested = ({"a": [first, None, 3, "text"]}, (second, first))
    assert [tensor.numel() for tensor in list_tensors_in(nested, {"mask": third})] == [1, 2, 1, 3]
    assert [tensor.numel() for tensor in iterate_tensors_in(nested)] == [1, 2, 1]
