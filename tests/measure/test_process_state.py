"""A measurement restores the process, pauses the garbage collector, and imports nothing heavy."""

from __future__ import annotations

import functools
import gc
import subprocess
import sys

import pytest
import torch
from modeling import measure
from torch import nn

from archaudit.measure.process_state import paused_gc, unchanged_globals
from archaudit.measure.recipe import measure_live


@pytest.mark.parametrize("before", [(False, False), (True, True), (True, False)])
def test_determinism_is_restored(before: tuple[bool, bool]) -> None:
    found = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    try:
        with unchanged_globals():
            torch.use_deterministic_algorithms(not before[0], warn_only=not before[1])
        assert (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()) == before
    finally:
        torch.use_deterministic_algorithms(found[0], warn_only=found[1])


def test_measuring_a_plain_model_imports_no_compiler() -> None:
    """torch._dynamo and torch._inductor take longer to import than torch itself."""
    script = (
        "import sys, torch; from archaudit.measure.recipe import measure_recipe\n"
        "from archaudit.schema import InputSpec, Recipe\n"
        "recipe = Recipe(name='n', reference='n', build=lambda: torch.nn.Conv2d(3, 4, 3), inputs=(InputSpec(shape=(1, 3, 8, 8)),))\n"
        "print(measure_recipe(recipe, other_counters=False).totals.params, sorted({'torch._dynamo', 'torch._inductor'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "112 []\n"


def test_gc_is_paused_during_a_measurement_and_restored() -> None:
    seen = []

    class ReadsGcState(nn.Module):
        def forward(self, tensor: torch.Tensor) -> torch.Tensor:
            seen.append(gc.isenabled())
            return tensor

    measure(ReadsGcState, torch.zeros(1))
    assert not any(seen)
    assert gc.isenabled()


def test_gc_is_restored_to_its_state_after_an_error() -> None:
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


@functools.lru_cache(maxsize=4)
def make_table(size: int) -> tuple[torch.Tensor, int]:
    return (torch.arange(size, dtype=torch.float32), size)


class ReadsTable(nn.Module):
    """Reads a value of its table, so that it only runs for real; the table is in a cache of the library."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.steps = int((make_table(4)[0] + torch.eye(4).sum()).sum().item())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * make_table(4)[0]


def test_a_real_run_does_not_get_a_cached_table_of_a_run_without_values() -> None:
    make_table.cache_clear()
    profile = measure(ReadsTable, torch.zeros(2, 4))
    assert profile.totals.macs == 2 * 4 * 4


class MakesTable(nn.Module):
    """Fills the cache of its library in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * make_table(x.shape[-1])[0].to(x.device)


def test_a_live_model_does_not_get_a_cached_table_of_its_measurement() -> None:
    make_table.cache_clear()
    model, x = MakesTable(), torch.ones(2, 4)
    with torch.device("meta"):
        make_table(4)
    measure_live(model, (x,))
    expected = model.layer(x) * torch.arange(4)
    assert torch.equal(model(x), expected)


def test_a_cache_of_real_tensors_is_kept() -> None:
    make_table.cache_clear()
    first = make_table(4)
    measure_live(MakesTable(), (torch.ones(2, 4),))
    assert make_table(4) is first
