"""A container put around modules, or taken away from around them: what is inside is what it was."""

from __future__ import annotations

from archaudit.align.assignment import align_sequences
from archaudit.align.matching import Found, Matching

# What was wrapped and changed at the same time must still be this much alike, and more so than to the wrapper as a whole.
_INSIDE_THRESHOLD = 0.85
# A container with more children than this is no wrapper of one of them.
_MOST_INSIDE = 8
# At least this share of a container's children were siblings before it was put around them; else they were moved into a new part.
_WRAPPED_SHARE = 0.5
_WRAPPED_CONFIDENCE = 0.95


def find_inside(matching: Matching, one: int, other: int) -> tuple[int, int] | None:
    """The pair that is meant when one of two modules is wrapped in the other: the inner one, and what it was. None if neither is."""
    likeness = matching.similarity.compare(one, other)
    best: tuple[float, int, int] | None = None
    for inner, outer, side in ((one, other, 1), (other, one, 0)):
        children = matching.sides[side].children[outer]
        for child in children if len(children) <= _MOST_INSIDE else ():
            pair = (inner, child) if side == 1 else (child, inner)
            worth = _compare_inside(matching, *pair)
            if worth > likeness and worth >= _INSIDE_THRESHOLD and (best is None or worth > best[0]):
                best = worth, *pair
    return None if best is None else best[1:]


def find_equal_inside(matching: Matching, one: int, other: int) -> tuple[int, int] | None:
    """The same where the inner one did not change: a Sequential around a Sequential, under its name."""
    for child in matching.right.children[other]:
        if matching.are_equal(one, child) and matching.may_match(one, child):
            return one, child
    for child in matching.left.children[one]:
        if matching.are_equal(child, other) and matching.may_match(child, other):
            return child, other
    return None


def _compare_inside(matching: Matching, one: int, other: int) -> float:
    if not matching.may_match(one, other) or matching.left.records[one].type != matching.right.records[other].type:
        return 0.0
    return matching.similarity.compare(one, other)


def match_wrapped(matching: Matching, lefts: list[int], rights: list[int]) -> list[tuple[int, int]]:
    """Matches free siblings of one side with equal children of a free container on the other; returns pairs that are still open."""
    opened: list[tuple[int, int]] = []
    for outers, siblings, side in ((rights, lefts, 1), (lefts, rights, 0)):
        inside = matching.sides[side]
        known = {matching.sides[1 - side].equal[sibling] for sibling in siblings}
        for outer in outers:
            if inside.equal[outer] not in known and any(inside.equal[child] in known for child in inside.children[outer]):
                opened += _match_inside(matching, outer, siblings, side)
    return opened


def _match_inside(matching: Matching, outer: int, siblings: list[int], side: int) -> list[tuple[int, int]]:
    """The siblings that stand in `outer` on the given side, in order."""
    outside, inside = matching.sides[1 - side], matching.sides[side]
    inner = matching.list_free(side, inside.running[outer])
    candidates = matching.list_free(1 - side, siblings)
    keys = [outside.equal[sibling] for sibling in candidates], [inside.equal[child] for child in inner]
    places = align_sequences(*keys, lambda row, column: float(keys[0][row] == keys[1][column]))
    pairs = [(candidates[row], inner[column]) for row, column in places]
    known_again = any(outside.weighty[sibling] for sibling, _ in pairs)
    if not matching.is_free(side, outer) or not known_again or len(pairs) < _WRAPPED_SHARE * len(inside.children[outer]):
        return []
    opened: list[tuple[int, int]] = []
    for sibling, child in pairs:
        pair = (sibling, child) if side == 1 else (child, sibling)
        opened += matching.match_subtrees(*pair, Found("wrapped", _WRAPPED_CONFIDENCE))
    return opened
