"""Runs two models for real with the same weights and inputs: do they compute the same, and if not, which module differs first?

The weights of the first model are copied into the second: as they are, transposed, joined, split, or with a norm folded in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from archaudit.errors import ArchauditError, MeasureError
from archaudit.measure.building import build_real, make_inputs
from archaudit.measure.module_tree import ModuleTree, walk_tree
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
from archaudit.measure.weight_copying import add_noise, copy_weights, name_tensors, read_scales
from archaudit.schema import Equivalence, Recipe, WeightSource

# The allowed difference, relative to the largest output value (but at least to 1). Sums in another order differ in the last bits: by about
# 1e-13 in float64 after dozens of layers, by 1e-5 in float32. The smallest real change (eps 1e-5 to 1e-6) makes a difference of 1e-6.
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
# The inputs of the first trial are of this size, those of the others of size 1: only large values reach the limits of a clamp.
_LARGE = 10.0
_TRIALS = 2
_SEED = 0


def record_outputs(recipe: Recipe, path: Path, dtype: str, modules: Iterable[str] = ()) -> None:
    """Builds the model with seeded weights, runs it, and writes weights, inputs, outputs, and the outputs of `modules` to `path`.

    Raises an ArchauditError for a model that cannot be built or run for real, or whose outputs are not finite.
    """
    with unchanged_globals():
        built, inputs = _build(recipe, dtype)
        plain = describe_plain_inputs(inputs)
        generator = torch.Generator().manual_seed(_SEED)
        add_noise(built.tree, generator)
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
            "random": _is_random(built, draws[0], outputs[0]),
        }
        torch.save(recorded, path)


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
    sources: dict[str, WeightSource],
    modules: dict[str, str],
    inputs_from: Mapping[str, Iterable[str]],
) -> Equivalence:
    """Builds the model, fills it with the weights that `record_outputs` wrote to `path`, runs it on the same inputs, compares outputs.

    `sources` says which recorded weights fill each tensor. `modules` maps paths of this model to matched paths of the recorded one, and
    `inputs_from` has the modules whose output is the input of each module: both serve to find the first module whose output differs.
    """
    with unchanged_globals():
        recorded = torch.load(path, weights_only=True)
        built, inputs = _build(recipe, dtype)
        plain = describe_plain_inputs(inputs)
        if plain != recorded["plain"]:
            raise MeasureError(f"the inputs that are no tensors differ: {recorded['plain']} before, {plain} after")
        tensors = dict(name_tensors(built.tree))
        copy_weights(tensors, recorded["weights"], sources, recorded["scales"])
        values = [*recorded["weights"].values(), *tensors.values(), *(tensor for given in recorded["inputs"] for tensor in given)]
        exact = not any(value.is_floating_point() or value.is_complex() for value in values)
        comparison = OutputComparison(TOLERANCES[dtype], exact)
        draws = [replace_tensors(inputs, given) for given in recorded["inputs"]]
        for draw, outputs in zip(draws, recorded["outputs"], strict=True):
            comparison.add_trial(outputs, built.run(draw))
        if comparison.differs and (recorded["random"] or _is_random(built, draws[0], built.run(draws[0]))):
            raise MeasureError("the outputs depend on random numbers that forward draws, so different outputs prove nothing")
        first = None
        if comparison.differs and recorded["modules"]:
            by_module = ModuleComparison(built.tree, recorded["modules"], modules, TOLERANCES[dtype])
            for draw in draws:
                built.run(draw, by_module)
            first = by_module.find_first(inputs_from)
        return comparison.conclude(dtype, first)


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
