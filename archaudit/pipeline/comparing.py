"""Two profiles as a report of what changed: nothing is judged."""

from __future__ import annotations

from collections.abc import Sequence

from archaudit.align import align
from archaudit.diff import Section, diff
from archaudit.diff.checkpoint.key_map import map_checkpoint, put_together
from archaudit.diff.checkpoint.weight_sources import inherit_weights
from archaudit.diff.definitions import diff_classes, diff_initialisation
from archaudit.diff.flow import diff_flow
from archaudit.metrics.catalog import is_unknown
from archaudit.schema import CheckpointMap, Diff, Match, Profile, Report


def compare_plain(before: Profile, after: Profile) -> Report:
    """What changed, as it comes out by itself: without pins and sections of a config."""
    return compare_matched(before, after, align(before, after, []), [])


def diff_profiles(before: Profile, after: Profile) -> Diff:
    """Only the changes of the modules and their costs, without pins and sections of a config."""
    return diff(before, after, align(before, after, []))


def compare_matched(before: Profile, after: Profile, matches: Sequence[Match], sections: Sequence[Section]) -> Report:
    """What changed where `matches` says which modules are which, in the named `sections` first. The outcome is open: nothing was asked."""
    difference = diff(before, after, matches, sections)
    # what a source without code does not say is no change: weights alone have no forward pass, no classes, no initialisation
    told = not any(is_unknown(profile, "macs") for profile in (before, after))
    classes_added, classes_removed = diff_classes(before, after) if told else ((), ())
    return Report(
        before=before,
        after=after,
        delta=difference.delta,
        flops_complete=difference.flops_complete,
        modules=difference.modules,
        groups=difference.groups,
        outcome="inconclusive",
        flow=diff_flow(before, after, difference.modules) if told else None,
        initialisation=diff_initialisation(before, after, matches) if told else (),
        classes_added=classes_added,
        classes_removed=classes_removed,
        checkpoint=_map_keys(before, after, matches),
    )


def _map_keys(before: Profile, after: Profile, matches: Sequence[Match]) -> CheckpointMap:
    mapping = map_checkpoint(before, after, matches)
    if not (mapping.reshaped or (mapping.missing and mapping.unused)):
        return mapping
    return put_together(mapping, before, after, next(inherit_weights(before, after, matches)).sources)
