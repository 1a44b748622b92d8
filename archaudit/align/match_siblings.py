"""From the roots downwards: under two matched modules, which child is which.

Children are asked for, in this order: equal subtrees under one name; equal subtrees that occur once; one name and type; one name and
another type; then the best alignment along the order of execution; then equal children that were put into a container, or taken out of
one; then lookalikes that changed places; and last, whatever stands at one place and does the same to its input's shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from archaudit.align.assignment import align_sequences, assign, keep_rising
from archaudit.align.matching import Found, Matching
from archaudit.align.side import Side
from archaudit.align.wrappers import find_equal_inside, find_inside, match_wrapped
from archaudit.index import compare_containers, compare_names
from archaudit.schema import Shape

# Below this, two siblings in one place are taken for two things: with type, settings, shapes and name each somewhat alike, they reach
# it; a convolution and a norm, or two containers with nothing in common but being one, do not.
SIBLING_THRESHOLD = 0.5
# Containers of unrelated types hold much the same kinds of layers; that alone makes none the successor of the other.
_UNRELATED = 0.6
# Out of order there is one thing less that speaks for a pair.
CROSSING_THRESHOLD = 0.75
# What a sibling's likeness is made of: what it is, and whether its neighbours are matched to each other.
_CONTENT, _PLACE = 0.85, 0.15
# A name in common takes away this share of the doubt; another name says nothing, since renaming is common. An index says little.
_NAME, _INDEX = 0.3, 0.08
# A path is what people keep when they put a better layer in a place, but another type may as well be another thing under a reused
# name: as likely as not.
ANOTHER_TYPE_CONFIDENCE = 0.5
# An equal subtree under another name, where no other is equal, leaves little doubt.
_EQUAL_CONFIDENCE = 0.95


def match_downwards(matching: Matching, pairs: Iterable[tuple[int, int]]) -> None:
    """Matches what is below the given pairs, which are matched already."""
    waiting = list(pairs)
    while waiting:
        one, other = waiting.pop()
        waiting.extend(_Siblings(matching, matching.left.running[one], matching.right.running[other]).match())


def match_roots(matching: Matching) -> None:
    """Matches the roots: to each other, or to what one of them was put around (as DataParallel is)."""
    left, right = matching.left, matching.right
    if len(left.roots) != 1 or len(right.roots) != 1:
        match_downwards(matching, _Siblings(matching, left.roots, right.roots).match())
        return
    one, other = left.roots[0], right.roots[0]
    pair = one, other
    if not matching.are_equal(one, other) and left.records[one].type != right.records[other].type:
        pair = find_inside(matching, one, other) or pair
    found = Found("place" if pair == (one, other) else "wrapped", 1.0)
    if matching.are_equal(*pair) and left.exact[pair[0]] == right.exact[pair[1]]:
        match_downwards(matching, matching.match_subtrees(*pair, found))
    elif matching.match(*pair, found) or matching.are_partners(*pair):
        match_downwards(matching, [pair])


def match_same_paths(matching: Matching) -> None:
    """What nothing else claimed, of one path and type: what moved is found by then, so this is what stayed while all around it changed."""
    left, right = matching.left, matching.right
    for one in left.walk:
        other = right.positions.get(left.paths[one])
        if other is not None and left.records[one].type == right.records[other].type and matching.may_match(one, other):
            matching.match(one, other, Found("place", 1.0))
            match_downwards(matching, [(one, other)])


class _Siblings:
    """The children of two matched modules, in the order of execution."""

    def __init__(self, matching: Matching, left: list[int], right: list[int]) -> None:
        self.matching = matching
        self.left, self.right = left, right
        here = set(right)
        self.opened: list[tuple[int, int]] = [
            (child, matching.partners[0][child]) for child in left if matching.partners[0].get(child) in here
        ]

    def match(self) -> list[tuple[int, int]]:
        """Matches them; returns the pairs whose children come next."""
        self._match_named(equal=True)
        self._match_unique()
        self._match_named(equal=False)
        self._match_renamed_type()
        self._match_in_order()
        self.opened += match_wrapped(self.matching, *self._list_free())
        self._match_crossing()
        self._match_by_shape()
        return self.opened

    def _list_free(self) -> tuple[list[int], list[int]]:
        return self.matching.list_free(0, self.left), self.matching.list_free(1, self.right)

    def _take(self, one: int, other: int, way: str, confidence: float) -> None:
        """Makes a pair; of equal subtrees all the way down."""
        if self.matching.are_equal(one, other):
            self.opened += self.matching.match_subtrees(one, other, Found(way, confidence))
        elif self.matching.match(one, other, Found(way, confidence)):
            self.opened.append((one, other))

    def _match_named(self, equal: bool) -> None:
        """The same name: equal subtrees, then those of the same type. An index says nothing, since it moves with each insertion."""
        left, right = self.matching.left, self.matching.right
        free_left, free_right = self._list_free()
        by_name = {right.names[other]: other for other in free_right if not right.names[other].isdecimal()}
        for one in free_left:
            other = by_name.get(left.names[one])
            if other is None or left.records[one].type != right.records[other].type:
                continue
            if self.matching.are_equal(one, other):
                self._take(one, other, "place", 1.0)
            elif not equal:
                inside = find_equal_inside(self.matching, one, other)
                if inside is not None:
                    self._take(*inside, "wrapped", _EQUAL_CONFIDENCE)
                else:
                    self._take(one, other, "place", 1.0)

    def _match_unique(self) -> None:
        """Equal subtrees that occur once on each side, as far as they can be known again."""
        free = self._list_free()
        counts = [Counter(side.equal[child] for child in children) for side, children in zip(self.matching.sides, free, strict=True)]
        single = {self.matching.right.equal[other]: other for other in free[1] if counts[1][self.matching.right.equal[other]] == 1}
        for one in free[0]:
            number = self.matching.left.equal[one]
            if self.matching.left.weighty[one] and counts[0][number] == 1 and number in single:
                self._take(one, single[number], "equal", _EQUAL_CONFIDENCE)

    def _match_renamed_type(self) -> None:
        """The same name and another type: replaced, unless one was put around the other."""
        left, right = self.matching.left, self.matching.right
        free_left, free_right = self._list_free()
        by_name = {right.names[other]: other for other in free_right if not right.names[other].isdecimal()}
        for one in free_left:
            other = by_name.get(left.names[one])
            if other is None:
                continue
            inside = find_inside(self.matching, one, other)
            if inside is not None:
                self._take(*inside, "wrapped", _EQUAL_CONFIDENCE)
            elif bool(left.children[one]) == bool(right.children[other]):
                self._take(one, other, "replaced", ANOTHER_TYPE_CONFIDENCE)

    def _match_in_order(self) -> None:
        free_left, free_right = self._list_free()
        if not free_left or not free_right:
            return
        gaps = self._number_gaps()
        scores: dict[tuple[int, int], float] = {}

        def gain(row: int, column: int) -> float:
            one, other = free_left[row], free_right[column]
            if not self.matching.may_match(one, other):
                return 0.0
            scores[row, column] = self._score(one, other, gaps)
            return scores[row, column] - SIBLING_THRESHOLD

        keys = [[side.equal[child] for child in free] for side, free in zip(self.matching.sides, (free_left, free_right), strict=True)]
        for row, column in align_sequences(keys[0], keys[1], gain):
            score = scores.get((row, column), 1.0)
            one, other = free_left[row], free_right[column]
            inside = None if score >= _EQUAL_CONFIDENCE else find_inside(self.matching, one, other)
            if inside is not None:
                self._take(*inside, "wrapped", _EQUAL_CONFIDENCE)
            else:
                self._take(one, other, "order", self._rate(one, other, score))

    def _rate(self, one: int, other: int, score: float) -> float:
        """How sure a pair is: certain under one path and type, and never so under another."""
        left, right = self.matching.left, self.matching.right
        if left.records[one].type != right.records[other].type:
            return min(score, ANOTHER_TYPE_CONFIDENCE)
        if left.names[one] == right.names[other]:
            return 1.0
        return min(max(score, SIBLING_THRESHOLD), _EQUAL_CONFIDENCE)

    def _score(self, one: int, other: int, gaps: tuple[dict[int, int], dict[int, int]]) -> float:
        placed = float(gaps[0][one] == gaps[1][other])
        return self._add_name(one, other, _CONTENT * self._compare(one, other) + _PLACE * placed)

    def _compare(self, one: int, other: int) -> float:
        left, right = self.matching.left, self.matching.right
        content = self.matching.similarity.compare(one, other)
        both = left.children[one] and right.children[other]
        return content * _UNRELATED if both and not compare_containers(left.records[one].type, right.records[other].type) else content

    def _add_name(self, one: int, other: int, likeness: float) -> float:
        names = self.matching.left.names[one], self.matching.right.names[other]
        alike = compare_names(*names) or 0.0
        return likeness + (1 - likeness) * alike * (_INDEX if names[0].isdecimal() else _NAME)

    def _number_gaps(self) -> tuple[dict[int, int], dict[int, int]]:
        """Between which matched siblings each free one stands; siblings that changed places are no bounds."""
        places = {child: place for place, child in enumerate(self.right)}
        partners = self.matching.partners[0]
        matched = [child for child in self.left if partners.get(child) in places]
        kept = {matched[place] for place in keep_rising([places[partners[child]] for child in matched])}
        bounds = kept, {partners[child] for child in kept}
        return _count_bounds(self.left, bounds[0]), _count_bounds(self.right, bounds[1])

    def _match_crossing(self) -> None:
        free_left, free_right = self._list_free()
        left, right = self.matching.left, self.matching.right

        def gain(row: int, column: int) -> float:
            one, other = free_left[row], free_right[column]
            known_again = left.weighty[one] and right.weighty[other] and left.records[one].type == right.records[other].type
            if not self.matching.may_match(one, other) or not (known_again or self.matching.are_equal(one, other)):
                return 0.0
            return self._add_name(one, other, self._compare(one, other)) - CROSSING_THRESHOLD

        for row, column in assign(len(free_left), len(free_right), gain):
            self._take(free_left[row], free_right[column], "crossing", CROSSING_THRESHOLD)

    def _match_by_shape(self) -> None:
        """What stands alone between two matched neighbours and makes the same shapes of the same shapes: replaced. Of leaves under one name
        all that stand there; of others the only one that holds tensors, as many on both sides."""
        gaps = self._number_gaps()
        standing: dict[int, tuple[list[int], list[int]]] = {}
        for side, children in enumerate(self._list_free()):
            for child in children:
                standing.setdefault(gaps[side][child], ([], []))[side].append(child)
        for lefts, rights in standing.values():
            for one, other in zip(lefts, rights, strict=False) if len(lefts) == len(rights) else ():
                same_name = self.matching.left.names[one] == self.matching.right.names[other]
                leaves = not self.matching.left.children[one] and not self.matching.right.children[other]
                if same_name and leaves and _has_equal_calls(self.matching.left, one, self.matching.right, other):
                    self._take(one, other, "replaced", ANOTHER_TYPE_CONFIDENCE)
            self._match_alone(lefts, rights)

    def _match_alone(self, lefts: list[int], rights: list[int]) -> None:
        left, right = self.matching.left, self.matching.right
        ones, others = [one for one in lefts if left.weighty[one]], [other for other in rights if right.weighty[other]]
        if len(ones) != 1 or len(others) != 1:
            return
        one, other = ones[0], others[0]
        same_size = left.records[one].total.params == right.records[other].total.params
        if same_size and _list_first_outputs(left, one) == _list_first_outputs(right, other) and self.matching.may_match(one, other):
            self._take(one, other, "alone", ANOTHER_TYPE_CONFIDENCE)


def _count_bounds(children: list[int], bounds: set[int]) -> dict[int, int]:
    gaps = {}
    passed = 0
    for child in children:
        passed += child in bounds
        gaps[child] = passed
    return gaps


def _has_equal_calls(left: Side, one: int, right: Side, other: int) -> bool:
    calls = [[(call.inputs, call.outputs) for call in side.records[module].calls] for side, module in ((left, one), (right, other))]
    return bool(calls[0]) and calls[0] == calls[1]


def _list_first_outputs(side: Side, module: int) -> list[tuple[Shape, ...]]:
    """The first tensor that each call gives: attention may give its weights too."""
    return [call.outputs[:1] for call in side.records[module].calls]
