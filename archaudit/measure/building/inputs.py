"""The inputs of a model: made from the user's options, or from `example_inputs()` in the model's file."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from archaudit.errors import InputError
from archaudit.measure.tensors import list_tensors_within, shape_of
from archaudit.schema import InputRecord, InputSpec, Recipe
from archaudit.schema.record import escape_surrogates


def make_inputs(recipe: Recipe, model: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments and keyword arguments for one forward pass, on the current default device.

    Raises InputError if the recipe has no inputs and the forward of `model`, which the recipe built, takes arguments.
    """
    if recipe.inputs:
        args = tuple(_make_tensor(spec) for spec in recipe.inputs if spec.name is None)
        return args, {spec.name: _make_tensor(spec) for spec in recipe.inputs if spec.name is not None}
    if recipe.example_inputs is None and recipe.default_inputs is not None:
        return (), recipe.default_inputs(model)
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


def _make_tensor(spec: InputSpec) -> torch.Tensor:
    dtype = getattr(torch, spec.dtype)
    if dtype.is_floating_point or dtype.is_complex:
        return torch.rand(spec.shape, dtype=torch.float32).to(dtype)
    # zero is a valid index, token and class in every model
    return torch.zeros(spec.shape, dtype=dtype)


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
