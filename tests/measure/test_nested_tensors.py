"""Ragged batches: nested tensors as inputs, inside a model and as outputs. A linear layer costs what all its rows cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.recipe import measure_recipe
from archaudit.schema import InputSpec, Profile, Recipe

pytestmark = pytest.mark.filterwarnings("ignore")

# Two sequences of 3 and 5 rows.
ROWS = 3 + 5


def make_ragged(layout: torch.layout = torch.jagged) -> torch.Tensor:
    return torch.nested.nested_tensor([torch.zeros(3, 8), torch.zeros(5, 8)], layout=layout)


class Inside(nn.Module):
    """Makes a ragged batch of its two inputs."""

    def __init__(self, padded: bool = True) -> None:
        super().__init__()
        self.first, self.second, self.padded = nn.Linear(8, 12), nn.Linear(12, 4), padded

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        ragged = torch.nested.as_nested_tensor([a, b], layout=torch.jagged)
        result = self.second(torch.relu(self.first(ragged)))
        return result.to_padded_tensor(0.0) if self.padded else result


def profile(build: Callable[[], nn.Module], **options: Any) -> Profile:
    return measure_recipe(Recipe(name="net", reference="net", build=build, **options), other_counters=False)


def test_a_ragged_input_counts_its_rows() -> None:
    measured = profile(lambda: nn.Linear(8, 12), example_inputs=make_ragged)
    assert measured.totals.macs == ROWS * 8 * 12
    assert measured.flops_complete
    assert measured.inputs[0].shape == (2, 5, 8)


@pytest.mark.parametrize("padded", [True, False])
def test_a_ragged_batch_inside_a_model_and_as_its_output_counts_its_rows(padded: bool) -> None:
    inputs = (InputSpec(shape=(3, 8)), InputSpec(shape=(5, 8)))
    measured = profile(lambda: Inside(padded), inputs=inputs)
    assert measured.totals.macs == ROWS * (8 * 12 + 12 * 4)
    assert measured.modules[0].calls[0].outputs == ((2, 5, 4),)


def test_the_layout_that_torch_gives_no_sizes_of_is_named() -> None:
    with pytest.raises(MeasureError, match="nested tensor of the strided layout"):
        profile(lambda: nn.Linear(8, 12), example_inputs=lambda: make_ragged(torch.strided))
