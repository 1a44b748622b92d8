"""Arguments from files: mappings become the dataclasses that a constructor is annotated with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from archaudit.errors import LoadError
from archaudit.load.arg_files import add_arguments
from archaudit.load.reference import parse_reference
from archaudit.load.sources import load_recipe
from archaudit.measure.recipe import measure_recipe

MODELS = """
from dataclasses import dataclass, field
from torch import nn

@dataclass
class Inner:
    depth: int = 1

@dataclass
class Config:
    width: int = 4
    inner: Inner = field(default_factory=Inner)

class Annotated(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(config.width, config.width, bias=False) for _ in range(config.inner.depth))

class Plain(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = nn.Linear(config.width, 2, bias=False)

class Takes(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = nn.Linear(config["width"], 2, bias=False)

class Keywords(nn.Module):
    def __init__(self, width=4, options=None, parts: list[Inner] | None = None):
        super().__init__()
        self.layer = nn.Linear(width, (options or {}).get("out", 3), bias=False)

LARGE = Config(16, Inner(3))

def make_large():
    return {"config": LARGE}
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    return path


def count(models: Path, name: str, arg_file: Path | str) -> int:
    recipe = load_recipe(parse_reference(f"{models}:{name}"), arg_file=str(arg_file))
    return measure_recipe(recipe, params_only=True).totals.params


@pytest.mark.parametrize(
    ("name", "suffix", "text", "params"),
    [
        ("Annotated", "json", '{"width": 8, "inner": {"depth": 2}}', 2 * 8 * 8),
        ("Annotated", "json", '{"config": {"width": 8}}', 8 * 8),
        ("Annotated", "toml", "width = 8\n[inner]\ndepth = 3", 3 * 8 * 8),
        ("Annotated", "yaml", "config:\n  width: 2\n", 2 * 2),
        ("Takes", "json", '{"width": 8}', 8 * 2),
        ("Plain", "json", '{"width": 8}', 8 * 2),
        ("Keywords", "json", '{"width": 8, "options": {"out": 5}}', 8 * 5),
        ("Keywords(width=6)", "json", '{"width": 8, "options": {"out": 5}}', 6 * 5),
    ],
)
def test_a_file_gives_the_arguments_of_a_constructor(models: Path, name: str, suffix: str, text: str, params: int) -> None:
    path = models.parent / f"arguments.{suffix}"
    path.write_text(text)
    assert count(models, name, path) == params


@pytest.mark.parametrize(
    ("name", "attribute", "params"),
    [("Annotated", "LARGE", 3 * 16 * 16), ("Plain", "LARGE", 16 * 2), ("Plain", "make_large", 16 * 2), ("Plain", "Config", 4 * 2)],
)
def test_an_attribute_of_a_python_file_gives_them_too(models: Path, name: str, attribute: str, params: int) -> None:
    assert count(models, name, f"{models}:{attribute}") == params


@pytest.mark.parametrize(
    ("name", "suffix", "text", "message"),
    [
        ("Annotated", "json", "{", "is not JSON"),
        ("Annotated", "json", '{"wide": 8}', "Config has no argument 'wide'"),
        ("Annotated", "ini", "", "is no argument file"),
        ("Keywords", "json", '{"wide": 8}', "has no argument 'wide'"),
        ("Plain", "json", '{"wide": 8}', "the argument file has no 'width'"),
    ],
)
def test_a_fault_in_the_file_is_named(models: Path, name: str, suffix: str, text: str, message: str) -> None:
    path = models.parent / f"arguments.{suffix}"
    path.write_text(text)
    with pytest.raises(Exception, match=message) as raised:
        count(models, name, path)
    assert type(raised.value).__module__ == "archaudit.errors"


def test_a_missing_file_is_named(models: Path) -> None:
    with pytest.raises(LoadError, match=r"none\.json cannot be read"):
        count(models, "Plain", models.parent / "none.json")


@pytest.mark.parametrize("name", ["arguments.yaml", "arguments.yml"])
def test_a_yaml_file_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).write_text("width: 2\n")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(LoadError, match="an argument file in YAML needs PyYAML") as raised:
        add_arguments(parse_reference("nets.py:Net"), str(tmp_path / name))
    assert "pip install 'archaudit[documents]'" in str(raised.value.hint)
