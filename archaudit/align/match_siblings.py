"""Top-down matching: which child is which, under two matched modules.

The rules apply in this order: equal subtrees of the same name; equal subtrees that occur once; same name and type; same name and another
type; the best alignment in the order of execution; equal children that were wrapped or unwrapped; similar children in another order; and
last, the only candidates between two matched neighbours that map the same shapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from archaudit.align.assignment import align_sequences, assign, find_longest_increasing
from archaudit.align.matching import LEFT, RIGHT, Basis, Matching, Rule
from archaudit.align.sibling_flow import choose_by_flow
from archaudit.align.side import Side
from archaudit.align.similarity import are_one_layer
from archaudit.align.wrappers import find_equal_wrapped_pair, find_wrapped_pair, match_wrapped
from archaudit.index import compare_containers, compare_names
from archaudit.schema import Shape

# Siblings in the same position that score less are two different modules. A pair whose type, settings, shapes and name are each somewhat
# similar reaches it; a convolution and a norm do not, and neither do two containers that have nothing else in common.
SIBLING_THRESHOLD = 0.5
# Containers of unrelated types often hold the same kinds of layers; that alone does not make one the successor of the other.
_UNRELATED_FACTOR = 0.6
# For a pair in another order the position is no evidence, so it must be more similar.
REORDERED_THRESHOLD = 0.75
# The score of two siblings: their similarity, and whether they are between the same matched neighbours.
_SIMILARITY_WEIGHT, _POSITION_WEIGHT = 0.85, 0.15
# A container of the same name that maps the same shapes between the same neighbours was written anew if its layers are this similar.
_REWRITTEN_THRESHOLD = 0.3
# Decides between candidates that are alike in all else, such as equal blocks at several resolutions.
_OTHER_OUTPUT = 0.005
# A common name removes this share of the doubt. Another name is no evidence against a pair, since renaming is common; an index says little.
_NAME_WEIGHT, _INDEX_WEIGHT = 0.3, 0.08
# People keep a path when they replace a layer by a better one, but they also use it for something else: as likely as not.
OTHER_TYPE_CONFIDENCE = 0.5
# An equal subtree of another name, where no other subtree is equal, leaves little doubt.
_EQUAL_CONFIDENCE = 0.95


def match_descendants(matching: Matching, pairs: Iterable[tuple[int, int]]) -> None:
    """Matches everything below these pairs, which are matched already."""
    waiting = list(pairs)
    while waiting:
        one, other = waiting.pop()
        waiting.extend(_SiblingMatcher(matching, matching.left.ordered_children[one], matching.right.ordered_children[other]).run())


def match_roots(matching: Matching) -> None:
    """Matches the roots, or a root with the module that the other root wraps (as DataParallel does), and everything below."""
    left, right = matching.left, matching.right
    if len(left.roots) != 1 or len(right.roots) != 1:
        match_descendants(matching, _SiblingMatcher(matching, left.roots, right.roots).run())
        return
    one, other = left.roots[0], right.roots[0]
    pair = one, other
    if not matching.are_equal(one, other) and left.records[one].type != right.records[other].type:
        pair = find_wrapped_pair(matching, one, other) or pair
    basis = Basis("name" if pair == (one, other) else "wrapped", 1.0)
    if matching.are_equal(*pair) and left.exact[pair[0]] == right.exact[pair[1]]:
        match_descendants(matching, matching.match_subtrees(*pair, basis))
    elif matching.match(*pair, basis) or matching.are_partners(*pair):
        match_descendants(matching, [pair])


def match_same_paths(matching: Matching) -> None:
    """Matches free modules of the same path and type. Runs last: by then moved modules are matched, so these stayed where they were."""
    left, right = matching.left, matching.right
    for one in left.top_down:
        other = right.positions.get(left.paths[one])
        if other is not None and left.records[one].type == right.records[other].type and matching.can_match(one, other):
            matching.match(one, other, Basis("name", 1.0))
            match_descendants(matching, [(one, other)])


class _SiblingMatcher:
    """Matches the children of two matched modules, given in the order of execution."""

    def __init__(self, matching: Matching, left: list[int], right: list[int]) -> None:
        self.matching = matching
        self.left, self.right = left, right
        partners, here = matching.partners[LEFT], set(right)
        self.open_pairs: list[tuple[int, int]] = [(child, partners[child]) for child in left if partners.get(child) in here]

    def run(self) -> list[tuple[int, int]]:
        """Applies the rules in order; returns the pairs whose children are unmatched."""
        self._match_same_name(equal_only=True)
        self._match_unique()
        self._match_same_name(equal_only=False)
        self._match_other_type()
        self._match_in_order()
        self.open_pairs += match_wrapped(self.matching, *self._list_free())
        self._match_reordered()
        self._match_same_shapes()
        return self.open_pairs

    def _list_free(self) -> tuple[list[int], list[int]]:
        return self.matching.list_free(LEFT, self.left), self.matching.list_free(RIGHT, self.right)

    def _add(self, one: int, other: int, rule: Rule, confidence: float) -> None:
        """Adds a pair; with everything below, where the subtrees are equal."""
        if self.matching.are_equal(one, other):
            self.open_pairs += self.matching.match_subtrees(one, other, Basis(rule, confidence))
        elif self.matching.match(one, other, Basis(rule, confidence)):
            self.open_pairs.append((one, other))

    # --- by name: an index says nothing, since every insertion shifts it

    def _list_same_name(self) -> list[tuple[int, int]]:
        left, right = self.matching.left, self.matching.right
        free_left, free_right = self._list_free()
        by_name = {right.names[other]: other for other in free_right if not right.names[other].isdecimal()}
        return [(one, by_name[left.names[one]]) for one in free_left if left.names[one] in by_name]

    def _match_same_name(self, *, equal_only: bool) -> None:
        """The same name and type."""
        left, right = self.matching.left, self.matching.right
        for one, other in self._list_same_name():
            if left.records[one].type != right.records[other].type:
                continue
            if self.matching.are_equal(one, other):
                self._add(one, other, "name", 1.0)
            elif not equal_only:
                wrapped = find_equal_wrapped_pair(self.matching, one, other)
                if wrapped is not None:
                    self._add(*wrapped, "wrapped", _EQUAL_CONFIDENCE)
                else:
                    self._add(one, other, "name", 1.0)

    def _match_other_type(self) -> None:
        """The same name and another type: replaced, unless one wraps the other."""
        left, right = self.matching.left, self.matching.right
        for one, other in self._list_same_name():
            if are_one_layer(left.records[one], right.records[other]):
                self._add(one, other, "name", 1.0)
                continue
            wrapped = find_wrapped_pair(self.matching, one, other)
            if wrapped is not None:
                self._add(*wrapped, "wrapped", _EQUAL_CONFIDENCE)
            elif bool(left.children[one]) == bool(right.children[other]):
                self._add(one, other, "replaced", OTHER_TYPE_CONFIDENCE)

    # --- by content

    def _match_unique(self) -> None:
        """Equal subtrees with a weight matrix that occur once on each side."""
        left, right = self.matching.left, self.matching.right
        free_left, free_right = self._list_free()
        counts_left = Counter(left.equal[child] for child in free_left)
        counts_right = Counter(right.equal[child] for child in free_right)
        unique = {right.equal[other]: other for other in free_right if counts_right[right.equal[other]] == 1}
        pairs = {
            one: unique[left.equal[one]]
            for one in free_left
            if left.has_matrix[one] and counts_left[left.equal[one]] == 1 and left.equal[one] in unique
        }
        for one, other in self._choose_by_flow(pairs).items():
            self._add(one, other, "name" if left.names[one] == right.names[other] else "order", SIBLING_THRESHOLD)
        for one, other in pairs.items():
            self._add(one, other, "equal", _EQUAL_CONFIDENCE)

    def _choose_by_flow(self, equal: dict[int, int]) -> dict[int, int]:
        """Better partners for some of these pairs, where equal sizes contradict the data flow."""
        left, right = self.matching.left, self.matching.right
        renamed = {one: other for one, other in equal.items() if left.names[one] != right.names[other]}
        if not renamed:
            return {}
        types = {left.records[one].type for one in renamed}
        free_left, free_right = self._list_free()
        similar = {
            one: [other for other in free_right if self._are_similar(one, other)] for one in free_left if left.records[one].type in types
        }
        return choose_by_flow(self.matching, renamed, similar)

    def _are_similar(self, one: int, other: int) -> bool:
        same_type = self.matching.left.records[one].type == self.matching.right.records[other].type
        return same_type and self.matching.can_match(one, other) and self._compare(one, other) >= SIBLING_THRESHOLD

    def _match_in_order(self) -> None:
        """The alignment in the order of execution with the greatest total score."""
        free_left, free_right = self._list_free()
        if not free_left or not free_right:
            return
        gaps = self._number_gaps()
        scores: dict[tuple[int, int], float] = {}

        def gain(row: int, column: int) -> float:
            one, other = free_left[row], free_right[column]
            if not self.matching.can_match(one, other):
                return 0.0
            scores[row, column] = self._score(one, other, gaps)
            return scores[row, column] - SIBLING_THRESHOLD

        left, right = self.matching.left, self.matching.right
        keys = [left.equal[child] for child in free_left], [right.equal[child] for child in free_right]
        for row, column in align_sequences(*keys, gain):
            score = scores.get((row, column), 1.0)
            one, other = free_left[row], free_right[column]
            wrapped = None if score >= _EQUAL_CONFIDENCE else find_wrapped_pair(self.matching, one, other)
            if wrapped is not None:
                self._add(*wrapped, "wrapped", _EQUAL_CONFIDENCE)
            else:
                self._add(one, other, "order", self._rate(one, other, score))

    def _rate(self, one: int, other: int, score: float) -> float:
        """The confidence of a pair: 1 under the same name and type, less than 1 under another name."""
        left, right = self.matching.left, self.matching.right
        if left.records[one].type != right.records[other].type and not are_one_layer(left.records[one], right.records[other]):
            return min(score, OTHER_TYPE_CONFIDENCE)
        if left.names[one] == right.names[other]:
            return 1.0
        return min(max(score, SIBLING_THRESHOLD), _EQUAL_CONFIDENCE)

    def _score(self, one: int, other: int, gaps: tuple[dict[int, int], dict[int, int]]) -> float:
        same_gap = float(gaps[LEFT][one] == gaps[RIGHT][other])
        score = self._add_name(one, other, _SIMILARITY_WEIGHT * self._compare(one, other) + _POSITION_WEIGHT * same_gap)
        same_size = _list_first_outputs(self.matching.left, one) == _list_first_outputs(self.matching.right, other)
        return score if same_size else score - _OTHER_OUTPUT

    def _compare(self, one: int, other: int) -> float:
        left, right = self.matching.left, self.matching.right
        similarity = self.matching.similarity.compare(one, other)
        containers = left.children[one] and right.children[other]
        unrelated = containers and not compare_containers(left.records[one].type, right.records[other].type)
        return similarity * _UNRELATED_FACTOR if unrelated else similarity

    def _add_name(self, one: int, other: int, score: float) -> float:
        """The score, raised for similar names."""
        name, other_name = self.matching.left.names[one], self.matching.right.names[other]
        similarity = compare_names(name, other_name) or 0.0
        return score + (1 - score) * similarity * (_INDEX_WEIGHT if name.isdecimal() else _NAME_WEIGHT)

    def _number_gaps(self) -> tuple[dict[int, int], dict[int, int]]:
        """For each child, how many matched siblings come before it; those that are in another order on the other side do not count."""
        places = {child: place for place, child in enumerate(self.right)}
        partners = self.matching.partners[LEFT]
        matched = [child for child in self.left if partners.get(child) in places]
        kept = {matched[place] for place in find_longest_increasing([places[partners[child]] for child in matched])}
        return _count_before(self.left, kept), _count_before(self.right, {partners[child] for child in kept})

    def _match_reordered(self) -> None:
        """Similar children of the same type in another order: the assignment with the greatest total score."""
        free_left, free_right = self._list_free()
        left, right = self.matching.left, self.matching.right

        def gain(row: int, column: int) -> float:
            one, other = free_left[row], free_right[column]
            same_type = left.records[one].type == right.records[other].type
            identifiable = left.has_matrix[one] and right.has_matrix[other] and same_type
            if not self.matching.can_match(one, other) or not (identifiable or self.matching.are_equal(one, other)):
                return 0.0
            return self._add_name(one, other, self._compare(one, other)) - REORDERED_THRESHOLD

        for row, column in assign(len(free_left), len(free_right), gain):
            self._add(free_left[row], free_right[column], "reordered", REORDERED_THRESHOLD)

    # --- by position and shapes

    def _match_same_shapes(self) -> None:
        """Free children between the same matched neighbours that map the same shapes: they are replaced.

        These are leaves, and containers of similar layers, of the same name, where both sides have equally many children there; and the
        only ones there with a weight matrix, where both have the same number of parameters.
        """
        left, right = self.matching.left, self.matching.right
        gaps = self._number_gaps()
        by_gap: dict[int, tuple[list[int], list[int]]] = {}
        for side, children in enumerate(self._list_free()):
            for child in children:
                by_gap.setdefault(gaps[side][child], ([], []))[side].append(child)
        for lefts, rights in by_gap.values():
            for one, other in zip(lefts, rights, strict=False) if len(lefts) == len(rights) else ():
                same_name = left.names[one] == right.names[other]
                leaves = not left.children[one] and not right.children[other]
                if not same_name or not (leaves or self._are_alike_inside(one, other)):
                    continue
                if _list_shapes(left, one) and _list_shapes(left, one) == _list_shapes(right, other):
                    self._add(one, other, "replaced", OTHER_TYPE_CONFIDENCE)
            self._match_only_candidates(lefts, rights)

    def _are_alike_inside(self, one: int, other: int) -> bool:
        """Whether two containers hold similar layers, under any names: a block that was rewritten."""
        both = self.matching.left.children[one] and self.matching.right.children[other]
        return bool(both) and self.matching.similarity.compare(one, other) >= _REWRITTEN_THRESHOLD

    def _match_only_candidates(self, lefts: list[int], rights: list[int]) -> None:
        left, right = self.matching.left, self.matching.right
        ones, others = [one for one in lefts if left.has_matrix[one]], [other for other in rights if right.has_matrix[other]]
        if len(ones) != 1 or len(others) != 1:
            return
        one, other = ones[0], others[0]
        same_size = left.records[one].total.params == right.records[other].total.params
        if same_size and _list_first_outputs(left, one) == _list_first_outputs(right, other) and self.matching.can_match(one, other):
            self._add(one, other, "position", OTHER_TYPE_CONFIDENCE)


def _count_before(children: list[int], matched: set[int]) -> dict[int, int]:
    """For each child, the number of matched ones up to and including it."""
    counts = {}
    count = 0
    for child in children:
        count += child in matched
        counts[child] = count
    return counts


def _list_shapes(side: Side, module: int) -> list[tuple[tuple[Shape, ...], tuple[Shape, ...]]]:
    """The input and output shapes of each call."""
    return [(call.inputs, call.outputs) for call in side.records[module].calls]


def _list_first_outputs(side: Side, module: int) -> list[tuple[Shape, ...]]:
    """The shape of the first output of each call: attention may return its weights as a second one."""
    return [call.outputs[:1] for call in side.records[module].calls]
