"""Checkouts and kept profiles in a folder of the test's own."""

import pytest
from repositories import keep_aside


@pytest.fixture(autouse=True)
def _aside(tmp_path, monkeypatch):
    keep_aside(tmp_path, monkeypatch)
