"""Profiles of models that are alive in the caller's process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.recipe import measure_recipe
from archaudit.schema import Profile, Recipe


def measure_live(model: nn.Module, args: Any = (), kwargs: Mapping[str, Any] | None = None, *, witnesses: bool = False) -> Profile:
    """The profile of `model` run on `args` (one tensor, or a sequence of arguments) and `kwargs`; the model stays as it is."""
    if not isinstance(model, nn.Module):
        raise MeasureError(f"{type(model).__name__} is no nn.Module", "Pass a model, or a reference as text.")
    positional = tuple(args) if isinstance(args, tuple | list) else (args,)
    named = dict(kwargs or {})
    name = type(model).__name__
    recipe = Recipe(name=name, reference=name, build=lambda: model, example_inputs=lambda: (positional, named), instance=True)
    return measure_recipe(recipe, witnesses=witnesses)
