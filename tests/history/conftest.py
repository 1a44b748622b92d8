"""Checkouts and kept profiles in a folder of the test's own."""

import pytest


@pytest.fixture(autouse=True)
def _aside(tmp_path, monkeypatch):
    (tmp_path / "aside").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "aside"))
    monkeypatch.setenv("ARCHAUDIT_CACHE", str(tmp_path / "cache"))
    from archaudit.revisions import git

    git._open_repository.cache_clear()
