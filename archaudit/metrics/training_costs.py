"""Metrics of a training step: FLOPs by phase, bytes of gradients and optimizer states, and the peak of memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import UNSET

from archaudit.errors import CannotJudge
from archaudit.metrics.selection import select_modules
from archaudit.schema import Profile, Training, TrainingCost

# Those that need a training step; it is measured where a check names one of them.
TRAINING_METRICS = (
    "forward_flops", "backward_flops", "recompute_flops", "optimizer_flops", "training_flops", "gradient_bytes", "optimizer_bytes",
    "peak_training_bytes",
)  # fmt: skip


def needs_training(metrics: Iterable[str]) -> bool:
    """Whether one of the metrics is of a training step."""
    return not set(TRAINING_METRICS).isdisjoint(metrics)


def measure(profile: Profile, patterns: Collection[str], name: str) -> int:
    """A metric of the modules that the patterns match; the peak is that of the whole model.

    Raises CannotJudge, with the reason, where it is not known.
    """
    training = read_training(profile)
    if name == "peak_training_bytes":
        if any(patterns):
            raise CannotJudge(f"{name} is not additive: it is known for the whole model only")
        return training.memory.peak.total
    modules = select_modules(profile, patterns)
    if not modules:
        raise CannotJudge(f"no module of {profile.name} matches {', '.join(map(repr, patterns))}")
    if name.endswith("_flops") and not training.flops_complete:
        unknown = next((operator for operator in training.operators if operator.status == "unknown"), None)
        which = f"{unknown.name} in the {unknown.phase} pass" if unknown is not None else "an operator"
        raise CannotJudge(f"the FLOPs of the training step are incomplete: {which} has no formula")
    return sum(int(getattr(training.modules.get(module.path, _NONE), name)) for module in modules)


_NONE = TrainingCost()


def read_training(profile: Profile) -> Training:
    """The training step of a profile. Raises CannotJudge if it was not measured."""
    if profile.training is UNSET:
        raise CannotJudge(f"a training step of {profile.name} was not measured: add --training")
    return profile.training


def describe(profile: Profile) -> tuple[str, ...]:
    """What the numbers depend on besides the architecture and the settings of the step."""
    return () if profile.training is UNSET else profile.training.assumptions
