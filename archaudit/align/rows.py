"""The matches as records: from pairs of a matching, with reasons and tree changes, in the order of the report's rows.

Rows are in the order of the before side; an added module is where the after side has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from archaudit.align.flow_segments import number_segments
from archaudit.align.matching import LEFT, RIGHT, Basis
from archaudit.align.reasons import Explainer
from archaudit.align.tree_changes import RowKey, TreeChanges
from archaudit.index import index_modules
from archaudit.schema import Match, ModuleRecord, Pair, Profile, Repeat

# A change as seen from the other side.
_REVERSED = {"wrapped": "unwrapped", "unwrapped": "wrapped", "split": "merged", "merged": "split"}


def make_matches(changes: TreeChanges, *, swapped: bool) -> list[Match]:
    """Every module of either side in exactly one match: first the modules before, then those that only after has.

    `swapped`: the left side of the matching is after.
    """
    return _MatchBuilder(changes, swapped=swapped).build()


class _MatchBuilder:
    def __init__(self, changes: TreeChanges, *, swapped: bool) -> None:
        matching = changes.matching
        numbers = Pair(RIGHT, LEFT) if swapped else Pair(LEFT, RIGHT)
        self.changes, self.matching, self.swapped, self.numbers = changes, matching, swapped, numbers
        self.sides = numbers.map(matching.sides.__getitem__)
        self.partners = numbers.map(matching.partners.__getitem__)
        self.segments = numbers.map(number_segments(matching).__getitem__)
        self.explainer = Explainer(self.sides, self.partners.before)

    def build(self) -> list[Match]:
        matches = [self._make_row(module) for module in range(len(self.sides.before))]
        added = (module for module in range(len(self.sides.after)) if module not in self.partners.after)
        return matches + [self._make_added(module) for module in added]

    def _make_row(self, before: int) -> Match:
        after = self.partners.before.get(before)
        path, segment = self.sides.before.paths[before], self.segments.before[before]
        if after is None:
            removed = Match(before_path=path, after_path=None, confidence=1.0, reason="no counterpart after", segment=segment)
            return self._add_changes(removed, (self.numbers.before, before))
        left = after if self.swapped else before
        basis = self.matching.basis[left]
        match = Match(
            before_path=path,
            after_path=self.sides.after.paths[after],
            confidence=_rate(self.sides.before.records[before], self.sides.after.records[after], basis),
            reason=self.explainer.explain(before, after, basis.rule),
            segment=segment,
        )
        return self._add_changes(match, (LEFT, left))

    def _make_added(self, after: int) -> Match:
        path, segment = self.sides.after.paths[after], self.segments.after[after]
        added = Match(before_path=None, after_path=path, confidence=1.0, reason="no counterpart before", segment=segment)
        return self._add_changes(added, (self.numbers.after, after))

    def _add_changes(self, match: Match, key: RowKey) -> Match:
        """The match with its tree changes, and their reasons."""
        kinds = self.changes.changes.get(key, [])
        if not kinds:
            return match
        reasons = [match.reason] if match.before_path is not None and match.after_path is not None else []
        split = self.changes.splits.get(key)
        if split is not None:
            reasons.append(self.explainer.explain_split(split, whole_is_before=(split.side == LEFT) != self.swapped))
        repeats = []
        for block, left, right in self.changes.counts.get(key[1], []) if key[0] == LEFT else []:
            before, after = (right, left) if self.swapped else (left, right)
            repeats.append(Repeat(block=block, before=before, after=after))
        reasons += [f"{repeat.block} ×{repeat.before} → ×{repeat.after}" for repeat in repeats]
        return msgspec.structs.replace(
            match,
            reason="; ".join(reasons),
            changes=tuple(_REVERSED.get(kind, kind) if self.swapped else kind for kind in dict.fromkeys(kinds)),
            change_id=self.changes.change_ids.get(key),
            repeats=tuple(repeats),
        )


def _rate(before: ModuleRecord, after: ModuleRecord, basis: Basis) -> float:
    """A module that kept its path and type is the same one, whichever rule found it: a state dict goes by that as well."""
    return 1.0 if before.path == after.path and before.type == after.type else round(basis.confidence, 4)


# --- the order of the rows --------------------------------------------------------------------------------------------

# A row is the position of its match. This one is above the roots.
_TOP = -1


def order_matches(profiles: Pair[Profile], matches: Iterable[Match]) -> tuple[Match, ...]:
    """The same matches, ordered in linear time, with splits and merges numbered from zero in that order."""
    matches = tuple(matches)
    rows = Pair(
        {match.before_path: row for row, match in enumerate(matches) if match.before_path is not None},
        {match.after_path: row for row, match in enumerate(matches) if match.after_path is not None},
    )
    children = Pair(*(_list_child_rows(profile, of_side) for profile, of_side in zip(profiles, rows, strict=True)))
    kept = set(rows.before.values()) & set(rows.after.values())
    parents = {row: parent for parent, below in children.after.items() for row in below}
    merged = {
        parent: _merge_siblings(children.before.get(parent, []), children.after.get(parent, []), kept, parents)
        for parent in children.before.keys() | children.after.keys()
    }
    ordered = []
    waiting = [_TOP]
    while waiting:  # a stack instead of recursion: models may nest deeper than Python's limit
        row = waiting.pop()
        if row != _TOP:
            ordered.append(matches[row])
        waiting.extend(reversed(merged.get(row, ())))
    return _number_changes(ordered)


def _list_child_rows(profile: Profile, rows: dict[str, int]) -> dict[int, list[int]]:
    """The rows below each row, in the profile's order."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for path, parent in index_modules(profile).parents.items():
        children[_TOP if parent is None else rows[parent]].append(rows[path])
    return children


def _merge_siblings(before: list[int], after: list[int], kept: set[int], parents: dict[int, int]) -> list[int]:
    """The rows below one row: those of the before side, and among them those that only the after side has.

    A row of both sides is where the before side has it, under any parent; `parents` are those of the after side.
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
        elif pending and _find_added_ancestor(row, kept, parents) in pending:
            merged += pending
            pending = []
        merged.append(row)
    return merged + pending


def _find_added_ancestor(row: int, kept: set[int], parents: dict[int, int]) -> int:
    """The topmost added module that contains a row on the after side; _TOP for none."""
    found = _TOP
    while (row := parents.get(row, _TOP)) != _TOP and row not in kept:
        found = row
    return found


def _number_changes(matches: list[Match]) -> tuple[Match, ...]:
    numbers: dict[int, int] = {}
    return tuple(
        match if match.change_id is None else msgspec.structs.replace(match, change_id=numbers.setdefault(match.change_id, len(numbers)))
        for match in matches
    )
