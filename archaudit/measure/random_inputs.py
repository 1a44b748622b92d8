"""Random values for the inputs of a comparison of outputs, and the casts of weights and inputs to one precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from archaudit.errors import MeasureError
from archaudit.measure.module_tree import ModuleTree
from archaudit.schema import Pair, Recipe, Shape

# Upper bounds of random integers, tried from the largest: the model may use them as indices, and raises where they are too large.
_BOUNDS = (1000, 256, 64, 16, 8, 4, 2)
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
_COMPLEX = {torch.float64: torch.complex128, torch.float32: torch.complex64}


def cast_tensor(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A copy in this real dtype; complex tensors become complex with parts of this dtype, integers stay."""
    return _convert(tensor.detach(), dtype).resolve_conj().clone()


def cast_model(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The model with all real and complex tensors in this precision; `Module.to(dtype)` would drop imaginary parts."""
    model._apply(lambda tensor: _convert(tensor, dtype))
    return model


def _convert(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if tensor.is_complex():
        return tensor.to(_COMPLEX[dtype])
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def list_bounds(tree: ModuleTree, recipe: Recipe) -> list[int]:
    """Upper bounds to try for random integers: first the rows that every embedding table of the model has, then smaller ones.

    One entry where there are no integers to draw: an example of the user keeps its own.
    """
    if not _is_drawn(recipe) or not any(spec.dtype.startswith(("int", "uint")) for spec in recipe.inputs):
        return [1]
    rows = min((module.num_embeddings for module in tree.modules if isinstance(module, nn.Embedding)), default=None)
    return list(_BOUNDS) if rows is None else [rows, *(bound for bound in _BOUNDS if bound < rows)]


def _is_drawn(recipe: Recipe) -> bool:
    """Whether the inputs are only shapes. Inputs with values are examples of the user."""
    return bool(recipe.inputs) and not any(spec.values for spec in recipe.inputs)


def draw_inputs(inputs: Any, recipe: Recipe, bound: int, scale: float, generator: torch.Generator) -> Any:
    """The inputs with random values: floats of size `scale`, integers below `bound`."""
    return map_tensors(inputs, lambda tensor: _draw_values(tensor, recipe, bound, scale, generator))


def _draw_values(tensor: torch.Tensor, recipe: Recipe, bound: int, scale: float, generator: torch.Generator) -> torch.Tensor:
    """Random values for a tensor that was made from a shape. An example of the user gets noise, and keeps its indices and masks."""
    if tensor.is_floating_point() or tensor.is_complex():
        noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        return scale * noise if _is_drawn(recipe) else tensor + 0.1 * noise
    if not _is_drawn(recipe):
        return tensor.clone()
    if tensor.dtype == torch.bool:
        return torch.randint(2, tensor.shape, generator=generator).bool()
    return torch.randint(min(bound, torch.iinfo(tensor.dtype).max), tensor.shape, generator=generator).to(tensor.dtype)


def map_tensors(inputs: Any, function: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The inputs with the function applied to each tensor."""
    return _pytree.tree_map(lambda value: function(value) if isinstance(value, torch.Tensor) else value, inputs)


def list_input_tensors(inputs: Any) -> list[torch.Tensor]:
    """The tensors in the inputs, in order."""
    return [value for value in _pytree.tree_leaves(inputs) if isinstance(value, torch.Tensor)]


def describe_plain_inputs(inputs: Any) -> list[str]:
    """The inputs that are no tensors, as text. Raises MeasureError for an object whose values cannot be drawn."""
    return list(_describe_plain(inputs))


def _describe_plain(inputs: Any) -> Iterator[str]:
    for value in _pytree.tree_leaves(inputs):
        if isinstance(value, torch.Tensor):
            continue
        if not isinstance(value, _PLAIN):
            raise MeasureError(f"an input is of type {type(value).__name__}: its values cannot be drawn")
        yield repr(value)


def replace_tensors(inputs: tuple[Any, Any], given: list[torch.Tensor]) -> Any:
    """The inputs with the given tensors in place of their own. Raises MeasureError where shapes or kinds of dtype differ."""
    found = Pair(given, list_input_tensors(inputs)).map(lambda tensors: [(tuple(tensor.shape), tensor.dtype) for tensor in tensors])
    if found.before != found.after:
        before, after = found.map(_format_inputs)
        raise MeasureError(f"the inputs differ: {before} before, {after} after")
    remaining = iter(given)
    return map_tensors(inputs, lambda tensor: next(remaining))


def _format_inputs(tensors: list[tuple[Shape, torch.dtype]]) -> str:
    parts = [f"{str(dtype).removeprefix('torch.')}[{','.join(map(str, shape))}]" for shape, dtype in tensors]
    return ", ".join(parts) or "no tensor"
