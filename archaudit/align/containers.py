"""Containers that were found under no matched parent: what is in them turned up together elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict

from archaudit.align.by_place import match_downwards
from archaudit.align.families import compare_containers
from archaudit.align.matching import Found, Matching
from archaudit.align.side import NOWHERE, Side

# The share of children, or of layers inside, that two containers must have in common to be one container changed.
_THRESHOLD = 0.5
# That two containers hold the same says less than that their children are each other's.
_MOST = 0.9


def match_containers(matching: Matching) -> None:
    """Free containers most of whose children are each other's, the deepest first; then the rest of their children."""
    left, right = matching.left, matching.right
    for one in reversed(left.walk):
        if not left.children[one] or not matching.is_free(0, one):
            continue
        partners = [matching.partners[0][child] for child in left.children[one] if child in matching.partners[0]]
        parents = {right.parents[partner] for partner in partners} - {NOWHERE}
        shares = {parent: _share_children(matching, one, parent) for parent in parents if matching.may_match(one, parent)}
        best = min(shares, key=lambda parent: (-shares[parent], right.firsts[parent], parent), default=NOWHERE)
        if best != NOWHERE and shares[best] >= _THRESHOLD:
            matching.match(one, best, Found("children", shares[best]))
            match_downwards(matching, [(one, best)])


def _share_children(matching: Matching, one: int, other: int) -> float:
    """The share of children in common: of those that hold tensors, since of dropouts and activations every author has his own number."""
    sides = zip(matching.sides, (one, other), strict=True)
    holding = [[child for child in side.children[module] if side.holding[child]] for side, module in sides]
    if not all(holding):
        holding = [matching.left.children[one], matching.right.children[other]]
    within = set(holding[1])
    common = sum(matching.partners[0].get(child) in within for child in holding[0])
    return 2 * common / (len(holding[0]) + len(holding[1]))


def match_holders(matching: Matching) -> None:
    """Free containers most of whose layers are each other's, however deep they lie: those that have most in common first, of several such
    those of one type, and then the outer ones."""
    left, right = matching.left, matching.right
    held = [_count_layers(side) for side in matching.sides]
    common: defaultdict[tuple[int, int], int] = defaultdict(int)
    for one, other in matching.partners[0].items():
        if left.layers[one] and right.layers[other] and left.holding[one] and right.holding[other]:
            above = matching.list_free(0, left.list_ancestors(one)), matching.list_free(1, right.list_ancestors(other))
            for pair in ((outer, outer_other) for outer in above[0] for outer_other in above[1]):
                common[pair] += 1
    shares = {pair: 2 * count / (held[0][pair[0]] + held[1][pair[1]]) for pair, count in common.items()}

    def rank(pair: tuple[int, int]) -> tuple[float, float, int, int]:
        types = left.records[pair[0]].type, right.records[pair[1]].type
        return -shares[pair], -compare_containers(*types), left.firsts[pair[0]], -left.sizes[pair[0]]

    for pair in sorted((pair for pair, share in shares.items() if share >= _THRESHOLD), key=lambda pair: (*rank(pair), *pair)):
        # what is above stays above
        if matching.may_match(*pair) and matching.are_partners(matching.rise(0, pair[0]), matching.rise(1, pair[1])):
            matching.match(*pair, Found("layers", min(shares[pair], _MOST)))
            match_downwards(matching, [pair])


def _count_layers(side: Side) -> Counter[int]:
    """How many layers with tensors of their own lie below each module."""
    counts: Counter[int] = Counter()
    for layer in side.walk:
        if side.layers[layer] and side.holding[layer]:
            counts.update(side.list_ancestors(layer))
    return counts
