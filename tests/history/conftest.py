"""Checkouts and cached profiles are in a temporary folder of each test."""

import pytest
from repositories import keep_aside


@pytest.fixture(autouse=True)
def _aside(tmp_path, monkeypatch):
    keep_aside(tmp_path, monkeypatch)
