"""Builds a model for real in one precision, and runs it on random inputs with weights of several sizes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from archaudit.errors import ArchauditError, MeasureError, describe_error
from archaudit.measure.building import build_real, make_inputs
from archaudit.measure.module_tree import ModuleTree, walk_tree
from archaudit.measure.output_comparison import Outputs, is_finite, list_outputs
from archaudit.measure.process_state import DispatchMode, set_training, without_fusion
from archaudit.measure.random_inputs import cast_model, cast_tensor, draw_inputs, list_bounds, map_tensors
from archaudit.measure.tape.module_calls import CallObserver, observe_calls
from archaudit.measure.weight_copying import scaled
from archaudit.schema import Recipe

SEED = 0


class _Sizes(NamedTuple):
    """The size of random inputs, and the factor on vectors: biases, scales, shifts and tables."""

    inputs: float
    vectors: float


# Each trial shows another kind of constant: large values reach the limits of a clamp, small ones make an eps matter, behind a norm too.
# The sizes of a trial are tried until the outputs are finite.
_USUAL = _Sizes(1.0, 1.0)
_TRIALS = ((_Sizes(10.0, 10.0), _Sizes(10.0, 1.0), _USUAL), (_USUAL,), (_Sizes(1e-3, 1e-3), _USUAL))
# Outputs of a trial with small vectors are small too: the tolerance is relative to at least this value, else to at least 1.
LEAST_SMALL = 1e-3


@dataclass(slots=True)
class BuiltModel:
    """A model that was built for real, with the context and the dtype that it runs in."""

    tree: ModuleTree
    context: Callable[[], AbstractContextManager[Any]]
    dtype: torch.dtype

    def run(self, inputs: tuple[Any, Any], observer: CallObserver | None = None, seed: int = SEED) -> Outputs:
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
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            message = describe_error(error, with_type=False)
            raise MeasureError(f"it raised {type(error).__name__} when it was run in {self.dtype}: {message}") from error
        return list_outputs(result)


def build_with_values(recipe: Recipe, dtype: str) -> tuple[BuiltModel, tuple[Any, Any]]:
    try:
        wanted = getattr(torch, dtype)
        with use_dtype(wanted):  # constants that the constructor computes need the same precision
            model, context = build_real(recipe)
        set_training(model, False)
        model = cast_model(model, wanted)
        with context():
            inputs = make_inputs(recipe, model)
    except ArchauditError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        message = describe_error(error, with_type=False)
        raise MeasureError(f"it raised {type(error).__name__} when it was built for real: {message}") from error
    return BuiltModel(walk_tree(model), context, wanted), map_tensors(inputs, lambda tensor: cast_tensor(tensor, wanted))


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


# --- random inputs ---


def run_on_draws(
    built: BuiltModel, inputs: tuple[Any, Any], recipe: Recipe, generator: torch.Generator, vectors: list[torch.Tensor]
) -> tuple[list[tuple[Any, Any]], list[float], list[Outputs]]:
    """Random inputs, the factors on vectors, and the outputs: with the largest integers that the model takes, and finite outputs."""
    failure: MeasureError | None = None
    for bound in list_bounds(built.tree, recipe):
        found: list[tuple[tuple[Any, Any], float, Outputs]] = []
        try:
            for trial in _TRIALS:
                for size in trial:
                    draw = draw_inputs(inputs, recipe, bound, size.inputs, generator)
                    with scaled(vectors, size.vectors):
                        outputs = built.run(draw)
                    if is_finite(outputs):
                        break
                found.append((draw, size.vectors, outputs))
        except MeasureError as error:
            failure = failure or error
            continue
        return [draw for draw, _, _ in found], [size for _, size, _ in found], [outputs for _, _, outputs in found]
    assert failure is not None
    raise failure
