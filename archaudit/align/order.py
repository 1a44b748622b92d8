"""The order of the rows: that of the before side, with each added module where the after side has it.

Under one parent, an added module follows the sibling that stands before it on the after side; where modules were removed at that very
place, they come first, as in any diff. A parent precedes its children, also one that was put around modules which stay where the before
side has them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from archaudit.schema import Match, Profile

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
