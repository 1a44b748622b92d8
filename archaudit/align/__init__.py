"""Which module after is which module before. One file for each way of matching; this one says in which order they are asked.

Every module of each side stands in exactly one match, so whatever is computed row by row adds up to the whole. Equal subtrees under one
name come first, which settles most of most models at the cost of reading them; then each pair of containers from the root downwards
(`by_place`), what moved elsewhere (`moves`), what held it (`containers`), and what was split or merged (`splits`). `structure` then tells
what became of the tree. A pair that reaches none of the thresholds is left unmatched: removed and added.

Swapping the sides gives the same pairs: which side is searched from is chosen by content, not by the order of the arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from archaudit.align.flow_segments import find_cuts, number_stretches
from archaudit.align.match_anywhere import match_containers, match_equal_anywhere, match_holders, match_stretches
from archaudit.align.match_siblings import match_downwards, match_roots, match_same_paths
from archaudit.align.matching import Found, Matching, order_matches
from archaudit.align.pins import Pin, check_pins, tell_pins
from archaudit.align.reasons import Explainer
from archaudit.align.side import Fingerprints, Side, describe_own
from archaudit.align.splits import find_splits
from archaudit.align.structure import Structure
from archaudit.schema import Match, ModuleRecord, Profile

__all__ = ["Pin", "align"]

_MIRRORED = {"wrapped": "unwrapped", "unwrapped": "wrapped", "split": "merged", "merged": "split"}


def align(before: Profile, after: Profile, pins: Iterable[Pin] = ()) -> tuple[Match, ...]:
    """One-to-one matches over every module of both sides, in an order that reads well; what has no partner is removed or added.

    `pins` win over everything that is found. Raises ConfigError for pins about modules that there are not.
    """
    pins = check_pins(before, after, pins)
    swapped = _sort_key(after) < _sort_key(before)
    prints = Fingerprints()
    left, right = (Side(profile, prints) for profile in ((after, before) if swapped else (before, after)))
    matching = Matching(left, right, prints)
    _apply_pins(matching, pins, swapped)
    match_roots(matching)
    match_equal_anywhere(matching)
    match_stretches(matching)
    match_holders(matching)
    match_containers(matching)
    match_same_paths(matching)
    structure = Structure(matching, find_splits(matching))
    matches = _number_changes(order_matches(before, after, _write_matches(structure, swapped)))
    return tell_pins(matches, pins) if pins else matches


def _sort_key(profile: Profile) -> tuple[int, list[tuple[object, ...]]]:
    """What tells two profiles apart for matching; the same for both only when they are the same."""
    return len(profile.modules), [(record.path, *describe_own(record)) for record in profile.modules]


def _apply_pins(matching: Matching, pins: tuple[Pin, ...], swapped: bool) -> None:
    for pin in pins:
        paths = (pin.after, pin.before) if swapped else (pin.before, pin.after)
        places = [None if path is None else side.positions[path] for side, path in zip(matching.sides, paths, strict=True)]
        for side, place in enumerate(places):
            if place is not None and places[1 - side] is None:
                matching.leave_alone(side, place)
        if places[0] is not None and places[1] is not None and pin.forbid:
            matching.forbid(places[0], places[1])
    for pin in pins:
        paths = (pin.after, pin.before) if swapped else (pin.before, pin.after)
        if paths[0] is not None and paths[1] is not None and not pin.forbid:
            pair = matching.left.positions[paths[0]], matching.right.positions[paths[1]]
            matching.pin(*pair)
    match_downwards(matching, list(matching.partners[0].items()))


def _write_matches(structure: Structure, swapped: bool) -> list[Match]:
    """The matches in terms of before and after."""
    matching = structure.matching
    numbers = (1, 0) if swapped else (0, 1)
    before, after = (matching.sides[number] for number in numbers)
    partners = matching.partners[numbers[0]]
    cuts = find_cuts(matching)
    stretches = [number_stretches(matching.sides[number], cuts[number]) for number in numbers]
    writer = _Writer(structure, Explainer(before, after, partners), swapped)
    matches = []
    for one in range(len(before)):
        other = partners.get(one)
        if other is None:
            match = Match(
                before_path=before.paths[one], after_path=None, confidence=1.0, reason="no counterpart after", stretch=stretches[0][one]
            )
            matches.append(writer.add_structure(match, (numbers[0], one)))
        else:
            matches.append(writer.write_pair(one, other, stretches[0][one]))
    for other in range(len(after)):
        if other not in matching.partners[numbers[1]]:
            match = Match(
                before_path=None, after_path=after.paths[other], confidence=1.0, reason="no counterpart before", stretch=stretches[1][other]
            )
            matches.append(writer.add_structure(match, (numbers[1], other)))
    return matches


class _Writer(NamedTuple):
    structure: Structure
    explainer: Explainer
    swapped: bool

    def write_pair(self, one: int, other: int, stretch: int) -> Match:
        left = other if self.swapped else one
        found = self.structure.matching.found[left]
        match = Match(
            before_path=self.explainer.before.paths[one],
            after_path=self.explainer.after.paths[other],
            confidence=_rate(self.explainer.before.records[one], self.explainer.after.records[other], found),
            reason=self.explainer.explain(one, other, found),
            stretch=stretch,
        )
        return self.add_structure(match, (0, left))

    def add_structure(self, match: Match, row: tuple[int, int]) -> Match:
        """The match with the kinds of change that the trees tell, and their reasons."""
        kinds = self.structure.kinds.get(row, [])
        if not kinds:
            return match
        reasons = [match.reason] if match.before_path is not None and match.after_path is not None else []
        split = self.structure.splits.get(row)
        if split is not None:
            reasons.append(self.explainer.explain_split(split, (split.side == 0) != self.swapped))
        for block, *counts in self.structure.counts.get(row[1], []) if row[0] == 0 else []:
            reasons.append(f"{block} ×{counts[self.swapped]} → ×{counts[not self.swapped]}")
        return msgspec.structs.replace(
            match,
            reason="; ".join(reasons),
            changes=tuple(_MIRRORED.get(kind, kind) if self.swapped else kind for kind in dict.fromkeys(kinds)),
            change_id=self.structure.change_ids.get(row),
        )


def _rate(before: ModuleRecord, after: ModuleRecord, found: Found) -> float:
    """A module that kept path and type is itself, however it was found: what state_dict and every checkpoint go by."""
    return 1.0 if before.path == after.path and before.type == after.type else round(found.confidence, 4)


def _number_changes(matches: tuple[Match, ...]) -> tuple[Match, ...]:
    """Splits and merges numbered from zero in the order of the rows."""
    numbers: dict[int, int] = {}
    return tuple(
        match if match.change_id is None else msgspec.structs.replace(match, change_id=numbers.setdefault(match.change_id, len(numbers)))
        for match in matches
    )
