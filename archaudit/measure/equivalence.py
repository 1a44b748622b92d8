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
from torch import nn
from torch.utils import _pytree

from archaudit.errors import ArchauditError, MeasureError
from archaudit.measure.building import build_real, make_inputs
from archaudit.measure.module_tree import ModuleTree, walk_tree
from archaudit.measure.output_comparison import ModuleComparison, OutputComparison, OutputRecorder, Outputs, format_shapes
from archaudit.measure.process_state import DispatchMode, unchanged_globals, without_fusion
from archaudit.measure.tape.module_calls import CallObserver, observe_calls
from archaudit.measure.tensors import iterate_module_tensors, iterate_tensors_in
from archaudit.schema import Equivalence, FoldedNorm, JoinedRows, Pair, Recipe, TensorSource

# The allowed difference, relative to the largest output value (but at least to 1). Sums in another order differ in the last bits: by about
# 1e-13 in float64 after dozens of layers, by 1e-5 in float32. The smallest real change (eps 1e-5 to 1e-6) makes a difference of 1e-6.
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
_TRIALS = 2
_SEED = 0
# Noise that is added to the initial weights: without it, weights that start at zero or one (biases, norms, residual scales) have no effect.
_MATRIX_NOISE, _VECTOR_NOISE = 0.02, 0.1


def record_outputs(recipe: Recipe, path: Path, dtype: str, modules: Iterable[str] = ()) -> None:
    """Builds the model with seeded weights, runs it, and writes weights, inputs, outputs, and the outputs of `modules` to `path`.

    Raises an ArchauditError for a model that cannot be built or run for real, or whose outputs are not finite.
    """
    with unchanged_globals():
        built, inputs = _build(recipe, dtype)
        generator = torch.Generator().manual_seed(_SEED)
        _add_noise(built.tree, generator)
        bound = _find_index_bound(built.tree)
        draws = [_map_tensors(inputs, lambda tensor: _draw_values(tensor, recipe, bound, generator)) for _ in range(_TRIALS)]
        recorder = OutputRecorder(built.tree, set(modules))
        outputs = [built.run(draw, recorder if recorder.paths else None) for draw in draws]
        if not all(bool(torch.isfinite(tensor).all()) for tensors in outputs for tensor in tensors if tensor.is_floating_point()):
            raise MeasureError("its outputs on random inputs are not finite, so they cannot be compared")
        recorded = {
            "weights": {name: tensor.detach() for name, tensor in _name_tensors(built.tree)},
            "inputs": [_list_tensors(draw) for draw in draws],
            "outputs": outputs,
            "modules": dict(recorder.outputs),
        }
        torch.save(recorded, path)


def compare_outputs(
    recipe: Recipe,
    path: Path,
    dtype: str,
    sources: dict[str, TensorSource],
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
        copy_weights(dict(_name_tensors(built.tree)), recorded["weights"], sources)
        comparison = OutputComparison(TOLERANCES[dtype])
        for given, outputs in zip(recorded["inputs"], recorded["outputs"], strict=True):
            comparison.add_trial(outputs, built.run(_replace_tensors(inputs, given)))
        first = None
        if comparison.differs and recorded["modules"]:
            by_module = ModuleComparison(built.tree, recorded["modules"], modules, TOLERANCES[dtype])
            for given in recorded["inputs"]:
                built.run(_replace_tensors(inputs, given), by_module)
            first = by_module.find_first(inputs_from)
        return comparison.conclude(dtype, first)


# --- weights ---


Weights = Mapping[str, torch.Tensor]


def copy_weights(tensors: Weights, given: Weights, sources: Mapping[str, TensorSource]) -> None:
    """Fills each tensor that has a source with the given weights, in place. A tensor without a source keeps its initial values."""
    with torch.no_grad():
        for name, tensor in tensors.items():
            source = sources.get(name)
            if source is not None:
                value = _join_rows(given, source) if isinstance(source, JoinedRows) else _fold_norm(given, source)
                tensor.copy_(value.reshape(tensor.shape))


def _join_rows(given: Weights, source: JoinedRows) -> torch.Tensor:
    tensors = [given[name] for name in source.tensors]
    if source.transposed:
        return tensors[0].t()
    if len(tensors) == 1 and source.stop is None:  # a scalar has no rows
        return tensors[0]
    grouped = torch.cat([tensor.unflatten(0, (source.groups, -1)) for tensor in tensors], 1)
    return grouped[:, source.start : source.stop].flatten(0, 1)


def _fold_norm(given: Weights, source: FoldedNorm) -> torch.Tensor:
    """`norm(layer(x)) = scale * (weight @ x + bias - mean) + shift`, with `scale = gamma / sqrt(var + eps)`."""
    mean, variance = given[f"{source.norm}.running_mean"], given[f"{source.norm}.running_var"]
    gamma, shift = given.get(f"{source.norm}.weight"), given.get(f"{source.norm}.bias")
    scale = torch.rsqrt(variance + source.eps) if gamma is None else gamma * torch.rsqrt(variance + source.eps)
    if source.weight is not None:
        weight = given[source.weight]
        return weight * scale.reshape([-1 if place == source.outputs else 1 for place in range(weight.dim())])
    bias = -mean if source.bias is None else given[source.bias] - mean
    return bias * scale if shift is None else bias * scale + shift


def _name_tensors(tree: ModuleTree) -> Iterator[tuple[str, torch.Tensor]]:
    for module, path in zip(tree.modules, tree.paths, strict=True):
        for name, tensor, _, _ in iterate_module_tensors(module):
            yield (f"{path}.{name}" if path else name), tensor


def _add_noise(tree: ModuleTree, generator: torch.Generator) -> None:
    seen: set[int] = set()
    with torch.no_grad():
        for name, tensor in _name_tensors(tree):
            if id(tensor) in seen or not tensor.is_floating_point():
                continue
            seen.add(id(tensor))
            last = name.rpartition(".")[2]
            if isinstance(tensor, nn.Parameter) or last == "running_mean":
                noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
                tensor.add_(noise.mul_(_MATRIX_NOISE if tensor.dim() > 1 else _VECTOR_NOISE).to(tensor.dtype))
            elif last == "running_var":
                tensor.mul_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64).add_(0.5).to(tensor.dtype))


# --- building and running ---


@dataclass(slots=True)
class _BuiltModel:
    """A model that was built for real, with the context and the dtype that it runs in."""

    tree: ModuleTree
    context: Callable[[], AbstractContextManager[Any]]
    dtype: torch.dtype

    def run(self, inputs: tuple[Any, Any], observer: CallObserver | None = None) -> Outputs:
        """The output tensors of one seeded eval-mode pass."""
        args, kwargs = copy.deepcopy(inputs)
        try:
            with self.context(), without_fusion(), torch.no_grad(), use_dtype(self.dtype):
                if observer is None:
                    result = self.tree.modules[0](*args, **kwargs)
                else:
                    with observe_calls(self.tree, observer):
                        result = self.tree.modules[0](*args, **kwargs)
        except (Exception, SystemExit) as error:
            raise MeasureError(f"it raised {type(error).__name__} when it was run in {self.dtype}: {error}") from error
        return [tensor.detach() for tensor in iterate_tensors_in(result)]


def _build(recipe: Recipe, dtype: str) -> tuple[_BuiltModel, tuple[Any, Any]]:
    try:
        wanted = getattr(torch, dtype)
        with use_dtype(wanted):  # constants that the constructor computes need the same precision
            model, context = build_real(recipe)
        model = model.eval().to(wanted)
        with context():
            inputs = make_inputs(recipe, model)
    except ArchauditError:
        raise
    except (Exception, SystemExit) as error:
        raise MeasureError(f"it raised {type(error).__name__} when it was built for real: {error}") from error
    return _BuiltModel(walk_tree(model), context, wanted), _map_tensors(inputs, lambda tensor: _cast(tensor, wanted))


def _cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.detach().to(dtype) if tensor.is_floating_point() else tensor.detach().clone()


_SHORTER = frozenset({torch.float32, torch.float16, torch.bfloat16})


class _ForceFloat64(DispatchMode):
    """Uses float64 wherever the model requests a shorter float (`.float()`, `softmax(dtype=torch.float32)`).

    Two ports of a model may round in different places; that is no difference between the models.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in _SHORTER:
            kwargs["dtype"] = torch.float64
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


# --- inputs ---


def _find_index_bound(tree: ModuleTree) -> int:
    """The upper bound of random indices: every embedding table of the model has at least this many rows."""
    return min((module.num_embeddings for module in tree.modules if isinstance(module, nn.Embedding)), default=1)


def _draw_values(tensor: torch.Tensor, recipe: Recipe, bound: int, generator: torch.Generator) -> torch.Tensor:
    """Random values for a tensor that was made from a shape. An example of the user gets noise, and keeps its indices and masks."""
    if tensor.is_floating_point():
        noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        return noise if recipe.inputs else tensor + 0.1 * noise
    if recipe.inputs and tensor.dtype in (torch.int32, torch.int64):
        return torch.randint(bound, tensor.shape, generator=generator, dtype=tensor.dtype)
    return tensor.clone()


def _map_tensors(inputs: Any, function: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    return _pytree.tree_map(lambda value: function(value) if isinstance(value, torch.Tensor) else value, inputs)


def _list_tensors(inputs: Any) -> Outputs:
    return [value for value in _pytree.tree_leaves(inputs) if isinstance(value, torch.Tensor)]


def _replace_tensors(inputs: tuple[Any, Any], given: Outputs) -> Any:
    """The inputs with the given tensors in place of their own."""
    shapes = Pair(given, _list_tensors(inputs)).map(format_shapes)
    if shapes.before != shapes.after:
        raise MeasureError(f"the input shapes differ: {shapes.before} before, {shapes.after} after")
    remaining = iter(given)
    return _map_tensors(inputs, lambda tensor: next(remaining))
