"""A measurement restores the process, pauses the garbage collector, and imports nothing heavy."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest
import torch
from modeling import measure
from torch import nn

from archaudit.measure.process_state import paused_gc, unchanged_globals


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
