"""Builds and runs a recipe in one build mode after the other, cheapest and safest first, until one works.

1. `meta`: built and run under the meta device: no memory, no arithmetic, any size.
2. `deferred`: the constructor runs for real, and parameters become meta tensors when they are registered (for constructors that compute
   with tensors, which meta cannot). Ties survive: one real parameter becomes one meta parameter.
3. `fake`: fake CPU tensors, which know a few values that meta tensors do not.
4. `routed`: meta again, with the choices of routers (`topk`, `argmax`) spread evenly over their options, which is their expectation. A live
   model that is small enough runs for real instead, because its weights are its own.
5. `answered`: meta again, run once for each value of the booleans that depend on data; complete only if both runs cost the same.
6. `real`: real tensors on the CPU, for models that are small enough. The numbers then hold for this input and these weights.

A build mode may fail in the constructor or in forward. The same error in two modes without values need not be an error of the model: meta
and fake tensors share kernels of torch that reject some calls which the CPU accepts. So the next mode is tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from archaudit.errors import ArchauditError, MeasureError
from archaudit.measure.building import (
    Built,
    build_deferred,
    build_fake,
    build_on_meta,
    build_real,
    build_without_device,
    copy_inputs_to_meta,
    make_inputs,
    needs_missing_device,
)
from archaudit.measure.building.copying import copy_with_values, run_with_large_stack
from archaudit.measure.failures import Attempt, explain_failures
from archaudit.measure.formulas import LENGTHS_WITHOUT_VALUES, SPARSE_WITHOUT_VALUES
from archaudit.measure.model_run import Run, costs_by_module, mark_incomplete
from archaudit.measure.module_tree import ModuleTree, walk_tree
from archaudit.measure.process_state import forget_cached_tensors, read_random_state, seed_random, set_training
from archaudit.measure.tape import Tape, record_tape
from archaudit.measure.tape.device_operators import run_operators_of
from archaudit.measure.tape.known_values import KnownValues, track_constants
from archaudit.measure.tape.shape_cache import CachedShapesMode, ShapeCache
from archaudit.measure.tensors import read_module_tensors
from archaudit.schema import Recipe

# A real forward pass holds all weights and the live activations. Two GiB of weights are safe on a CI machine with 7 GiB, and their random
# initialisation takes seconds there, not minutes.
REAL_PARAM_BYTES_LIMIT = 2 * 2**30


Builder = Callable[[Recipe], Built]


@dataclass(slots=True)
class _Search:
    """The state of a search for a build mode that works: failed attempts, cached shapes, and the bytes of the weights once known.

    `without_device`: devices that this machine does not have are replaced. `with_values`: only the mode `real` is tried. `answers` are the
    runs with each value of the booleans that depend on data, if their costs differ and the model is small enough for a real run.
    """

    recipe: Recipe
    shape_cache: ShapeCache = field(default_factory=ShapeCache)
    attempts: list[Attempt] = field(default_factory=list)
    param_bytes: int | None = None
    without_device: bool = False
    with_values: bool = False
    answers: tuple[Run, ...] = ()


_DEVICE_IGNORED = "the model names a device that this machine does not have; the device was ignored, because it changes no count"

# Each build mode and its builder; `answered` builds like the mode that got as far as running.
BUILD_MODES: dict[str, Builder | None] = {
    "meta": build_on_meta,
    "deferred": build_deferred,
    "fake": build_fake,
    "routed": None,
    "answered": None,
    "real": build_real,
}


def run_with_fallbacks(recipe: Recipe, *, with_values: bool = False) -> Run:
    """Builds and runs `recipe` in the first build mode that works. Raises MeasureError with the most informative error if none does.

    A model that fails because of a missing device is tried once more with that device replaced. `with_values`: only the mode `real`.
    """
    search = _Search(recipe, with_values=with_values)
    run = _try_build_modes(search)
    if run is None and needs_missing_device(search.attempts[-1].error):
        search = _Search(recipe, without_device=True, with_values=with_values)
        run = _try_build_modes(search)
        if run is not None:
            run.assumptions = (*run.assumptions, _DEVICE_IGNORED)
    if run is None:
        raise explain_failures(recipe, search.attempts)
    return _compare_runs(search, run)


def build_with_fallbacks(recipe: Recipe) -> tuple[ModuleTree, str, tuple[str, ...]]:
    """Builds `recipe` in the first build mode that works, without a run: the modules, the build mode, a line for each mode that failed.

    Raises MeasureError with the error of the constructor if none works.
    """
    search = _Search(recipe)
    found = _try_to_build(search)
    if found is None and needs_missing_device(search.attempts[-1].error):
        search = _Search(recipe, without_device=True)
        found = _try_to_build(search)
    if found is None:
        raise explain_failures(recipe, search.attempts)
    tree, build_mode = found
    return tree, build_mode, tuple(attempt.summarise() for attempt in search.attempts)


def _try_to_build(search: _Search) -> tuple[ModuleTree, str] | None:
    for build_mode in ("meta", "deferred", "fake"):
        builder = BUILD_MODES[build_mode]
        assert builder is not None
        try:
            with _with_known_values(search.shape_cache) if build_mode == "meta" else nullcontext():
                model, _ = _choose_builder(search, build_mode, builder)(search.recipe)
        except ArchauditError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the user's constructor may raise anything; the error is kept and reported
            search.attempts.append(Attempt(build_mode, error))
        else:
            return walk_tree(model), build_mode
    return None


def _try_build_modes(search: _Search) -> Run | None:
    for build_mode, builder in BUILD_MODES.items():
        if search.with_values and build_mode != "real":
            continue
        if build_mode == "deferred" and search.attempts[0].built and search.attempts[0].needed_a_value():
            continue  # the other way to build has no values either
        if build_mode == "real" and not _is_small_enough(search):
            break
        run = _run_in_mode(search, build_mode, builder)
        if run is not None and build_mode != "real" and _needs_values(run.tape) and _is_small_enough(search):
            run = _try_build_mode(search, "real", build_real) or run
        if run is not None:
            run.failures = tuple(attempt.summarise() for attempt in search.attempts)
            return run
        if not search.without_device and needs_missing_device(search.attempts[-1].error):
            break
    return None


def _run_in_mode(search: _Search, build_mode: str, builder: Builder | None) -> Run | None:
    if build_mode == "routed":
        return _try_even_routing(search)
    return _try_both_answers(search) if builder is None else _try_build_mode(search, build_mode, builder)


def _try_even_routing(search: _Search) -> Run | None:
    """A run with the choices of routers spread evenly. Only useful if a run without values failed after such a choice."""
    choices = search.shape_cache.known_values.choices
    if not choices or (search.recipe.instance and _is_small_enough(search)):
        return None
    cache = ShapeCache(known_values=KnownValues(spreads_choices=True))
    evenly = _Search(search.recipe, cache, without_device=search.without_device)
    run = _try_build_mode(evenly, "routed", _choose_meta_builder(search))
    search.attempts += evenly.attempts
    return run


def _choose_meta_builder(search: _Search) -> Builder:
    return build_on_meta if any(attempt.build_mode == "meta" and attempt.built for attempt in search.attempts) else build_deferred


def _needs_values(tape: Tape) -> bool:
    """Whether a product is unknown only because its sparse operand, or the lengths of its sequences, have no values."""
    return any(entry.work.note in (SPARSE_WITHOUT_VALUES, LENGTHS_WITHOUT_VALUES) for entry in tape.entries)


def _try_build_mode(
    search: _Search,
    build_mode: str,
    builder: Builder,
    *,
    assumed_boolean: bool | None = None,
    seed: int = 0,
) -> Run | None:
    seed_random(seed)
    if build_mode == "real" and search.attempts:
        forget_cached_tensors()
    attempt = Attempt(build_mode)
    started: list[Tape] = []
    try:
        # a constructor initialises hundreds of tensors, and initialisation is slower on the meta device than the creation of empty tensors
        with _with_known_values(search.shape_cache) if build_mode == "meta" else nullcontext():
            model, context = _choose_builder(search, build_mode, builder)(search.recipe)
        context = _with_device(context, search.recipe.device)
        tree = walk_tree(model)
        search.param_bytes = max(search.param_bytes or 0, _count_param_bytes(tree))
        attempt.tree, attempt.built = tree, True
        has_no_values = build_mode in ("meta", "deferred", "routed", "answered")
        with context(), _with_known_values(search.shape_cache) if has_no_values else nullcontext():
            args, kwargs = given = make_inputs(search.recipe, model)
        if has_no_values:
            args, kwargs = copy_inputs_to_meta(given)
            is_default = search.recipe.default_inputs is not None and not search.recipe.inputs and search.recipe.example_inputs is None
            search.shape_cache.known_values.record_inputs(given, (args, kwargs), constants=is_default)
        elif search.recipe.instance:
            args, kwargs = copy_with_values((args, kwargs))
        attempt.inputs = (args, kwargs)
        built = Run(model, tree, args, kwargs, Tape(tree), build_mode, context, search.shape_cache)

        def run(tree: ModuleTree) -> Tape:
            set_training(model, False)
            with context():
                args, kwargs = built.copy_inputs()
                cache = search.shape_cache
                return record_tape(
                    tree,
                    args,
                    kwargs,
                    assumed_boolean=assumed_boolean,
                    run_operator=cache.run,
                    known_values=cache.known_values,
                    into=started,
                )

        before, process = read_random_state(), os.getpid()
        tape = run_with_large_stack(lambda: run(tree), max(tree.depths))
        drawn = read_random_state() != before and os.getpid() == process  # Python seeds anew in a process that the model forks
        attempt.tree = walk_tree(model)
        if attempt.tree.modules != tree.modules:
            tape = _run_again(attempt.tree, started, run)
    except ArchauditError as error:
        if search.recipe.instance or not isinstance(error, MeasureError):
            raise
        attempt.error = error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the user's model may raise anything; the error is kept and reported
        attempt.error = error
        attempt.locate(started)
    else:
        built.tape, built.tree, built.assumptions, built.draws_chance = tape, tape.tree, tuple(tape.assumptions), drawn
        return built
    search.attempts.append(attempt)
    return None


@contextmanager
def _with_known_values(cache: ShapeCache) -> Iterator[None]:
    """While open, meta tensors that are made from constants have known values."""
    with track_constants(cache.known_values), CachedShapesMode(cache):
        yield


def _with_device(context: Callable[[], AbstractContextManager[Any]], device: str) -> Callable[[], AbstractContextManager[Any]]:
    """The context, and in it the operators of the assumed device for all tensors without values."""

    @contextmanager
    def run_as_on_device() -> Iterator[None]:
        with context(), run_operators_of(device):
            yield

    return run_as_on_device


def _choose_builder(search: _Search, build_mode: str, builder: Builder) -> Builder:
    if not search.without_device:
        return builder
    built_on = "meta" if builder is build_on_meta else "cpu"
    return build_without_device(builder, built_on, "cpu" if build_mode in ("fake", "real") else "meta")


def _run_again(tree: ModuleTree, started: list[Tape], run: Callable[[ModuleTree], Tape]) -> Tape:
    """A second run of a model that created modules in the first: it has all its modules from now on."""
    started.clear()
    tape = run_with_large_stack(lambda: run(tree), max(tree.depths))
    if walk_tree(tree.modules[0]).modules != tree.modules:
        raise MeasureError(
            f"forward of {type(tree.modules[0]).__name__} creates new modules each time it runs", "Create them in the constructor."
        )
    tape.assumptions.append("forward created modules in its first run: the second run was measured")
    return tape


def _try_both_answers(search: _Search) -> Run | None:
    """A run for each value of every boolean that depends on data. Only useful if the meta run failed when it read a value."""
    if not any(attempt.build_mode in ("meta", "deferred") and attempt.needed_a_value() for attempt in search.attempts):
        return None
    builder = _choose_meta_builder(search)
    yes = _try_build_mode(search, "answered", builder, assumed_boolean=True)
    no = _try_build_mode(search, "answered", builder, assumed_boolean=False)
    if yes is None or no is None or not yes.tape.assumptions:
        return None
    if costs_by_module(yes.tape) == costs_by_module(no.tape):
        yes.assumptions = tuple(f"{text}, and they cost the same" for text in yes.assumptions)
        return yes
    if _is_small_enough(search):
        search.answers = (yes, no)
        return None  # the real mode takes the right branch
    return mark_incomplete([yes, no], f"{yes.tape.assumptions[0]}, and their costs differ")


# --- costs that differ from run to run ---


# A model is run again with other random numbers: often if that takes milliseconds.
_FEW_RUNS, _MANY_RUNS = 2, 8
_CHEAP_MACS = 100_000_000
_CHEAP_OPERATORS = 2_000


def _compare_runs(search: _Search, run: Run) -> Run:
    """Runs the model again if chance or random weights may decide its costs. Where the costs differ, the FLOPs are incomplete."""
    by_values = run.build_mode == "real" and run.tape.reads_values and not search.recipe.instance
    if run.incomplete or not (run.draws_chance or by_values) or run.build_mode == "answered":
        return run
    if by_values and run.tape.reads_weights and search.answers:
        branch = search.answers[0].tape.assumptions[0].partition(" depends")[0]
        return mark_incomplete([run, *search.answers], f"{branch} depends on values that are computed with random weights")
    macs = sum(entry.work.macs for entry in run.tape.entries)
    is_cheap = len(run.tape.entries) <= _CHEAP_OPERATORS and (macs <= _CHEAP_MACS or run.build_mode != "real")
    runs = [run]
    for seed in range(1, _MANY_RUNS if is_cheap else _FEW_RUNS):
        again = _Search(search.recipe, search.shape_cache, without_device=search.without_device)
        builder = partial(build_real, seed=seed) if run.build_mode == "real" else BUILD_MODES[run.build_mode] or build_on_meta
        other = _try_build_mode(again, run.build_mode, builder, seed=seed)
        if other is not None and costs_by_module(other.tape) != costs_by_module(run.tape):
            runs.append(other)
    if len(runs) == 1:
        return run
    return mark_incomplete(
        runs, f"{'values computed with random weights' if run.tape.reads_weights else 'random numbers'} decide what runs"
    )


def _is_small_enough(search: _Search) -> bool:
    return (search.param_bytes or 0) <= REAL_PARAM_BYTES_LIMIT


def _count_param_bytes(tree: ModuleTree) -> int:
    tensors, _ = read_module_tensors(tree)
    return sum(held.param_bytes for held in tensors)
