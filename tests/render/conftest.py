"""Reports to render, and golden files that change only when asked to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from render.synthetic import make_incomplete_report, make_segmentation_report

from archaudit.schema import Report

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files of rendered reports")


@pytest.fixture
def report() -> Report:
    return make_segmentation_report()


@pytest.fixture
def incomplete_report() -> Report:
    return make_incomplete_report()


@pytest.fixture
def match_golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with the golden file of a name; `--update-golden` writes it instead."""
    # Known only when pytest was given this folder; a run of everything never rewrites.
    update = request.config.getoption("--update-golden", default=False)

    def match(name: str, text: str) -> None:
        path = GOLDEN / name
        if update:
            path.write_bytes(text.encode())
        assert path.read_bytes().decode() == text, f"{name} differs; if that is meant: pytest tests/render --update-golden"

    return match
