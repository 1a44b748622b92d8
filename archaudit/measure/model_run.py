"""A run of a model: what it was built and run with, its tape, and whether another run would cost the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import nn

from archaudit.measure.building.copying import copy_with_values
from archaudit.measure.module_tree import ModuleTree
from archaudit.measure.tape import Tape
from archaudit.measure.tape.shape_cache import ShapeCache
from archaudit.measure.tensors import list_tensors_in, list_tensors_within


@dataclass(slots=True)
class Run:
    """A model that was built and run, with its inputs, tape and build mode.

    `context` has to be open whenever the model runs again. `failures` has one line for each build mode that failed before.
    `draws_chance`: forward drew random numbers. `incomplete` says why FLOPs are incomplete although every operator is known, and
    `differing` has the positions of the modules whose costs are not known for that reason; both are empty if they are known.
    """

    model: nn.Module
    tree: ModuleTree
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tape: Tape
    build_mode: str
    context: Callable[[], AbstractContextManager[Any]]
    shape_cache: ShapeCache
    assumptions: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    draws_chance: bool = False
    incomplete: str = ""
    differing: frozenset[int] = frozenset()

    def copy_inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inputs for one more run: a copy of objects that forward may write into, such as a cache of keys and values."""
        given = self.args, self.kwargs
        return given if len(list_tensors_within(given)) == len(list_tensors_in(given)) else _copy_inputs(given, self.shape_cache)


def _copy_inputs(given: Any, cache: ShapeCache) -> Any:
    """A copy of the inputs on the same device, with the same known values."""
    copied = copy_with_values(given)
    cache.known_values.record_inputs(given, copied)
    return copied


# --- costs that differ from run to run ---


def mark_incomplete(runs: list[Run], reason: str) -> Run:
    """The cheapest of runs with different costs; FLOPs are incomplete in the modules that, with all modules inside, cost not the same."""
    totals = [_sum_up(run.tree, costs_by_module(run.tape)) for run in runs]
    macs = [total[0][0] for total in totals]
    found = runs[macs.index(min(macs))]
    same_tree = len({run.tree.paths for run in runs}) == 1
    found.differing = frozenset(place for place in range(len(found.tree)) if not same_tree or len({total[place] for total in totals}) > 1)
    costs = f"{min(macs):,} MACs in one run and {max(macs):,} in another" if len(set(macs)) > 1 else "in other modules in each run"
    found.incomplete = f"{reason}: {costs}"
    found.failures = runs[0].failures
    return found


def _sum_up(tree: ModuleTree, costs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    sums = [list(cost) for cost in costs]
    for position in range(len(tree) - 1, 0, -1):  # a parent comes before its children
        for column, value in enumerate(sums[position]):
            sums[tree.parents[position]][column] += value
    return [(macs, unknown) for macs, unknown in sums]


def costs_by_module(tape: Tape) -> list[tuple[int, int]]:
    costs = [[0, 0] for _ in tape.tree.modules]
    for entry in tape.entries:
        costs[entry.module][0] += entry.work.macs
        costs[entry.module][1] += entry.work.status == "unknown"
    return [(macs, unknown) for macs, unknown in costs]
