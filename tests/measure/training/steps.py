"""Training steps of small models in tests: the recorded step, and its multiply-accumulates by phase and module."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import nn

from archaudit.measure.fallbacks import run_with_fallbacks
from archaudit.measure.training.step import StepRecord, run_step
from archaudit.schema import Recipe, TrainingSettings


def record_step(
    build: Callable[[], nn.Module], *args: Any, device: str = "cpu", kwargs: dict[str, Any] | None = None, **settings: Any
) -> StepRecord:
    """One training step of the model that `build` returns, run on `args` and `kwargs`."""
    recipe = Recipe(name="toy", reference="toy", build=build, example_inputs=lambda: (args, kwargs or {}), device=device)
    return run_step(run_with_fallbacks(recipe), TrainingSettings(**settings), device)


def count_macs(step: StepRecord) -> dict[str, int]:
    """The multiply-accumulates of each phase that has any."""
    sums: Counter[str] = Counter()
    for entry in step.flops.entries:
        assert entry.work.status == "counted", entry
        sums[entry.phase] += entry.work.macs
    return {phase: macs for phase, macs in sums.items() if macs}


def count_by_module(step: StepRecord, phase: str) -> dict[str, int]:
    """The multiply-accumulates of one phase by the path of the module."""
    return {step.tree.paths[position]: of_phase[phase] for position, of_phase in step.flops.sum_macs().items() if of_phase[phase]}
