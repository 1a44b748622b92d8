"""Weights of one model put into another: copied, joined, taken apart, or with a norm folded in."""

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
from archaudit.measure.dispatch import DispatchMode
from archaudit.measure.equivalence.comparison import Comparison, Judge, Outputs, Watcher
from archaudit.measure.process_state import unchanged_globals
from archaudit.measure.structure.params import iterate_tensors
from archaudit.measure.structure.tensors import iterate_tensors_in, shape_of
from archaudit.measure.structure.tree import ModuleTree, walk_tree
from archaudit.measure.tape import plain_paths
from archaudit.measure.tape.frames import follow_calls
from archaudit.schema import Equivalence, FoldedNorm, JoinedRows, Recipe, TensorSource

Weights = Mapping[str, torch.Tensor]


def take_weights(tensors: Weights, given: Weights, sources: Mapping[str, TensorSource]) -> None:
    """Fills each of the tensors that has a source from the given weights, in place; what has none is left as it was built."""
    with torch.no_grad():
        for name, tensor in tensors.items():
            source = sources.get(name)
            if source is not None:
                value = _join_rows(given, source) if isinstance(source, JoinedRows) else _fold_norm(given, source)
                tensor.copy_(value.reshape(tensor.shape))


def _join_rows(given: Weights, source: JoinedRows) -> torch.Tensor:
    tensors = [given[name] for name in source.tensors]
    if source.turned:
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


# --- models that compute a part in shorter floats, run in doubles all the same: where a port rounds is no difference between two models ---


_SHORTER = frozenset({torch.float32, torch.float16, torch.bfloat16})


class _Widened(DispatchMode):
    """Gives doubles wherever an operator is asked for shorter floats by name (`.float()`, `softmax(dtype=torch.float32)`)."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in _SHORTER:
            kwargs["dtype"] = torch.float64
        return func(*args, **kwargs)


@contextmanager
def widened(dtype: torch.dtype) -> Iterator[None]:
    """While open, floats are of `dtype` unless told otherwise, and doubles always where `dtype` is that."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        if dtype == torch.float64:
            with _Widened():
                yield
        else:
            yield
    finally:
        torch.set_default_dtype(before)


# --- proof of a refactoring: two models with the same weights, run for real on the same random inputs, give the same ---


# Differences allowed, relative to the largest output (but at least to one). Sums in another order differ by the last few bits: about
# 1e-13 in doubles after dozens of layers, 1e-5 in floats. The smallest change worth the name (eps 1e-5 to 1e-6) makes a difference of 1e-6.
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
_TRIALS = 2
_SEED = 0
# Added to what the constructor left, so that weights that start at zero or one (biases, norms, scales of residual branches) take part.
_MATRIX_NOISE, _VECTOR_NOISE = 0.02, 0.1


@dataclass(slots=True)
class _Stage:
    """A model that was built for real, ready to run: `draws` are its inputs, one for each trial."""

    tree: ModuleTree
    context: Callable[[], AbstractContextManager[Any]]
    dtype: torch.dtype

    def run(self, inputs: tuple[Any, Any], observer: Any = None) -> Outputs:
        """The tensors that one seeded eval-mode pass gives."""
        args, kwargs = copy.deepcopy(inputs)
        try:
            with self.context(), plain_paths(), torch.no_grad(), widened(self.dtype):
                if observer is None:
                    result = self.tree.modules[0](*args, **kwargs)
                else:
                    with follow_calls(self.tree, observer):
                        result = self.tree.modules[0](*args, **kwargs)
        except (Exception, SystemExit) as error:
            raise MeasureError(f"it raised {type(error).__name__} when it was run in {self.dtype}: {error}") from error
        return [tensor.detach() for tensor in iterate_tensors_in(result)]


def exhibit_model(recipe: Recipe, path: Path, dtype: str, modules: Iterable[str] = ()) -> None:
    """Builds the model with seeded weights, runs it, and writes weights, inputs and outputs to `path`; those of `modules` too.

    Raises an ArchauditError for a model that cannot be built or run for real, or whose outputs are not finite.
    """
    with unchanged_globals():
        stage, inputs = _prepare(recipe, dtype)
        generator = torch.Generator().manual_seed(_SEED)
        _disturb_weights(stage.tree, generator)
        bound = _find_index_bound(stage.tree)
        draws = [_map_tensors(inputs, lambda tensor: _draw(tensor, recipe, bound, generator)) for _ in range(_TRIALS)]
        watcher = Watcher(stage.tree, set(modules))
        outputs = [stage.run(draw, watcher if watcher.paths else None) for draw in draws]
        if not all(bool(torch.isfinite(tensor).all()) for tensors in outputs for tensor in tensors if tensor.is_floating_point()):
            raise MeasureError("its outputs on random inputs are not finite, which proves nothing")
        shown = {
            "weights": {name: tensor.detach() for name, tensor in _name_tensors(stage.tree)},
            "inputs": [_list_tensors(draw) for draw in draws],
            "outputs": outputs,
            "modules": dict(watcher.seen),
        }
        torch.save(shown, path)


def imitate_model(
    recipe: Recipe,
    path: Path,
    dtype: str,
    sources: dict[str, TensorSource],
    modules: dict[str, str],
    feeders: Mapping[str, Iterable[str]],
) -> Equivalence:
    """Builds the model, takes the weights at `path` over as `sources` say, runs it on the same inputs and compares.

    `modules` are its modules to those before, for telling the first whose output differs, `feeders` those whose output each one reads.
    """
    with unchanged_globals():
        shown = torch.load(path, weights_only=True)
        stage, inputs = _prepare(recipe, dtype)
        take_weights(dict(_name_tensors(stage.tree)), shown["weights"], sources)
        comparison = Comparison(TOLERANCES[dtype])
        for given, outputs in zip(shown["inputs"], shown["outputs"], strict=True):
            comparison.compare(outputs, stage.run(_give(inputs, given)))
        first = None
        if comparison.differs and shown["modules"]:
            first = _judge_modules(stage, inputs, shown, modules).find_first(feeders)
        return comparison.conclude(dtype, first)


# --- building, weights, inputs ----------------------------------------------------------------------------------------


def _prepare(recipe: Recipe, dtype: str) -> tuple[_Stage, tuple[Any, Any]]:
    try:
        wanted = getattr(torch, dtype)
        with widened(wanted):  # constants that the constructor computes are as exact as the rest
            model, context = build_real(recipe)
        model = model.eval().to(wanted)
        with context():
            inputs = make_inputs(recipe, model)
    except ArchauditError:
        raise
    except (Exception, SystemExit) as error:
        raise MeasureError(f"it raised {type(error).__name__} when it was built for real: {error}") from error
    return _Stage(walk_tree(model), context, wanted), _map_tensors(inputs, lambda tensor: _cast(tensor, wanted))


def _cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.detach().to(dtype) if tensor.is_floating_point() else tensor.detach().clone()


def _name_tensors(tree: ModuleTree) -> Iterator[tuple[str, torch.Tensor]]:
    for module, path in zip(tree.modules, tree.paths, strict=True):
        for name, tensor, _, _ in iterate_tensors(module):
            yield (f"{path}.{name}" if path else name), tensor


def _disturb_weights(tree: ModuleTree, generator: torch.Generator) -> None:
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


def _find_index_bound(tree: ModuleTree) -> int:
    """What indices may be drawn from: every table of the model has this many rows."""
    return min((module.num_embeddings for module in tree.modules if isinstance(module, nn.Embedding)), default=1)


def _draw(tensor: torch.Tensor, recipe: Recipe, bound: int, generator: torch.Generator) -> torch.Tensor:
    """Random values in place of what stands for any; noise on an example of the user's, whose indices and masks are left as they are."""
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


def _give(inputs: tuple[Any, Any], given: Outputs) -> Any:
    """The inputs with the given tensors in place of their own."""
    own = _list_tensors(inputs)
    if [shape_of(tensor) for tensor in own] != [shape_of(tensor) for tensor in given]:
        shapes = [", ".join("x".join(map(str, shape_of(tensor))) for tensor in tensors) for tensors in (given, own)]
        raise MeasureError(f"the two take other inputs: {shapes[0]} before, {shapes[1]} after")
    remaining = iter(given)
    return _map_tensors(inputs, lambda tensor: next(remaining))


def _judge_modules(stage: _Stage, inputs: tuple[Any, Any], shown: dict[str, Any], modules: dict[str, str]) -> Judge:
    judge = Judge(stage.tree, shown["modules"], modules, TOLERANCES[str(stage.dtype).removeprefix("torch.")])
    for given in shown["inputs"]:
        stage.run(_give(inputs, given), judge)
    return judge
