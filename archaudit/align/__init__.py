"""Which module after is which module before. One file for each way of matching; this one says in which order they are asked.

Every module of each side stands in exactly one match, so whatever is computed row by row adds up to the whole.
"""

from __future__ import annotations

from archaudit.align.by_path import match_by_path
from archaudit.align.order import order_matches
from archaudit.schema import Match, Profile

__all__ = ["align"]


def align(before: Profile, after: Profile) -> tuple[Match, ...]:
    """One-to-one matches over every module of both sides, in an order that reads well; what has no partner is removed or added."""
    pairs = match_by_path(before, after)
    return order_matches(before, after, pairs + _leftovers(before, after, pairs))


def _leftovers(before: Profile, after: Profile, pairs: list[Match]) -> list[Match]:
    matched_before = {pair.before_path for pair in pairs}
    matched_after = {pair.after_path for pair in pairs}
    removed = [
        Match(before_path=module.path, after_path=None, confidence=1.0, reason="no counterpart after")
        for module in before.modules
        if module.path not in matched_before
    ]
    added = [
        Match(before_path=None, after_path=module.path, confidence=1.0, reason="no counterpart before")
        for module in after.modules
        if module.path not in matched_after
    ]
    return removed + added
