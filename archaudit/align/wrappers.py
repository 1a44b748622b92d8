"""Modules that were put into a new container, or taken out of a container that is gone."""

from __future__ import annotations

from archaudit.align.assignment import align_sequences
from archaudit.align.matching import LEFT, RIGHT, Basis, Matching

# A module that was wrapped and changed at the same time must still be this similar, and more similar than to the wrapper as a whole.
_INNER_THRESHOLD = 0.85
# A container with more children than this does not wrap one of them.
_MOST_CHILDREN = 8
# At least this share of a wrapper's children were siblings before; else they moved into a new part of the model.
_WRAPPED_SHARE = 0.5
_WRAPPED_CONFIDENCE = 0.95


def find_wrapped_pair(matching: Matching, one: int, other: int) -> tuple[int, int] | None:
    """The inner module with its counterpart, where one of two modules is wrapped in the other; None where neither is."""
    outside = matching.similarity.compare(one, other)
    best: tuple[float, int, int] | None = None
    for inner, outer, side in ((one, other, RIGHT), (other, one, LEFT)):
        children = matching.sides[side].children[outer]
        for child in children if len(children) <= _MOST_CHILDREN else ():
            pair = (inner, child) if side == RIGHT else (child, inner)
            inside = _compare_same_type(matching, *pair)
            if inside > outside and inside >= _INNER_THRESHOLD and (best is None or inside > best[0]):
                best = inside, *pair
    return None if best is None else best[1:]


def find_equal_wrapped_pair(matching: Matching, one: int, other: int) -> tuple[int, int] | None:
    """The same where the inner module is unchanged, as with a Sequential around a Sequential that keeps its name."""
    for child in matching.right.children[other]:
        if matching.are_equal(one, child) and matching.can_match(one, child):
            return one, child
    for child in matching.left.children[one]:
        if matching.are_equal(child, other) and matching.can_match(child, other):
            return child, other
    return None


def _compare_same_type(matching: Matching, one: int, other: int) -> float:
    if not matching.can_match(one, other) or matching.left.records[one].type != matching.right.records[other].type:
        return 0.0
    return matching.similarity.compare(one, other)


def match_wrapped(matching: Matching, lefts: list[int], rights: list[int]) -> list[tuple[int, int]]:
    """Matches free siblings with equal children of a free container on the other side. Returns the pairs whose children are unmatched."""
    open_pairs: list[tuple[int, int]] = []
    for outers, siblings, side in ((rights, lefts, RIGHT), (lefts, rights, LEFT)):
        inside = matching.sides[side]
        known = {matching.sides[1 - side].equal[sibling] for sibling in siblings}
        for outer in outers:
            if inside.equal[outer] not in known and any(inside.equal[child] in known for child in inside.children[outer]):
                open_pairs += _match_children(matching, outer, siblings, side)
    return open_pairs


def _match_children(matching: Matching, outer: int, siblings: list[int], side: int) -> list[tuple[int, int]]:
    """Matches the children of `outer`, a container on `side`, with siblings of the other side, in order."""
    outside, inside = matching.sides[1 - side], matching.sides[side]
    children = matching.list_free(side, inside.ordered_children[outer])
    candidates = matching.list_free(1 - side, siblings)
    keys_outside, keys_inside = [outside.equal[sibling] for sibling in candidates], [inside.equal[child] for child in children]
    places = align_sequences(keys_outside, keys_inside, lambda row, column: float(keys_outside[row] == keys_inside[column]))
    pairs = [(candidates[row], children[column]) for row, column in places]
    identifiable = any(outside.has_matrix[sibling] for sibling, _ in pairs)
    if not matching.is_free(side, outer) or not identifiable or len(pairs) < _WRAPPED_SHARE * len(inside.children[outer]):
        return []
    open_pairs: list[tuple[int, int]] = []
    for sibling, child in pairs:
        pair = (sibling, child) if side == RIGHT else (child, sibling)
        open_pairs += matching.match_subtrees(*pair, Basis("wrapped", _WRAPPED_CONFIDENCE))
    return open_pairs
