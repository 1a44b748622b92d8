"""The share of inputs that two modules have in common."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from archaudit.align.match_anywhere import compare_inputs


def test_the_share_is_of_the_side_with_more_inputs() -> None:
    left, right = SimpleNamespace(inputs={0: [1, 2]}), SimpleNamespace(inputs={0: [11, 12, 13]})
    matching: Any = SimpleNamespace(left=left, right=right, partners=({1: 11, 2: 12}, {11: 1, 12: 2, 13: 3}))
    assert compare_inputs(matching, 0, 0) == 2 / 3
