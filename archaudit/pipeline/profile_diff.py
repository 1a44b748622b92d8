"""Two profiles compared into a report. Nothing is judged here."""

from __future__ import annotations

from collections.abc import Sequence

from archaudit.align import align
from archaudit.diff import Section, diff
from archaudit.diff.checkpoint.key_map import map_checkpoint, merge_sources
from archaudit.diff.checkpoint.weight_sources import map_weights
from archaudit.diff.definitions import diff_classes, diff_initialisation
from archaudit.diff.flow import diff_flow
from archaudit.metrics.catalog import is_unknown
from archaudit.schema import CheckpointMap, Diff, Match, Profile, Report


def compare_plain(before: Profile, after: Profile) -> Report:
    """The report of two profiles without a config: no pins and no sections."""
    return compare_matched(before, after, align(before, after, []), [])


def diff_profiles(before: Profile, after: Profile) -> Diff:
    """Only the changes of the modules and their costs, without pins and sections of a config."""
    return diff(before, after, align(before, after, []))


def compare_matched(before: Profile, after: Profile, matches: Sequence[Match], sections: Sequence[Section]) -> Report:
    """The report of two profiles whose modules are matched, grouped by `sections` first. Its outcome is inconclusive: it has no checks."""
    difference = diff(before, after, matches, sections)
    # a file of weights alone has no forward pass, classes or initialisation: that they are absent is no change
    has_code = not any(is_unknown(profile, "macs") for profile in (before, after))
    classes_added, classes_removed = diff_classes(before, after) if has_code else ((), ())
    return Report(
        before=before,
        after=after,
        delta=difference.delta,
        flops_complete=difference.flops_complete,
        modules=difference.modules,
        groups=difference.groups,
        outcome="inconclusive",
        flow=diff_flow(before, after, difference.modules) if has_code else None,
        initialisation=diff_initialisation(before, after, matches) if has_code else (),
        classes_added=classes_added,
        classes_removed=classes_removed,
        checkpoint=_map_keys(before, after, matches),
    )


def _map_keys(before: Profile, after: Profile, matches: Sequence[Match]) -> CheckpointMap:
    mapping = map_checkpoint(before, after, matches)
    if not (mapping.reshaped or (mapping.missing and mapping.unused)):
        return mapping
    return merge_sources(mapping, before, after, next(map_weights(before, after, matches)).sources)
