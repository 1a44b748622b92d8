"""Profiles for claims, each measured once, in this process; and a document on disk with a pair of saved profiles."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from archaudit.schema import Profile, encode, strip_provenance

ProfileOf = Callable[[str], Profile]


@cache
def measure(name: str) -> Profile:
    """The profile of `before`, `after`, or one of torchvision's models."""
    from archaudit.config import load_example_config
    from archaudit.load import load_recipe, parse_reference
    from archaudit.load.inputs import parse_inputs
    from archaudit.measure.recipe import measure_recipe

    models = load_example_config().models
    if name in models:
        recipe = load_recipe(parse_reference(models[name].reference), parse_inputs(models[name].inputs), name)
    else:
        recipe = load_recipe(parse_reference(f"torchvision:{name}"), (), name)
    return measure_recipe(recipe, other_counters=False)


@pytest.fixture(scope="session")
def profile_of() -> ProfileOf:
    return measure


@pytest.fixture(scope="session")
def saved_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The example's two sides as saved profiles: judging by them runs no model."""
    folder = tmp_path_factory.mktemp("profiles")
    for name in ("before", "after"):
        (folder / f"{name}.json").write_bytes(encode(strip_provenance(measure(name))))
    return str(folder / "before.json"), str(folder / "after.json")


@pytest.fixture
def notes(tmp_path: Path) -> Callable[..., Path]:
    """Writes a document and its file of claims."""

    def write(text: str, claims: str = "", name: str = "NOTES.md") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        if claims:
            (tmp_path / f"{name}.claims.toml").write_text(claims, encoding="utf-8")
        return path

    return write
