"""What happened to each matched module, what it cost, and the groups that the change consists of.

Rows have own costs, so they add up: the sum of all `own_delta` is the difference of the totals, which `diff` asserts. A row is about the
module itself, as its constructor made it, and its inputs: a container is `same` although a descendant changed; so is a layer that costs
more only because its input grew (its reason says so), and so is an unchanged child of a renamed or moved container: its path differs, but
that is its parent's change.
"""

from __future__ import annotations

from collections.abc import Iterable

from archaudit.diff.auto_groups import find_groups
from archaudit.diff.causes import explain_change, explain_flops
from archaudit.diff.connections import find_rewired
from archaudit.diff.forward import compare_forward
from archaudit.diff.groups import EVERYTHING_ELSE, Section, group_sections
from archaudit.diff.rows import KINDS, diff_rows
from archaudit.errors import ArchauditError
from archaudit.schema import Cost, Diff, Match, Profile, sum_costs

__all__ = ["EVERYTHING_ELSE", "KINDS", "Section", "diff", "explain_change", "explain_flops"]


def diff(before: Profile, after: Profile, matches: Iterable[Match], sections: Iterable[Section] = ()) -> Diff:
    """All rows in the order of `matches`, and groups that partition both models.

    The groups are the `sections` (modules of none are `everything else`); without sections, groups are found from the matches.
    Raises ConfigError for sections that overlap or match nothing, and ArchauditError for a profile that does not add up.
    """
    matches, sections = tuple(matches), tuple(sections)
    for profile in (before, after):
        _require_sums(profile)
    _require_each_once(before, [match.before_path for match in matches])
    _require_each_once(after, [match.after_path for match in matches])
    forward = compare_forward(before, after, matches)
    rewired = find_rewired(before, after, matches) if forward is None else forward.rewired
    rows = diff_rows(before, after, matches, rewired, None if forward is None else forward.changes)
    delta = after.totals - before.totals
    attributed = sum_costs(row.own_delta for row in rows)
    if attributed != delta:
        raise AssertionError(f"the rows' own deltas sum to {attributed}, but the totals differ by {delta}")
    return Diff(
        before=before,
        after=after,
        delta=delta,
        flops_complete=before.flops_complete and after.flops_complete,
        modules=rows,
        groups=group_sections(before, after, sections) if sections else find_groups(before, after, matches, rows),
    )


def _require_sums(profile: Profile) -> None:
    summed = sum_costs(module.own for module in profile.modules)
    for field in Cost.__struct_fields__:
        parts, whole = getattr(summed, field), getattr(profile.totals, field)
        if parts != whole:
            raise ArchauditError(
                f"the profile of {profile.name} does not add up: its modules have {parts:,} {field}, its totals say {whole:,}",
                "If it was read from a file, the file was changed by hand or damaged: measure the model again.",
            )


def _require_each_once(profile: Profile, matched: Iterable[str | None]) -> None:
    paths = sorted(path for path in matched if path is not None)
    if paths != sorted(module.path for module in profile.modules):
        raise AssertionError(f"the matches do not cover each module of {profile.name} exactly once")
