"""The inputs of a model: made from the user's options, or from `example_inputs()` in the model's file."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from torch import nn
from torch.utils._pytree import tree_map

from archaudit.errors import InputError
from archaudit.measure.module_tree import walk_tree
from archaudit.measure.tensors import list_tensors_within, shape_of
from archaudit.schema import InputRecord, InputSpec, Recipe, Shape
from archaudit.schema.record import escape_surrogates


def make_inputs(recipe: Recipe, model: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments and keyword arguments for one forward pass, on the current default device.

    Raises InputError if the recipe has no inputs and the forward of `model`, which the recipe built, takes arguments.
    """
    given, named = _find_inputs(recipe, model)
    rows = _list_rows(model)
    args = tuple(_make_tensor(value, rows) if isinstance(value, InputSpec) else value for value in given)
    kwargs = {name: _make_tensor(value, rows) if isinstance(value, InputSpec) else value for name, value in named.items()}
    return _cast_inputs((args, kwargs), recipe.dtype) if recipe.dtype is not None else (args, kwargs)


def _find_inputs(recipe: Recipe, model: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments, in which an InputSpec can be in place of a tensor."""
    if recipe.inputs:
        return tuple(spec for spec in recipe.inputs if spec.name is None), {
            spec.name: spec for spec in recipe.inputs if spec.name is not None
        }
    if recipe.example_inputs is None and recipe.default_inputs is not None:
        made = recipe.default_inputs(model)
        if made is not None:
            return (), made
    if recipe.example_inputs is None:
        if _takes_no_arguments(model):
            return (), {}
        raise InputError(
            f"{recipe.reference} does not say what input it takes",
            "Give one: --input 1x3x224x224, or --input ids=int64[1,128]; or write example_inputs() in the model's file.",
        )
    return _split_arguments(recipe.example_inputs(), recipe.reference)


def _takes_no_arguments(model: nn.Module) -> bool:
    """Whether forward has no arguments at all. If it has only optional ones, a run without them would be a guess."""
    try:
        return not inspect.signature(model.forward).parameters
    except (TypeError, ValueError):  # a compiled forward, or one with a broken signature
        return False


def _split_arguments(given: Any, reference: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], tuple | list) and isinstance(given[1], Mapping):
        return tuple(given[0]), dict(given[1])
    if isinstance(given, Mapping):
        return (), dict(given)
    if isinstance(given, tuple | list):
        return tuple(given), {}
    if isinstance(given, torch.Tensor):
        return (given,), {}
    raise InputError(
        f"example_inputs() of {reference} returned {type(given).__name__}",
        "It has to return a tensor, a tuple of arguments, a dict of keyword arguments, or (args, kwargs).",
    )


# --- making tensors ---


# The values of integers are the same each time: a router then sends tokens to the same experts before and after a change.
_SEED = 0
# Without values there is no memory for a larger input: models that are run so may be of any size.
_MOST_DRAWN = 1 << 20
# Integers that are no indices of tokens: types of tokens, and positions.
_NOT_TOKENS = ("type", "position", "segment")


def _make_tensor(spec: InputSpec, rows: int) -> torch.Tensor:
    """The tensor of a spec. Without values: floats are random, and so are integers, below the `rows` of the model's embedding table.

    Zero is a valid index, class and type in every model: integers are zeros without a table, and so are booleans, types and positions.
    An integer mask is ones.
    """
    dtype = getattr(torch, spec.dtype)
    if spec.values:
        return _make_values(spec, dtype)
    if dtype.is_floating_point or dtype.is_complex:
        return torch.rand(spec.shape, dtype=torch.float32).to(dtype)
    name = (spec.name or "").lower()
    if dtype is torch.bool or any(part in name for part in _NOT_TOKENS):
        return torch.zeros(spec.shape, dtype=dtype)
    if "mask" in name:
        return torch.ones(spec.shape, dtype=dtype)
    return _draw_integers(0, max(1, min(rows, torch.iinfo(dtype).max)), spec.shape, dtype)


def _make_values(spec: InputSpec, dtype: torch.dtype) -> torch.Tensor:
    function, _, rest = spec.values.partition("(")
    numbers = [float(each) for each in rest.rstrip(")").split(",") if each]
    if function == "randint":
        return _draw_integers(int(numbers[0]), int(numbers[1]), spec.shape, dtype)
    if function == "arange":
        return torch.arange(math.prod(spec.shape)).reshape(spec.shape).to(dtype)
    if function in ("rand", "randn"):
        return getattr(torch, function)(spec.shape, dtype=torch.float32).to(dtype)  # type: ignore[no-any-return]
    return torch.full(spec.shape, {"zeros": 0.0, "ones": 1.0}.get(function, numbers[0] if numbers else 0.0)).to(dtype)


def _draw_integers(low: int, high: int, shape: Shape, dtype: torch.dtype) -> torch.Tensor:
    if math.prod(shape) > _MOST_DRAWN and torch.get_default_device().type == "meta":
        return torch.empty(shape, dtype=dtype)
    generator = torch.Generator().manual_seed(_SEED)
    return torch.randint(low, high, shape, generator=generator, device="cpu").to(dtype)


def _list_rows(model: nn.Module) -> int:
    """The rows of the largest embedding table, that of the tokens; 1 without a table."""
    tables = [module.num_embeddings for module in walk_tree(model).modules if isinstance(module, nn.Embedding)]
    return max(tables, default=1)


def _cast_inputs(given: tuple[tuple[Any, ...], dict[str, Any]], dtype: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    target = getattr(torch, dtype)
    args, kwargs = tree_map(lambda leaf: leaf.to(target) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() else leaf, given)
    return args, kwargs


def describe_inputs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[InputRecord, ...]:
    """Every input tensor with its position or keyword (`0`, `mask`, or `1.0` for the first tensor in the list or cache at position 1).

    Call it before the forward pass, which may write into a cache.
    """
    records: list[InputRecord] = []
    seen: set[int] = set()
    for name, value in [*((str(number), value) for number, value in enumerate(args)), *kwargs.items()]:
        tensors = list_tensors_within(value, seen)
        for number, tensor in enumerate(tensors):
            label = name if isinstance(value, torch.Tensor) else f"{name}.{number}"
            records.append(
                InputRecord(name=escape_surrogates(label), dtype=str(tensor.dtype).removeprefix("torch."), shape=shape_of(tensor))
            )
    return tuple(records)


def set_batch(recipe: Recipe, batch: int) -> Recipe:
    """The recipe with the first dimension of every input tensor set to `batch`; a scalar stays one."""
    make = recipe.example_inputs

    def make_batched() -> Any:
        assert make is not None
        return tree_map(lambda leaf: _resize(leaf, batch), make())

    make_default = recipe.default_inputs

    def make_batched_default(model: Any) -> dict[str, Any] | None:
        assert make_default is not None
        made: dict[str, Any] | None = tree_map(lambda leaf: _resize(leaf, batch), make_default(model))
        return made

    assumption = f"the batch size was set to {batch}; the inputs that the model defines may have another"
    return msgspec.structs.replace(
        recipe,
        inputs=tuple(_resize(spec, batch) for spec in recipe.inputs),
        example_inputs=make_batched if make is not None else None,
        default_inputs=make_batched_default if make_default is not None else None,
        assumptions=(*recipe.assumptions, assumption),
    )


def _resize(leaf: Any, batch: int) -> Any:
    """The tensor with `batch` entries: repeated, then cut."""
    if isinstance(leaf, InputSpec):
        return msgspec.structs.replace(leaf, shape=(batch, *leaf.shape[1:])) if leaf.shape else leaf
    if not isinstance(leaf, torch.Tensor) or not leaf.dim() or not leaf.shape[0]:
        return leaf
    repeats = -(-batch // leaf.shape[0])
    return leaf.repeat(repeats, *[1] * (leaf.dim() - 1))[:batch].contiguous()
