"""Profiles of models that are alive in the caller's process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.recipe import measure_recipe
from archaudit.schema import InputSpec, Profile, Recipe

# Wrappers that hold the whole model in `module` and add communication, which no count is about; by name, since importing
# torch.distributed for the class would be slow.
_UNWRAPPED = ("DistributedDataParallel",)
# A rank of these holds a share of each parameter: its counts would be neither the model's nor anything else's.
_REFUSED = ("FullyShardedDataParallel", "FSDPModule")


def measure_live(
    model: nn.Module,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    inputs: tuple[InputSpec, ...] = (),
    witnesses: bool = False,
) -> Profile:
    """The profile of `model` run on `args` (one tensor, or a sequence of arguments) and `kwargs`; the model stays as it is.

    `inputs`, where there are any, describe what it is run on instead. A DistributedDataParallel wrapper is taken off, and the profile says
    so; a sharded model is a MeasureError.
    """
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise MeasureError(f"{model.__name__} is a class, not a model", f"Pass an instance: {model.__name__}(...).")
    if not isinstance(model, nn.Module):
        raise MeasureError(f"{type(model).__name__} is no nn.Module", "Pass a model, or a reference as text.")
    model, assumptions = _unwrap(model)
    positional = tuple(args) if isinstance(args, tuple | list) else (args,)
    named = dict(kwargs or {})
    name = type(model).__name__
    recipe = Recipe(
        name=name,
        reference=name,
        inputs=inputs,
        build=lambda: model,
        example_inputs=lambda: (positional, named),
        instance=True,
        assumptions=assumptions,
    )
    return measure_recipe(recipe, witnesses=witnesses)


def _unwrap(model: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    kinds = {kind.__name__ for kind in type(model).__mro__}
    if kinds & set(_REFUSED):
        raise MeasureError(
            f"{type(model).__name__} holds a share of each parameter on this rank", "Measure the model before it is sharded."
        )
    if kinds & set(_UNWRAPPED) and isinstance(model.module, nn.Module):
        return model.module, (f"the wrapper {type(model).__name__} was taken off",)
    return model, ()
