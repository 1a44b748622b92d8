"""The FLOPs of a training step, by module, phase and operator."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import torch

from archaudit.measure.formulas import Work, count_operator
from archaudit.measure.tape.complex_products import COUNTED_BEFORE, ComplexConvolutions
from archaudit.schema import TrainingPhase


@dataclass(slots=True)
class StepEntry:
    """One run of an operator that is counted or unknown: its phase, its name, the position of its module, and its work."""

    phase: TrainingPhase
    operator: str
    module: int
    work: Work


@dataclass(slots=True)
class StepFlops:
    """Counts the operators of a training step. Zero operators are only counted by phase and name; all others have an entry."""

    entries: list[StepEntry] = field(default_factory=list)
    zero: Counter[tuple[TrainingPhase, str]] = field(default_factory=Counter)
    complex_convolutions: ComplexConvolutions = field(default_factory=ComplexConvolutions)
    _nodes: dict[int, int] = field(default_factory=dict)  # the autograd node of a convolution, by the number of its entry
    _counted_before: set[int] = field(default_factory=set)

    def record(self, phase: TrainingPhase, module: int, operator: Any, call: tuple[tuple[Any, ...], dict[str, Any]], result: Any) -> None:
        """Counts one run of an operator."""
        args, kwargs = call
        schema = getattr(operator, "_schema", None)
        name = schema.name if schema is not None else f"higher_order::{operator}"
        work = count_operator(operator, args, kwargs, result)
        is_convolution = work.status == "counted" and "convolution" in name
        if is_convolution and phase == "backward" and self._is_part_of_complex():
            work = COUNTED_BEFORE
        if work.status == "zero":
            self.zero[phase, name] += 1
        else:
            self.entries.append(StepEntry(phase, name, module, work))
        if phase not in ("forward", "recompute"):
            return
        number = len(self.entries) - 1
        if is_convolution:
            self._nodes[number] = torch._C._autograd._get_sequence_nr() - 1  # autograd makes the node before the operator runs
        for part in self.complex_convolutions.find_parts(name, number, args, result, work):
            self.entries[part].work = COUNTED_BEFORE
            self._counted_before.add(self._nodes[part])

    def _is_part_of_complex(self) -> bool:
        """Whether the autograd node that runs belongs to a part of a complex convolution whose work is counted with its first part."""
        node = torch._C._current_autograd_node() if self._counted_before else None
        return node is not None and node._sequence_nr() in self._counted_before

    def sum_macs(self) -> dict[int, Counter[TrainingPhase]]:
        """The multiply-accumulates by module and phase."""
        sums: dict[int, Counter[TrainingPhase]] = defaultdict(Counter)
        for entry in self.entries:
            if entry.work.macs:
                sums[entry.module][entry.phase] += entry.work.macs
        return sums
