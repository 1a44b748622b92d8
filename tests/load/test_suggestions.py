"""The names of libraries' models, read from their source."""

from __future__ import annotations

from pathlib import Path

import pytest

from archaudit.errors import LoadError
from archaudit.load import load_recipe, parse_reference
from archaudit.load.suggestions import list_library


def test_the_names_of_torchvision_are_those_that_it_lists() -> None:
    models = pytest.importorskip("torchvision.models")
    assert list_library("torchvision") == sorted(models.list_models())


def test_the_names_of_timm_are_those_that_it_lists() -> None:
    timm = pytest.importorskip("timm")
    assert list_library("timm") == sorted(timm.list_models())


def test_a_library_that_is_not_installed_has_no_names() -> None:
    assert list_library("not_installed_here") == []


def test_a_configuration_suggests_the_functions_of_the_file_that_imports_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "__init__.py").write_text("")
    (tmp_path / "net" / "config.py").write_text("LARGE = {'width': 8}\nUNUSED = {}\n")
    (tmp_path / "net" / "model.py").write_text(
        "from torch import nn\nfrom .config import LARGE\n\ndef build_large():\n    return nn.Linear(LARGE['width'], 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    for text, meant in (("net/config.py:LARGE", "net/model.py:build_large"), ("net.config:LARGE", "net.model:build_large")):
        with pytest.raises(LoadError) as error:
            load_recipe(parse_reference(text))
        assert error.value.hint == f"Did you mean {meant}? The file uses LARGE."
    with pytest.raises(LoadError) as error:
        load_recipe(parse_reference("net/config.py:UNUSED"))
    assert "build_large" not in (error.value.hint or "")
