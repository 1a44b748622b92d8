"""The tensors that a model is run on, made from what the user asked for or what the model's own file offers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from archaudit.errors import InputError
from archaudit.measure.structure.tensors import iterate_tensors_in, shape_of
from archaudit.schema import InputRecord, InputSpec, Recipe


def make_inputs(recipe: Recipe, model: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments and keyword arguments for one forward pass, on the device that is the default when this is called.

    Raises InputError where nobody says what they are and `model`, which the recipe built, takes some.
    """
    if recipe.inputs:
        args = tuple(_make_tensor(spec) for spec in recipe.inputs if spec.name is None)
        return args, {spec.name: _make_tensor(spec) for spec in recipe.inputs if spec.name is not None}
    if recipe.example_inputs is None:
        if _takes_nothing(model):
            return (), {}
        raise InputError(
            f"{recipe.reference} does not say what input it takes",
            "Give one: --input 1x3x224x224, or --input ids=int64[1,128]; or write example_inputs() in the model's file.",
        )
    return _split(recipe.example_inputs(), recipe.reference)


def _takes_nothing(model: nn.Module) -> bool:
    """Whether forward has no arguments at all: what is left out of optional ones would be a guess."""
    try:
        return not inspect.signature(model.forward).parameters
    except (TypeError, ValueError):  # a forward that is compiled, or whose signature is made up
        return False


def _split(given: Any, reference: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
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
        "It should return a tensor, a tuple of arguments, a dict of keyword arguments, or (args, kwargs).",
    )


def _make_tensor(spec: InputSpec) -> torch.Tensor:
    dtype = getattr(torch, spec.dtype)
    if dtype.is_floating_point or dtype.is_complex:
        return torch.rand(spec.shape, dtype=torch.float32).to(dtype)
    # zero is a valid index, token and class for every model
    return torch.zeros(spec.shape, dtype=dtype)


def describe_inputs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[InputRecord, ...]:
    """Every input tensor with the position or keyword that it was passed as (`0`, `mask`, `1.0` for the first in a list)."""
    records = []
    for name, value in [*((str(number), value) for number, value in enumerate(args)), *kwargs.items()]:
        tensors = list(iterate_tensors_in(value))
        for number, tensor in enumerate(tensors):
            label = name if isinstance(value, torch.Tensor) else f"{name}.{number}"
            records.append(InputRecord(name=label, dtype=str(tensor.dtype).removeprefix("torch."), shape=shape_of(tensor)))
    return tuple(records)
