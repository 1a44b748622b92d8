"""Reports to render."""

from __future__ import annotations

import pytest
from render.synthetic import make_incomplete_report, make_segmentation_report

from archaudit.schema import Report


@pytest.fixture
def report() -> Report:
    return make_segmentation_report()


@pytest.fixture
def incomplete_report() -> Report:
    return make_incomplete_report()
