"""The ladder of ways to build and run a recipe, cheapest and safest first. The rung that worked is told.

1. `meta`: built and run under the meta device: no memory, no arithmetic, any size.
2. `deferred`: the constructor runs for real, but parameters become meta tensors as they are registered (for constructors that do
   arithmetic on tensors, which meta cannot); ties survive, since one real parameter becomes one meta parameter.
3. `fake`: fake CPU tensors, which know a few values that meta tensors do not.
4. `answered`: meta again, where a boolean that depends on values is answered both ways; complete only if both cost the same.
5. `real`: real tensors on the CPU, for models that are small enough; then the numbers hold for this input and these weights.

A rung may fail in the constructor or in forward. When two rungs of different kinds (meta and fake) meet the very same error, it is the
model's own, and the ladder ends there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from archaudit.errors import ArchauditError, MeasureError
from archaudit.measure.building import (
    Built,
    asks_for_device,
    build_copied,
    build_deferred,
    build_elsewhere,
    build_fake,
    build_on_meta,
    build_real,
    make_inputs,
)
from archaudit.measure.building.copying import run_deep
from archaudit.measure.failures import Attempt, explain_failures
from archaudit.measure.structure.params import read_holdings
from archaudit.measure.structure.tree import ModuleTree, walk_tree
from archaudit.measure.tape import Tape, record_tape
from archaudit.measure.tape.shape_cache import RecallShapes, ShapeMemory
from archaudit.schema import Recipe

# A real forward holds all weights and the live activations at once. Two GiB of weights are safe on a CI machine of 7 GiB, where
# building them (random initialisation) takes seconds rather than minutes.
REAL_PARAM_BYTES_LIMIT = 2 * 2**30


Builder = Callable[[Recipe], Built]


@dataclass(slots=True)
class Run:
    """A model that was built and ran: with what, how, and what was met on the way.

    `context` is to be open whenever it runs again; `memory` knows what the meta device answered.
    """

    model: nn.Module
    tree: ModuleTree
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tape: Tape
    rung: str
    context: Callable[[], AbstractContextManager[Any]]
    memory: ShapeMemory
    assumptions: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    complete: bool = True


@dataclass(slots=True)
class _Climb:
    """What is known so far: failed attempts, the size of the weights once some rung could build the model, and meta's answers; whether
    devices that the model names are left out (`elsewhere`)."""

    recipe: Recipe
    memory: ShapeMemory = field(default_factory=ShapeMemory)
    attempts: list[Attempt] = field(default_factory=list)
    param_bytes: int | None = None
    elsewhere: bool = False


# Each rung and how it builds; the answered one builds as the rung did that came as far as running.
RUNGS: dict[str, Builder | None] = {
    "meta": build_on_meta,
    "deferred": build_deferred,
    "fake": build_fake,
    "answered": None,
    "real": build_real,
}


def climb(recipe: Recipe) -> Run:
    """Builds and runs `recipe` on the first rung that works. Raises MeasureError with the truest of the errors when none does.

    A model that stopped at a device that is not here is tried once more, with the devices that it names left out.
    """
    state = _Climb(recipe)
    run = _climb_rungs(state)
    if run is None and asks_for_device(state.attempts[-1].error):
        state = _Climb(recipe, elsewhere=True)
        run = _climb_rungs(state)
        if run is not None:
            run.assumptions = (*run.assumptions, "it names a device that is not here, which changes no count and was left out")
    if run is None:
        raise explain_failures(recipe, state.attempts)
    return run


def _climb_rungs(state: _Climb) -> Run | None:
    for rung, builder in RUNGS.items():
        if rung == "deferred" and state.attempts[0].built and state.attempts[0].asked_for_a_value():
            continue  # another way of building has no values either
        if rung == "real" and not _is_small_enough(state):
            break
        run = _attempt(state, rung, builder) if builder is not None else _climb_answered(state)
        if run is not None:
            run.failures = tuple(attempt.summarise() for attempt in state.attempts)
            return run
        if not state.elsewhere and asks_for_device(state.attempts[-1].error):
            break
    return None


def _attempt(
    state: _Climb,
    rung: str,
    builder: Builder,
    *,
    boolean_answer: bool | None = None,
) -> Run | None:
    attempt = Attempt(rung)
    started: list[Tape] = []
    try:
        # a constructor initialises hundreds of tensors, which the meta device takes longer over than over empty ones
        with RecallShapes(state.memory) if rung == "meta" else nullcontext():
            model, context = _choose_builder(state, rung, builder)(state.recipe)
        tree = walk_tree(model)
        state.param_bytes = max(state.param_bytes or 0, _count_param_bytes(tree))
        attempt.tree, attempt.built = tree, True
        with context():
            args, kwargs = make_inputs(state.recipe, model)
        if rung in ("meta", "deferred", "answered"):
            args, kwargs = build_copied((args, kwargs))
        elif state.recipe.instance:
            args, kwargs = copy.deepcopy((args, kwargs))
        attempt.inputs = (args, kwargs)

        def run(tree: ModuleTree) -> Tape:
            model.eval()
            with context():
                return record_tape(tree, args, kwargs, boolean_answer=boolean_answer, run_operator=state.memory.run, into=started)

        tape = run_deep(lambda: run(tree), max(tree.depths))
        attempt.tree = walk_tree(model)
        if attempt.tree.modules != tree.modules:
            tape = _run_grown(attempt.tree, started, run)
    except ArchauditError as error:
        if state.recipe.instance or not isinstance(error, MeasureError):
            raise
        attempt.error = error
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's model may raise anything; it is kept and reported
        attempt.error = error
        attempt.locate(started)
    else:
        return Run(model, tape.tree, args, kwargs, tape, rung, context, state.memory, tuple(tape.assumptions))
    state.attempts.append(attempt)
    return None


def _choose_builder(state: _Climb, rung: str, builder: Builder) -> Builder:
    if not state.elsewhere:
        return builder
    built_on = "meta" if builder is build_on_meta else "cpu"
    return build_elsewhere(builder, built_on, "cpu" if rung in ("fake", "real") else "meta")


def _run_grown(tree: ModuleTree, started: list[Tape], run: Callable[[ModuleTree], Tape]) -> Tape:
    """A second run, of a model to which the first has added modules: with those it is what it will be from then on."""
    started.clear()
    tape = run_deep(lambda: run(tree), max(tree.depths))
    if walk_tree(tree.modules[0]).modules != tree.modules:
        raise MeasureError(
            f"forward of {type(tree.modules[0]).__name__} makes other modules each time it runs", "Make them in the constructor."
        )
    tape.assumptions.append("forward made modules when it first ran: what was measured is a second run")
    return tape


def _climb_answered(state: _Climb) -> Run | None:
    """Both answers to every boolean: worth trying only where the meta run stopped at reading a value."""
    if not any(attempt.rung in ("meta", "deferred") and attempt.asked_for_a_value() for attempt in state.attempts):
        return None
    builder = build_on_meta if any(attempt.rung == "meta" and attempt.built for attempt in state.attempts) else build_deferred
    yes = _attempt(state, "answered", builder, boolean_answer=True)
    no = _attempt(state, "answered", builder, boolean_answer=False)
    if yes is None or no is None or not yes.tape.assumptions:
        return None
    if _costs_by_module(yes.tape) == _costs_by_module(no.tape):
        yes.assumptions = tuple(f"{text}, and both ways cost the same" for text in yes.assumptions)
        return yes
    if _is_small_enough(state):
        return None  # the real rung will tell which branch is taken
    yes.assumptions = tuple(f"{text}, and the costs differ: the FLOPs are incomplete" for text in yes.assumptions)
    yes.complete = False
    return yes


def _costs_by_module(tape: Tape) -> list[tuple[int, int]]:
    costs = [[0, 0] for _ in tape.tree.modules]
    for entry in tape.entries:
        costs[entry.module][0] += entry.work.macs
        costs[entry.module][1] += entry.work.status == "unknown"
    return [(macs, unknown) for macs, unknown in costs]


def _is_small_enough(state: _Climb) -> bool:
    return (state.param_bytes or 0) <= REAL_PARAM_BYTES_LIMIT


def _count_param_bytes(tree: ModuleTree) -> int:
    holdings, _ = read_holdings(tree)
    return sum(held.param_bytes for held in holdings)
