"""Runs two models for real with the same weights and inputs: do they compute the same, and if not, which module differs first?

The weights of the first model are copied into the second: as they are, transposed, joined, split, or with a norm folded in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import torch

from archaudit.errors import MeasureError
from archaudit.measure.operator_trace import OperatorRun, OperatorTrace, find_first_computations, iterate_traces
from archaudit.measure.output_comparison import ModuleComparison, OutputComparison, OutputRecorder, Outputs, is_finite
from archaudit.measure.process_state import unchanged_globals
from archaudit.measure.random_inputs import (
    describe_plain_inputs,
    list_input_tensors,
    replace_tensors,
)
from archaudit.measure.real_runs import LEAST_SMALL, SEED, BuiltModel, build_with_values, run_on_draws
from archaudit.measure.tape.module_calls import CallObserver
from archaudit.measure.weight_copying import (
    add_noise,
    copy_weights,
    find_factor,
    list_vectors,
    name_tensors,
    read_scales,
    scaled,
    tie_tensors,
)
from archaudit.schema import Computation, Equivalence, FoldedAdapter, Pair, Recipe, WeightSource

# The allowed difference, relative to the largest output value. Sums in another order differ in the last bits: by about 1e-13 in float64
# after dozens of layers, by 1e-5 in float32. The smallest real change (eps 1e-5 to 1e-6) makes a difference of 1e-6.
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}


def record_outputs(
    recipe: Recipe, path: Path, dtype: str, modules: Iterable[str] = (), ties: Mapping[str, str] | None = None, *, operators: bool = False
) -> None:
    """Builds the model with seeded weights, runs it, and writes weights, inputs, outputs, and the outputs of `modules` to `path`.

    `ties` are tensors that take the values of others first; with `operators`, a trace of all operators is written too. Raises an
    ArchauditError for a model that cannot be built or run for real, or whose outputs are not finite.
    """
    with unchanged_globals():
        built, inputs = build_with_values(recipe, dtype)
        plain = describe_plain_inputs(inputs)
        generator = torch.Generator().manual_seed(SEED)
        add_noise(built.tree, generator)
        tie_tensors(dict(name_tensors(built.tree)), ties or {})
        recorder = OutputRecorder(built.tree, set(modules))
        vectors = list_vectors(built.tree, {*(ties or {}), *(ties or {}).values()})
        draws, sizes, outputs = run_on_draws(built, inputs, recipe, generator, list(vectors.values()))
        if not all(map(is_finite, outputs)):
            raise MeasureError("its outputs on random inputs are not finite, so they cannot be compared")
        traces = []
        for draw, size in zip(draws, sizes, strict=True):
            with scaled(vectors.values(), size):
                if recorder.paths:
                    built.run(draw, recorder)
                if operators:
                    traces.append([tuple(run) for run in _trace(built, draw)])
        recorded = {
            "weights": {name: tensor.detach().resolve_conj().resolve_neg() for name, tensor in name_tensors(built.tree)},
            "scales": read_scales(built.tree),
            "inputs": [list_input_tensors(draw) for draw in draws],
            "plain": plain,
            "outputs": outputs,
            "modules": dict(recorder.outputs),
            "operators": traces,
            "vectors": list(vectors),
            "sizes": sizes,
            "random": _is_random(built, draws[1], outputs[1]),
        }
        torch.save(recorded, path)


def _trace(built: BuiltModel, draw: tuple[Any, Any]) -> list[OperatorRun]:
    trace = OperatorTrace(built.tree, OutputRecorder(built.tree, set()))
    with trace:
        built.run(draw, trace)
    return trace.runs


def _is_random(built: BuiltModel, inputs: tuple[Any, Any], outputs: Outputs) -> bool:
    """Whether the outputs depend on the seed: random numbers are part of them."""
    comparison = OutputComparison(TOLERANCES[str(built.dtype).removeprefix("torch.")], exact=True)
    comparison.add_trial(outputs, built.run(inputs, seed=SEED + 1))
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
        built, inputs = build_with_values(recipe, dtype)
        plain = describe_plain_inputs(inputs)
        if plain != recorded["plain"]:
            raise MeasureError(f"the inputs that are no tensors differ: {recorded['plain']} before, {plain} after")
        trial = _Trial(built, recorded, TOLERANCES[dtype], [replace_tensors(inputs, given) for given in recorded["inputs"]], modules)
        choice = _search(trial, sources, questions)
        trial.choose(sources, questions, choice)
        comparison = trial.compare()
        draws = trial.draws
        if comparison.differs and (recorded["random"] or _is_random(built, draws[1], trial.run(1))):
            raise MeasureError("the outputs depend on random numbers that forward draws, so different outputs prove nothing")
        first = None
        computations: Pair[Computation | None] = Pair(None, None)
        if comparison.differs and recorded["modules"]:
            first = trial.compare_modules().find_first(inputs_from)
        if comparison.differs and recorded["operators"]:
            traces = enumerate(iterate_traces(recorded["operators"]))
            found = (find_first_computations(before, trial.trace(number)) for number, before in traces)
            computations = next((each for each in found if each.before or each.after), computations)
        return comparison.conclude(dtype, first, computations), choice, trial.find_factors()


# More runs than this are not tried: one answer after the other is then chosen by how many modules have equal outputs.
_MOST_RUNS = 64


def _search(
    trial: _Trial, sources: Mapping[str, WeightSource], questions: Sequence[Sequence[Mapping[str, WeightSource]]]
) -> tuple[int, ...]:
    """The answers with which the outputs are equal; else those with which most modules have equal outputs."""
    likeliest = (0,) * len(questions)
    if not questions:
        return likeliest
    if prod(map(len, questions)) <= _MOST_RUNS:
        choices = sorted(product(*(range(len(question)) for question in questions)), key=sum)
        return next((choice for choice in choices if trial.agrees(sources, questions, choice)), likeliest)
    choice = list(likeliest)
    for place, question in enumerate(questions):
        scores = []
        for number in range(len(question)):
            choice[place] = number
            if trial.agrees(sources, questions, choice):
                return tuple(choice)
            scores.append(trial.compare_modules().count_equal() if trial.has_modules else 0)
        choice[place] = scores.index(max(scores))
    return tuple(choice)


class _Trial:
    """The model of after, filled with weights of before, and the outputs that it should have."""

    def __init__(
        self, built: BuiltModel, recorded: Mapping[str, Any], tolerance: float, draws: list[tuple[Any, Any]], modules: dict[str, str]
    ) -> None:
        self._built = built
        self._recorded = recorded
        self._tolerance = tolerance
        self._modules = modules
        self._tensors = dict(name_tensors(built.tree))
        self.draws = draws
        self.has_modules = bool(recorded["modules"])
        self._sources: dict[str, WeightSource] = {}
        self._filled: float | None = None

    def choose(
        self,
        sources: Mapping[str, WeightSource],
        questions: Sequence[Sequence[Mapping[str, WeightSource]]] = (),
        choice: Sequence[int] = (),
    ) -> None:
        """Fills the tensors from these sources of before and those of the answers to the questions."""
        chosen = dict(sources)
        for question, number in zip(questions, choice, strict=True):
            chosen |= question[number]
        self._sources, self._filled = chosen, None

    def run(self, number: int, observer: CallObserver | None = None) -> Outputs:
        """The outputs for one of the draws."""
        self._fill(self._recorded["sizes"][number])
        return self._built.run(self.draws[number], observer)

    def trace(self, number: int) -> list[OperatorRun]:
        """The operators that run for one of the draws."""
        self._fill(self._recorded["sizes"][number])
        return _trace(self._built, self.draws[number])

    def _fill(self, size: float) -> None:
        if size == self._filled:
            return
        vectors = set(self._recorded["vectors"])
        given = {name: value * size if name in vectors else value for name, value in self._recorded["weights"].items()}
        copy_weights(self._tensors, given, self._sources, self._recorded["scales"])
        self._filled = size

    def find_factors(self) -> dict[str, float]:
        """The factor of each merged adapter that is used."""
        recorded = self._recorded
        return {
            name: find_factor(recorded["weights"], source, recorded["scales"])
            for name, source in self._sources.items()
            if isinstance(source, FoldedAdapter)
        }

    def agrees(
        self, sources: Mapping[str, WeightSource], questions: Sequence[Sequence[Mapping[str, WeightSource]]], choice: Sequence[int]
    ) -> bool:
        """Whether the outputs are equal with these answers; weights that a tensor cannot hold are no answer."""
        try:
            self.choose(sources, questions, choice)
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
        for number, outputs in enumerate(recorded["outputs"]):
            comparison.add_trial(outputs, self.run(number), least=LEAST_SMALL if recorded["sizes"][number] < 1 else 1.0)
            if comparison.differs and not all_draws:
                break
        return comparison

    def compare_modules(self) -> ModuleComparison:
        """The outputs of every module compared."""
        by_module = ModuleComparison(self._built.tree, self._recorded["modules"], self._modules, self._tolerance)
        for number, size in enumerate(self._recorded["sizes"]):
            by_module.least = LEAST_SMALL if size < 1 else 1.0
            self.run(number, by_module)
        return by_module
