"""Two profiles compared into a report. Nothing is judged here."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from archaudit.align import align
from archaudit.diff import Section, diff
from archaudit.diff.checkpoint.key_map import map_checkpoint, merge_sources
from archaudit.diff.checkpoint.weight_sources import WeightMap, plan_weights
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
    plan = plan_weights(before, after, matches)
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
        checkpoint=map_keys(before, after, matches, plan.choose(), plan.by_size),
    )


def map_keys(before: Profile, after: Profile, matches: Sequence[Match], weight_map: WeightMap, by_size: Collection[str]) -> CheckpointMap:
    """The checkpoint map with the sources of a map of weights, without those of the tensors `by_size`."""
    sources = {name: source for name, source in weight_map.sources.items() if name not in by_size}
    return merge_sources(map_checkpoint(before, after, matches), before, after, sources)
