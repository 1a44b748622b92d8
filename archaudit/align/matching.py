"""The matching as it grows: which module is whose partner, how sure that is, and how it was found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from archaudit.align.side import NOWHERE, Fingerprints, Side
from archaudit.align.similarity import Similarity
from archaudit.schema import Match, Profile


class Found(NamedTuple):
    """How a pair was found, for the reason that is told, and how sure it is."""

    way: str
    confidence: float


class Matching:
    """Pairs of modules of two sides, `left` and `right`: before and after, in the order that `align` chose.

    `partners[0]` maps left modules to right ones, `partners[1]` the other way. A pair once made stays.
    """

    def __init__(self, left: Side, right: Side, prints: Fingerprints) -> None:
        self.left, self.right = left, right
        self.sides = left, right
        self.partners: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.found: dict[int, Found] = {}
        self.similarity = Similarity(left, right, prints)
        self._forbidden: set[tuple[int, int]] = set()
        self._alone: tuple[set[int], set[int]] = (set(), set())
        self._special: tuple[set[int], set[int]] = (set(), set())

    # --- what the user says

    def forbid(self, one: int, other: int) -> None:
        """These two are not to be matched."""
        self._forbidden.add((one, other))
        self._mark_special(one, other)

    def leave_alone(self, side: int, module: int) -> None:
        """This module is to have no partner."""
        self._alone[side].add(module)
        self._special[side].update((module, *self.sides[side].list_ancestors(module)))

    def pin(self, one: int, other: int) -> None:
        """These two are a pair, whatever they look like."""
        self._mark_special(one, other)
        self.match(one, other, Found("pinned", 1.0))

    def _mark_special(self, one: int, other: int) -> None:
        for side, module in enumerate((one, other)):
            self._special[side].update((module, *self.sides[side].list_ancestors(module)))

    # --- what is asked

    def is_free(self, side: int, module: int) -> bool:
        """Whether a module may still be matched."""
        return module not in self.partners[side] and module not in self._alone[side]

    def may_match(self, one: int, other: int) -> bool:
        """Whether this pair may be made."""
        return self.is_free(0, one) and self.is_free(1, other) and (one, other) not in self._forbidden

    def list_free(self, side: int, modules: Iterable[int]) -> list[int]:
        """Those that may still be matched, in the order given."""
        return [module for module in modules if self.is_free(side, module)]

    def are_partners(self, one: int, other: int) -> bool:
        """Whether these two are matched; above a root there is nothing, on both sides."""
        if one == NOWHERE or other == NOWHERE:
            return one == other
        return self.partners[0].get(one) == other

    def rise(self, side: int, module: int) -> int:
        """The nearest module above that has a partner; NOWHERE above a root."""
        parents = self.sides[side].parents
        module = parents[module]
        while module != NOWHERE and module not in self.partners[side]:
            module = parents[module]
        return module

    # --- what is found

    def match(self, one: int, other: int, found: Found) -> bool:
        """Makes a pair, if it may be made."""
        if not self.may_match(one, other):
            return False
        self.partners[0][one] = other
        self.partners[1][other] = one
        self.found[one] = found
        return True

    def match_subtrees(self, one: int, other: int, found: Found) -> list[tuple[int, int]]:
        """Pairs all of two equal subtrees. Returns the pairs whose children have yet to be matched: those that pins are about."""
        open_pairs: list[tuple[int, int]] = []
        waiting = [(one, other)]
        while waiting:
            left, right = waiting.pop()
            if not self.match(left, right, found):
                continue
            if left in self._special[0] or right in self._special[1]:
                open_pairs.append((left, right))
                continue
            waiting.extend(zip(self.left.children[left], self.right.children[right], strict=True))
        return open_pairs

    def unmatch(self, side: int, module: int) -> None:
        """Undoes a pair, for a better one."""
        other = self.partners[side].pop(module)
        del self.partners[1 - side][other]
        del self.found[module if side == 0 else other]

    def are_equal(self, one: int, other: int) -> bool:
        """Whether two subtrees are equal but for names."""
        return self.left.equal[one] == self.right.equal[other]


# --- the order of the rows: that of the before side, with each added module where the after side has it ---


# A row is known by its match's position; the rows without a parent hang on this.
_TOP = -1


def order_matches(before: Profile, after: Profile, matches: Iterable[Match]) -> tuple[Match, ...]:
    """The same matches, reordered in time linear in their number. They may pair modules of different paths."""
    matches = tuple(matches)
    row_before = {match.before_path: row for row, match in enumerate(matches) if match.before_path is not None}
    row_after = {match.after_path: row for row, match in enumerate(matches) if match.after_path is not None}
    children = _children(before, row_before)
    after_children = _children(after, row_after)
    kept = set(row_before.values()) & set(row_after.values())
    above = {row: parent for parent, rows in after_children.items() for row in rows}
    merged = {
        parent: _merge_siblings(children.get(parent, []), after_children.get(parent, []), kept, above)
        for parent in children.keys() | after_children.keys()
    }
    ordered = []
    waiting = [_TOP]
    while waiting:  # a stack instead of recursion: models may nest deeper than Python's limit
        row = waiting.pop()
        if row != _TOP:
            ordered.append(matches[row])
        waiting.extend(reversed(merged.get(row, ())))
    return tuple(ordered)


def _children(profile: Profile, rows: dict[str, int]) -> dict[int, list[int]]:
    """The rows below each row, in the profile's order."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for module in profile.modules:
        children[_parent_row(module.path, rows)].append(rows[module.path])
    return children


def _parent_row(path: str, rows: dict[str, int]) -> int:
    while path:
        path = path.rpartition(".")[0]
        if path in rows:
            return rows[path]
    return _TOP


def _merge_siblings(before: list[int], after: list[int], kept: set[int], above: dict[int, int]) -> list[int]:
    """The children of one row: those of the before side, and those that only the after side has, put among them.

    A child that both sides have goes where the before side has it, under whatever parent that is; `above` tells the after side's.
    """
    stays = set(before)
    additions: defaultdict[int, list[int]] = defaultdict(list)
    anchor = _TOP
    for row in after:
        if row in stays:
            anchor = row
        elif row not in kept:
            additions[anchor].append(row)
    both = stays.intersection(after)
    merged = []
    pending = additions[_TOP]
    for row in before:
        if row in both:
            merged += pending
            pending = additions[row]
        elif pending and _find_added(row, kept, above) in pending:
            merged += pending
            pending = []
        merged.append(row)
    return merged + pending


def _find_added(row: int, kept: set[int], above: dict[int, int]) -> int:
    """The topmost added module that a row stands in on the after side; _TOP for none."""
    found = _TOP
    while (row := above.get(row, _TOP)) != _TOP and row not in kept:
        found = row
    return found
