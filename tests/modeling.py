"""Measures a model in tests, from module to profile, without worker processes."""

from collections.abc import Callable
from typing import Any

from torch import nn

from archaudit.measure.recipe import measure_recipe
from archaudit.schema import ModuleRecord, Profile, Recipe


def measure(build: Callable[[], nn.Module], *args: Any, other_counters: bool = False, **kwargs: Any) -> Profile:
    """The profile of the model that `build` returns, run on `args` and `kwargs`: tensors, or functions that create them."""

    def make() -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(arg() if callable(arg) else arg for arg in args), kwargs

    recipe = Recipe(name="toy", reference="toy", build=build, example_inputs=make)
    return measure_recipe(recipe, other_counters=other_counters)


def module(profile: Profile, path: str) -> ModuleRecord:
    """The record of one module."""
    return next(record for record in profile.modules if record.path == path)
