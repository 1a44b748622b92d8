"""Matches the modules of two models: which module after is which module before.

Every module of either side is in exactly one match, so figures computed row by row add up to the whole. The steps, each in a file:

1. `match_siblings`: from the roots down, children of matched parents; most modules of most models are equal subtrees of the same name.
2. `match_anywhere`: equal subtrees under other parents, layers within one segment of the data flow, containers by what they hold.
3. `splits`: layers that were split or merged.
4. `tree_changes`: renamed, moved, wrapped, reordered, repeated.
5. `rows`: the records, with `reasons` in words.

A pair that reaches no threshold is left unmatched: one module is removed and another added. Swapping before and after gives the same pairs,
since the side to search from is chosen by content and not by the order of the arguments.
"""

from __future__ import annotations

from collections.abc import Iterable

from archaudit.align.match_anywhere import match_containers_by_children, match_containers_by_layers, match_equal_anywhere, match_segments
from archaudit.align.match_siblings import match_descendants, match_roots, match_same_paths
from archaudit.align.matching import LEFT, Matching
from archaudit.align.pins import Pin, add_pin_reasons, apply_pins, check_pins
from archaudit.align.rows import make_matches, order_matches
from archaudit.align.side import Fingerprints, Side, describe_own
from archaudit.align.splits import find_splits
from archaudit.align.tree_changes import TreeChanges
from archaudit.schema import Match, Pair, Profile

__all__ = ["Pin", "align"]


def align(before: Profile, after: Profile, pins: Iterable[Pin] = ()) -> tuple[Match, ...]:
    """One-to-one matches of all modules of both sides, in the order of a report's rows; a module without a partner is removed or added.

    `pins` have precedence over every rule. Raises ConfigError for pins of unknown modules and for contradicting pins.
    """
    profiles = Pair(before, after)
    pins = check_pins(profiles, pins)
    swapped = _make_sort_key(after) < _make_sort_key(before)
    fingerprints = Fingerprints()
    left, right = (Side(profile, fingerprints) for profile in (profiles[::-1] if swapped else profiles))
    matching = Matching(left, right, fingerprints)
    apply_pins(matching, pins, swapped=swapped)
    match_descendants(matching, list(matching.partners[LEFT].items()))
    match_roots(matching)
    match_equal_anywhere(matching)
    match_segments(matching)
    match_containers_by_layers(matching)
    match_containers_by_children(matching)
    match_same_paths(matching)
    changes = TreeChanges(matching, find_splits(matching))
    matches = order_matches(profiles, make_matches(changes, swapped=swapped))
    return add_pin_reasons(matches, pins) if pins else matches


def _make_sort_key(profile: Profile) -> tuple[int, list[tuple[object, ...]]]:
    """A total order of profiles by their modules: equal only for profiles that are equal for matching."""
    return len(profile.modules), [(record.path, *describe_own(record)) for record in profile.modules]
