"""Checkouts and cached profiles are in a temporary folder of each test."""

import pytest
from repositories import use_temporary_folders


@pytest.fixture(autouse=True)
def _temporary_folders(tmp_path, monkeypatch):
    use_temporary_folders(tmp_path, monkeypatch)
