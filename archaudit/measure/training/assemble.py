"""From a recorded training step to the record in the profile."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

from archaudit.measure.formulas import RECOMPUTED
from archaudit.measure.model_run import Run
from archaudit.measure.training.batch_limit import find_batch_limit
from archaudit.measure.training.memory import replay, sum_saved
from archaudit.measure.training.step import StepRecord, run_step
from archaudit.schema import (
    OperatorStatus,
    Recipe,
    Training,
    TrainingCost,
    TrainingOperator,
    TrainingPhase,
    TrainingSettings,
)


def measure_training(recipe: Recipe, run: Run, settings: TrainingSettings) -> Training:
    """The cost of one training step of the model of `run`, which `recipe` describes.

    Raises MeasureError, with what to do, if no parameter requires grad, a loss cannot be formed, or the optimizer is unknown.
    """
    device = "cpu" if run.build_mode in ("fake", "real") else recipe.device
    step = run_step(run, settings, device)
    memory = replay(step.memory, step.tree.paths)
    limit = find_batch_limit(recipe, run, settings, device) if settings.memory_bytes is not None else None
    modules = _sum_costs(step)
    totals = TrainingCost()
    for cost in modules.values():
        totals += cost
    assumptions = list(step.assumptions)
    if settings.checkpoint and not totals.recompute_flops:
        assumptions.append("activation checkpointing is on, but the backward pass runs no part of the model again")
    return Training(
        settings=settings,
        device=device,
        loss=step.loss,
        mode="train" if step.training else "eval",
        totals=totals,
        modules=modules,
        flops_complete=all(entry.work.status != "unknown" for entry in step.flops.entries),
        kernel_recompute_flops=_count_kernel_recompute(step),
        operators=_list_operators(step),
        memory=memory,
        limit=limit,
        assumptions=tuple(assumptions),
    )


def _sum_costs(step: StepRecord) -> dict[str, TrainingCost]:
    """The own costs of each module that has any, by path."""
    macs = step.flops.sum_macs()
    saved = sum_saved(step.memory)
    found: dict[str, TrainingCost] = {}
    for position in sorted({*macs, *saved, *step.gradient_bytes, *step.optimizer_bytes}):
        of_phase: Counter[TrainingPhase] = macs.get(position, Counter())
        found[step.tree.paths[position]] = TrainingCost(
            forward_flops=2 * of_phase["forward"],
            backward_flops=2 * of_phase["backward"],
            recompute_flops=2 * of_phase["recompute"],
            optimizer_flops=2 * of_phase["optimizer"],
            gradient_bytes=step.gradient_bytes.get(position, 0),
            optimizer_bytes=step.optimizer_bytes.get(position, 0),
            saved_bytes=saved.get(position, 0),
        )
    return found


def _count_kernel_recompute(step: StepRecord) -> int:
    """The FLOPs of products that fused backward kernels compute again."""
    total = 0
    for entry in step.flops.entries:
        repeated = RECOMPUTED.get(entry.operator, 0)
        if repeated and entry.phase == "backward":
            total += 2 * sum(math.prod(term) for term in entry.work.terms[:repeated])
    return total


def _list_operators(step: StepRecord) -> tuple[TrainingOperator, ...]:
    counts: Counter[tuple[TrainingPhase, str, OperatorStatus]] = Counter()
    flops: Counter[tuple[TrainingPhase, str, OperatorStatus]] = Counter()
    notes: dict[tuple[TrainingPhase, str, OperatorStatus], str] = defaultdict(str)
    for entry in step.flops.entries:
        key = (entry.phase, entry.operator, entry.work.status)
        counts[key] += 1
        flops[key] += 2 * entry.work.macs if entry.work.status == "counted" else 0
        repeated = "one of its five products computes QK^T again" if entry.operator in RECOMPUTED else ""
        notes[key] = notes[key] or entry.work.note or repeated
    for (phase, name), count in step.flops.zero.items():
        counts[phase, name, "zero"] += count
    return tuple(
        TrainingOperator(phase=key[0], name=key[1], status=key[2], count=counts[key], flops=flops[key], note=notes[key])
        for key in sorted(counts)
    )
