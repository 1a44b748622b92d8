"""The names of libraries' models, read from their source."""

from __future__ import annotations

import pytest

from archaudit.load.suggestions import list_library


def test_the_names_of_torchvision_are_those_that_it_lists() -> None:
    models = pytest.importorskip("torchvision.models")
    assert list_library("torchvision") == sorted(models.list_models())


def test_the_names_of_timm_are_those_that_it_lists() -> None:
    timm = pytest.importorskip("timm")
    assert list_library("timm") == sorted(timm.list_models())


def test_a_library_that_is_not_installed_has_no_names() -> None:
    assert list_library("not_installed_here") == []
