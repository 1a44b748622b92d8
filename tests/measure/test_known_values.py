"""Values that follow from constants and integer inputs are known on the meta device; what follows from weights is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from modeling import measure
from torch import nn

from archaudit.measure.tape.known_values import KnownValues, track_constants
from archaudit.measure.tape.shape_cache import CachedShapesMode, ShapeCache
from archaudit.schema import Profile


def read_build_mode(profile: Profile) -> str:
    assert profile.provenance is not None
    return profile.provenance.rung


@pytest.fixture
def cache() -> ShapeCache:
    return ShapeCache()


def run(cache: ShapeCache, function: Callable[[], torch.Tensor]) -> torch.Tensor | None:
    """The known value of the tensor that `function` makes on the meta device."""
    with torch.no_grad(), torch.device("meta"), track_constants(cache.known_values), CachedShapesMode(cache):
        made = function()
    assert made.is_meta
    return cache.known_values.find(made)


@pytest.mark.parametrize(
    "function",
    [
        lambda: torch.arange(6).view(2, 3).t() + 1,
        lambda: torch.tensor([[1, 2], [3, 4]]) > torch.tensor(2),
        lambda: torch.full((2, 2), -1.0).triu_(1),
        lambda: torch.ones(4, dtype=torch.bool).nonzero(),
        lambda: torch.tensor([3, 1, 3]).unique(),
        lambda: torch.repeat_interleave(torch.arange(3), torch.tensor([2, 0, 1])),
        lambda: torch.bincount(torch.tensor([0, 2, 2])),
        lambda: torch.arange(4)[torch.tensor([True, False, True, False])],
        lambda: torch.stack([torch.tensor(1), torch.arange(2).sum()]),
        lambda: torch.arange(2).new_tensor([5, 6]),
    ],
)
def test_values_made_from_constants_equal_those_of_the_cpu(cache: ShapeCache, function: Callable[[], torch.Tensor]) -> None:
    value = run(cache, function)
    assert value is not None
    assert torch.equal(value, function())


@pytest.mark.parametrize(
    "function",
    [
        lambda: torch.rand(3) + 1,
        lambda: torch.empty(3, dtype=torch.int64),
        lambda: nn.Parameter(torch.ones(3)) * 2,
        lambda: torch.zeros(3).uniform_(),
        lambda: torch.arange(2_000_000),  # known values are bounded
    ],
)
def test_random_uninitialised_and_large_tensors_and_parameters_have_no_known_value(
    cache: ShapeCache, function: Callable[[], torch.Tensor]
) -> None:
    assert run(cache, function) is None


def test_a_write_through_a_view_changes_the_value_of_its_base(cache: ShapeCache) -> None:
    def write() -> torch.Tensor:
        mask = torch.zeros(2, 3, dtype=torch.int64)
        mask[1] = 7
        return mask

    value = run(cache, write)
    assert value is not None
    assert value.tolist() == [[0, 0, 0], [7, 7, 7]]


def test_an_unknown_value_written_through_a_view_makes_its_base_unknown(cache: ShapeCache) -> None:
    def write() -> torch.Tensor:
        table = torch.zeros(2, 3)
        table[1] = torch.rand(3)
        return table

    assert run(cache, write) is None


class Multimodal(nn.Module):
    """What a vision-language model does: puts the features of patches at the positions of the image tokens, and loops over image grids."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(100, 8)
        self.patches = nn.Linear(4, 8)
        self.mix = nn.Linear(8, 8)

    def forward(self, ids: torch.Tensor, grid: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        x, features, mask = self.tokens(ids), self.patches(pixels), ids == 7
        if int(mask.sum()) != features.shape[0]:
            raise ValueError("the number of image tokens and of patches differ")
        x[mask] = features
        for frames, height, width in grid.tolist():
            x = x + self.mix(torch.zeros(frames * height * width, 8)).sum()
        return self.mix(x[mask])


def inputs(image_tokens: int) -> tuple[torch.Tensor, torch.Tensor, Callable[[], torch.Tensor]]:
    return torch.tensor([[1, *[7] * image_tokens, 2]]), torch.tensor([[1, 2, 3], [1, 1, 2]]), lambda: torch.rand(3, 4)


def test_a_model_that_reads_its_integer_inputs_is_measured_without_values() -> None:
    profile = measure(Multimodal, *inputs(3))
    assert read_build_mode(profile) == "meta"
    # 3 patches x 4 x 8, grids of 6 and of 2 rows x 8 x 8, 3 image tokens x 8 x 8
    assert profile.totals.macs == 3 * 4 * 8 + (6 + 2) * 64 + 3 * 64
    assert profile.flops_complete
    assert profile.peaks.saved_bytes is not None


def test_the_branch_that_the_inputs_choose_is_run() -> None:
    with pytest.raises(Exception, match="the number of image tokens and of patches differ"):
        measure(Multimodal, *inputs(2))


def test_a_run_does_not_change_the_users_tensors() -> None:
    class Writes(nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            ids.add_(1)
            return ids[ids > 1]

    ids = torch.tensor([0, 1, 2])
    assert read_build_mode(measure(Writes, ids)) == "meta"
    assert ids.tolist() == [0, 1, 2]


def test_values_are_dropped_with_their_tensors() -> None:
    values = KnownValues()
    tensor = torch.empty(2, device="meta")
    values.record(tensor, torch.ones(2))
    assert len(values._values) == 1
    del tensor
    assert len(values._values) == 0


@pytest.mark.parametrize(("options", "noted"), [(2, True), (1024, True), (1025, False), (1, False)])
def test_a_choice_of_at_most_1024_options_is_assumed_to_be_spread_evenly(cache: ShapeCache, options: int, noted: bool) -> None:
    run(cache, lambda: torch.empty(3, options).argmax(-1))
    assert [text.partition(" at ")[0] for text in cache.known_values.choices] == [f"the choice of 1 of {options}"] * noted
