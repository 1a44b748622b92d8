"""The growing set of pairs: which module is whose partner, which rule made the pair, and with what confidence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from archaudit.align.side import NO_MODULE, Fingerprints, Side
from archaudit.align.similarity import Similarity

# The two sides of a matching by number. Left and right are before and after, in the order that `align` chose by content.
LEFT, RIGHT = 0, 1

Rule = Literal[
    "pinned", "name", "replaced", "equal", "wrapped", "order", "reordered", "segment", "split", "follows", "children", "layers", "position"
]


class Basis(NamedTuple):
    """What a pair is based on: the rule that made it, and its confidence from 0 to 1."""

    rule: Rule
    confidence: float


class Matching:
    """Pairs of modules of two sides, `left` and `right`.

    `partners[LEFT]` maps left modules to right modules, `partners[RIGHT]` the reverse; `basis` has the rule of each pair, by left module.
    """

    def __init__(self, left: Side, right: Side, fingerprints: Fingerprints) -> None:
        self.left, self.right = left, right
        self.sides = left, right
        self.partners: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.basis: dict[int, Basis] = {}
        self.similarity = Similarity(left, right, fingerprints)
        self._forbidden: set[tuple[int, int]] = set()
        self._excluded: tuple[set[int], set[int]] = (set(), set())
        # Modules that a pin is about, and their ancestors: equal subtrees are not matched as a whole there.
        self._constrained: tuple[set[int], set[int]] = (set(), set())

    # --- pins of the user

    def forbid(self, one: int, other: int) -> None:
        """Never match these two."""
        self._forbidden.add((one, other))
        self._constrain(one, other)

    def exclude(self, side: int, module: int) -> None:
        """Never match this module."""
        self._excluded[side].add(module)
        self._constrained[side].update((module, *self.sides[side].list_ancestors(module)))

    def pin(self, one: int, other: int) -> None:
        """Match these two, however different they are."""
        self._constrain(one, other)
        self.match(one, other, Basis("pinned", 1.0))

    def _constrain(self, one: int, other: int) -> None:
        for side, module in ((LEFT, one), (RIGHT, other)):
            self._constrained[side].update((module, *self.sides[side].list_ancestors(module)))

    # --- queries

    def is_free(self, side: int, module: int) -> bool:
        """Whether a module has no partner yet and may get one."""
        return module not in self.partners[side] and module not in self._excluded[side]

    def can_match(self, one: int, other: int) -> bool:
        """Whether both modules are free and the pair is not forbidden."""
        return self.is_free(LEFT, one) and self.is_free(RIGHT, other) and (one, other) not in self._forbidden

    def list_free(self, side: int, modules: Iterable[int]) -> list[int]:
        """The free ones of these modules, in the order given."""
        return [module for module in modules if self.is_free(side, module)]

    def are_partners(self, one: int, other: int) -> bool:
        """Whether these two are matched; the missing parents of two roots count as matched."""
        if NO_MODULE in (one, other):
            return one == other
        return self.partners[LEFT].get(one) == other

    def find_matched_ancestor(self, side: int, module: int) -> int:
        """The nearest module above that has a partner; NO_MODULE where none has."""
        parents = self.sides[side].parents
        module = parents[module]
        while module != NO_MODULE and module not in self.partners[side]:
            module = parents[module]
        return module

    def are_equal(self, one: int, other: int) -> bool:
        """Whether two subtrees are equal, apart from the names of the modules."""
        return self.left.equal[one] == self.right.equal[other]

    # --- changes

    def match(self, one: int, other: int, basis: Basis) -> bool:
        """Adds a pair where that is possible; returns whether it was."""
        if not self.can_match(one, other):
            return False
        self.partners[LEFT][one] = other
        self.partners[RIGHT][other] = one
        self.basis[one] = basis
        return True

    def match_subtrees(self, one: int, other: int, basis: Basis) -> list[tuple[int, int]]:
        """Matches two equal subtrees module by module. Returns the pairs where a pin made it stop; their children are unmatched."""
        open_pairs: list[tuple[int, int]] = []
        waiting = [(one, other)]
        while waiting:
            left, right = waiting.pop()
            if not self.match(left, right, basis):
                continue
            if left in self._constrained[LEFT] or right in self._constrained[RIGHT]:
                open_pairs.append((left, right))
                continue
            waiting.extend(zip(self.left.children[left], self.right.children[right], strict=True))
        return open_pairs

    def unmatch(self, side: int, module: int) -> None:
        """Removes a pair, to make a better one."""
        other = self.partners[side].pop(module)
        del self.partners[1 - side][other]
        del self.basis[module if side == LEFT else other]
