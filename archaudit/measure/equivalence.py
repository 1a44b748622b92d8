"""Runs two models for real with the same weights and inputs: do they compute the same, and if not, which module differs first?

The weights of the first model are copied into the second: as they are, transposed, joined, split, or with a norm folded in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import torch

from archaudit.errors import ArchauditError, MeasureError
from archaudit.measure.building import build_real, make_inputs
from archaudit.measure.module_tree import ModuleTree, walk_tree
from archaudit.measure.operator_trace import OperatorRun, OperatorTrace, find_first_computations, iterate_traces
from archaudit.measure.output_comparison import ModuleComparison, OutputComparison, OutputRecorder, Outputs, is_finite, list_outputs
from archaudit.measure.process_state import DispatchMode, unchanged_globals, without_fusion
from archaudit.measure.random_inputs import (
    cast_model,
    cast_tensor,
    describe_plain_inputs,
    draw_inputs,
    list_bounds,
    list_input_tensors,
    map_tensors,
    replace_tensors,
)
from archaudit.measure.tape.module_calls import CallObserver, observe_calls
from archaudit.measure.weight_copying import add_noise, copy_weights, find_factor, name_tensors, read_scales, tie_tensors
from archaudit.schema import Computation, Equivalence, FoldedAdapter, Pair, Recipe, WeightSource

# The allowed difference, relative to the largest output value (but at least to 1). Sums in another order differ in the last bits: by about
# 1e-13 in float64 after dozens of layers, by 1e-5 in float32. The smallest real change (eps 1e-5 to 1e-6) makes a difference of 1e-6.
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
# The inputs of the first trial are of this size, those of the others of size 1: only large values reach the limits of a clamp.
_LARGE = 10.0
_TRIALS = 2
_SEED = 0


def record_outputs(
    recipe: Recipe, path: Path, dtype: str, modules: Iterable[str] = (), ties: Mapping[str, str] | None = None, *, operators: bool = False
) -> None:
    """Builds the model with seeded weights, runs it, and writes weights, inputs, outputs, and the outputs of `modules` to `path`.

    `ties` are tensors that take the values of others first; with `operators`, a trace of all operators is written too. Raises an
    ArchauditError for a model that cannot be built or run for real, or whose outputs are not finite.
    """
    with unchanged_globals():
        built, inputs = _build(recipe, dtype)
        plain = describe_plain_inputs(inputs)
        generator = torch.Generator().manual_seed(_SEED)
        add_noise(built.tree, generator)
        tie_tensors(dict(name_tensors(built.tree)), ties or {})
        recorder = OutputRecorder(built.tree, set(modules))
        draws, outputs = _run_on_draws(built, inputs, recipe, generator, recorder)
        if not all(map(is_finite, outputs)):
            raise MeasureError("its outputs on random inputs are not finite, so they cannot be compared")
        recorded = {
            "weights": {name: tensor.detach().resolve_conj().resolve_neg() for name, tensor in name_tensors(built.tree)},
            "scales": read_scales(built.tree),
            "inputs": [list_input_tensors(draw) for draw in draws],
            "plain": plain,
            "outputs": outputs,
            "modules": dict(recorder.outputs),
            "operators": [[tuple(run) for run in _trace(built, draw)] for draw in draws] if operators else [],
            "random": _is_random(built, draws[0], outputs[0]),
        }
        torch.save(recorded, path)


def _trace(built: _BuiltModel, draw: tuple[Any, Any]) -> list[OperatorRun]:
    trace = OperatorTrace(built.tree, OutputRecorder(built.tree, set()))
    with trace:
        built.run(draw, trace)
    return trace.runs


def _run_on_draws(
    built: _BuiltModel, inputs: tuple[Any, Any], recipe: Recipe, generator: torch.Generator, recorder: OutputRecorder
) -> tuple[list[tuple[Any, Any]], list[Outputs]]:
    """Random inputs and the outputs for them: with the largest integers that the model takes, and large values where it stays finite."""
    failure: MeasureError | None = None
    for bound in list_bounds(built.tree, recipe):
        try:
            for large in (_LARGE, 1.0):
                draws = [draw_inputs(inputs, recipe, bound, scale, generator) for scale in (large, *[1.0] * (_TRIALS - 1))]
                recorder.outputs.clear()
                outputs = [built.run(draw, recorder if recorder.paths else None) for draw in draws]
                if is_finite(outputs[0]):
                    break
        except MeasureError as error:
            failure = failure or error
            continue
        return draws, outputs
    assert failure is not None
    raise failure


def _is_random(built: _BuiltModel, inputs: tuple[Any, Any], outputs: Outputs) -> bool:
    """Whether the outputs depend on the seed: random numbers are part of them."""
    comparison = OutputComparison(TOLERANCES[str(built.dtype).removeprefix("torch.")], exact=True)
    comparison.add_trial(outputs, built.run(inputs, seed=_SEED + 1))
    return comparison.differs


def compare_outputs(
    recipe: Recipe,
    path: Path,
    dtype: str,
    sources: Mapping[str, WeightSource],
    modules: dict[str, str],
    inputs_from: Mapping[str, Iterable[str]],
    questions: Sequence[Sequence[Mapping[str, WeightSource]]] = (),
) -> tuple[Equivalence, tuple[int, ...], dict[str, float]]:
    """Builds the model, fills it with the weights that `record_outputs` wrote to `path`, runs it on the same inputs, compares outputs.

    `sources` says which recorded weights fill each tensor, and each question has several answers, of which one replaces some sources: the
    second result is the answers that give equal outputs, else the closest ones, the third the factors of adapters. `modules` maps paths of
    this model to matched paths of the recorded one, and `inputs_from` has the modules whose output is the input of each module: both serve
    to find the first module whose output differs.
    """
    with unchanged_globals():
        recorded = torch.load(path, weights_only=True)
        built, inputs = _build(recipe, dtype)
        plain = describe_plain_inputs(inputs)
        if plain != recorded["plain"]:
            raise MeasureError(f"the inputs that are no tensors differ: {recorded['plain']} before, {plain} after")
        trial = _Trial(built, recorded, TOLERANCES[dtype], [replace_tensors(inputs, given) for given in recorded["inputs"]], modules)
        trial.fill(sources)
        choice = _search(trial, questions)
        trial.choose(questions, choice)
        comparison = trial.compare()
        draws = trial.draws
        if comparison.differs and (recorded["random"] or _is_random(built, draws[0], built.run(draws[0]))):
            raise MeasureError("the outputs depend on random numbers that forward draws, so different outputs prove nothing")
        first = None
        computations: Pair[Computation | None] = Pair(None, None)
        if comparison.differs and recorded["modules"]:
            first = trial.compare_modules().find_first(inputs_from)
        if comparison.differs and recorded["operators"]:
            traces = zip(iterate_traces(recorded["operators"]), (_trace(built, draw) for draw in draws), strict=True)
            found = (find_first_computations(*pair) for pair in traces)
            computations = next((each for each in found if each.before or each.after), computations)
        return comparison.conclude(dtype, first, computations), choice, trial.find_factors(sources, questions, choice)


# More runs than this are not tried: one answer after the other is then chosen by how many modules have equal outputs.
_MOST_RUNS = 64


def _search(trial: _Trial, questions: Sequence[Sequence[Mapping[str, WeightSource]]]) -> tuple[int, ...]:
    """The answers with which the outputs are equal; else those with which most modules have equal outputs."""
    likeliest = (0,) * len(questions)
    if not questions:
        return likeliest
    if prod(map(len, questions)) <= _MOST_RUNS:
        choices = sorted(product(*(range(len(question)) for question in questions)), key=sum)
        return next((choice for choice in choices if trial.agrees(questions, choice)), likeliest)
    choice = list(likeliest)
    for place, question in enumerate(questions):
        scores = []
        for number in range(len(question)):
            choice[place] = number
            if trial.agrees(questions, choice):
                return tuple(choice)
            scores.append(trial.compare_modules().count_equal() if trial.has_modules else 0)
        choice[place] = scores.index(max(scores))
    return tuple(choice)


class _Trial:
    """The model of after, filled with weights of before, and the outputs that it should have."""

    def __init__(
        self, built: _BuiltModel, recorded: Mapping[str, Any], tolerance: float, draws: list[tuple[Any, Any]], modules: dict[str, str]
    ) -> None:
        self._built = built
        self._recorded = recorded
        self._tolerance = tolerance
        self._modules = modules
        self._tensors = dict(name_tensors(built.tree))
        self.draws = draws
        self.has_modules = bool(recorded["modules"])

    def fill(self, sources: Mapping[str, WeightSource]) -> None:
        """Copies weights of before into the tensors."""
        copy_weights(self._tensors, self._recorded["weights"], sources, self._recorded["scales"])

    def choose(self, questions: Sequence[Sequence[Mapping[str, WeightSource]]], choice: Sequence[int]) -> None:
        """Fills the tensors that the questions are about by these answers."""
        merged: dict[str, WeightSource] = {}
        for question, number in zip(questions, choice, strict=True):
            merged |= question[number]
        self.fill(merged)

    def find_factors(
        self, sources: Mapping[str, WeightSource], questions: Sequence[Sequence[Mapping[str, WeightSource]]], choice: Sequence[int]
    ) -> dict[str, float]:
        """The factor of each merged adapter that these answers use."""
        chosen = dict(sources)
        for question, number in zip(questions, choice, strict=True):
            chosen |= question[number]
        recorded = self._recorded
        return {
            name: find_factor(recorded["weights"], source, recorded["scales"])
            for name, source in chosen.items()
            if isinstance(source, FoldedAdapter)
        }

    def agrees(self, questions: Sequence[Sequence[Mapping[str, WeightSource]]], choice: Sequence[int]) -> bool:
        """Whether the outputs are equal with these answers; weights that a tensor cannot hold are no answer."""
        try:
            self.choose(questions, choice)
            comparison = self.compare(all_draws=False)
        except MeasureError:
            return False
        return not comparison.differs and not comparison.obstacle

    def compare(self, *, all_draws: bool = True) -> OutputComparison:
        """The outputs compared; without `all_draws`, up to the first that differs."""
        recorded = self._recorded
        values = [*recorded["weights"].values(), *self._tensors.values(), *(tensor for given in recorded["inputs"] for tensor in given)]
        exact = not any(value.is_floating_point() or value.is_complex() for value in values)
        comparison = OutputComparison(self._tolerance, exact)
        for draw, outputs in zip(self.draws, recorded["outputs"], strict=True):
            comparison.add_trial(outputs, self._built.run(draw))
            if comparison.differs and not all_draws:
                break
        return comparison

    def compare_modules(self) -> ModuleComparison:
        """The outputs of every module compared."""
        by_module = ModuleComparison(self._built.tree, self._recorded["modules"], self._modules, self._tolerance)
        for draw in self.draws:
            self._built.run(draw, by_module)
        return by_module


# --- building and running ---


@dataclass(slots=True)
class _BuiltModel:
    """A model that was built for real, with the context and the dtype that it runs in."""

    tree: ModuleTree
    context: Callable[[], AbstractContextManager[Any]]
    dtype: torch.dtype

    def run(self, inputs: tuple[Any, Any], observer: CallObserver | None = None, seed: int = _SEED) -> Outputs:
        """The output tensors of one seeded eval-mode pass. Raises MeasureError if a part of the output cannot be compared."""
        args, kwargs = copy.deepcopy(inputs)
        try:
            with self.context(), without_fusion(), torch.no_grad(), use_dtype(self.dtype):
                torch.manual_seed(seed)
                if observer is None:
                    result = self.tree.modules[0](*args, **kwargs)
                else:
                    with observe_calls(self.tree, observer):
                        result = self.tree.modules[0](*args, **kwargs)
        except (Exception, SystemExit) as error:
            raise MeasureError(f"it raised {type(error).__name__} when it was run in {self.dtype}: {error}") from error
        return list_outputs(result)


def _build(recipe: Recipe, dtype: str) -> tuple[_BuiltModel, tuple[Any, Any]]:
    try:
        wanted = getattr(torch, dtype)
        with use_dtype(wanted):  # constants that the constructor computes need the same precision
            model, context = build_real(recipe)
        model = cast_model(model.eval(), wanted)
        with context():
            inputs = make_inputs(recipe, model)
    except ArchauditError:
        raise
    except (Exception, SystemExit) as error:
        raise MeasureError(f"it raised {type(error).__name__} when it was built for real: {error}") from error
    return _BuiltModel(walk_tree(model), context, wanted), map_tensors(inputs, lambda tensor: cast_tensor(tensor, wanted))


_SHORTER = frozenset({torch.float32, torch.float16, torch.bfloat16})
_SHORTER_COMPLEX = frozenset({torch.complex64, torch.complex32})


class _ForceFloat64(DispatchMode):
    """Uses float64 wherever the model requests a shorter float (`.float()`, `softmax(dtype=torch.float32)`).

    Two ports of a model may round in different places; that is no difference between the models.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in _SHORTER:
            kwargs["dtype"] = torch.float64
        elif kwargs.get("dtype") in _SHORTER_COMPLEX:
            kwargs["dtype"] = torch.complex128
        return func(*args, **kwargs)


@contextmanager
def use_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Makes `dtype` the default while open. With float64, shorter floats that the model requests become float64 too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        if dtype == torch.float64:
            with _ForceFloat64():
                yield
        else:
            yield
    finally:
        torch.set_default_dtype(before)
