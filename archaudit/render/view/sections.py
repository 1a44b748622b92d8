"""The breakdown: sections of the model before and after with the claims about them, and the total."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from archaudit.index import index_modules
from archaudit.metrics.catalog import METRICS, is_unknown
from archaudit.render.formatting import ARROW, NOTHING, join_names, make_visible, name_path
from archaudit.render.view.checks import make_remark
from archaudit.render.view.figures import Trend, make_trend, scale_trend
from archaudit.render.view.records import Remark, SectionRow
from archaudit.render.view.screen_records import Units, read_compute
from archaudit.schema import Group, Profile, Report, Verdict

TOTAL = "Total"
_MOST_PATHS = 4


def view_sections(report: Report, units: Units = "flops") -> tuple[SectionRow, ...]:
    """A row for each group, then the total; none where the report has no groups. `flops` is in `units`."""
    if not report.groups:
        return ()
    incomplete = find_incomplete(report.before), find_incomplete(report.after)
    largest = max(max(group.before.params, group.after.params) for group in report.groups)
    return (*(_view_group(report, group, incomplete, largest, units) for group in report.groups), _view_total(report, units))


def find_incomplete(profile: Profile) -> frozenset[str]:
    return frozenset(module.path for module in profile.modules if not module.flops_complete)


def _view_group(report: Report, group: Group, incomplete: tuple[frozenset[str], frozenset[str]], largest: int, units: Units) -> SectionRow:
    # A module is incomplete if one of its submodules is. A section may contain only the complete ones; it then has a `≥` that it does not
    # need, which is the safe side.
    complete = incomplete[0].isdisjoint(group.before_paths), incomplete[1].isdisjoint(group.after_paths)
    trend = compare_params(report, group)
    return SectionRow(
        name=make_visible(group.name) or NOTHING,
        paths=_describe_paths(group),
        params=scale_trend(trend, group.before.params, group.after.params, largest),
        flops=make_trend(read_compute(group.before.flops, units), read_compute(group.after.flops, units), complete=complete),
        remarks=_list_remarks(check for check in report.checks if check.group == group.name),
    )


def compare_params(report: Report, group: Group) -> Trend:
    """The parameters of a section. Those of layers that are there, and whose weights another module owns now, are tied, not gone."""
    trend = make_trend(group.before.params, group.after.params, complete=has_complete_params(report))
    if group.before.params and not group.after.params and group.after_paths and _is_tied(report.after, group.after_paths):
        return msgspec.structs.replace(trend, percent="tied", ratio="tied")
    return trend


def _is_tied(profile: Profile, paths: Iterable[str]) -> bool:
    """Whether a module of these has a tensor of another module."""
    index = index_modules(profile)
    return any(
        tensor.tied_to is not None for path in paths if path in index for module in index.list_subtree(path) for tensor in module.tensors
    )


def has_complete_params(report: Report) -> tuple[bool, bool]:
    """Whether the numbers of parameters are whole: without weights that cannot be counted, or are in a layout that is not recognized."""
    before, after = (profile.params_complete and not is_unknown(profile, "params") for profile in (report.before, report.after))
    return before, after


def _describe_paths(group: Group) -> str:
    before = join_names([name_path(path) for path in group.before_paths], _MOST_PATHS) or NOTHING
    after = join_names([name_path(path) for path in group.after_paths], _MOST_PATHS) or NOTHING
    return before if group.before_paths == group.after_paths else f"{before} {ARROW} {after}"


def _list_remarks(checks: Iterable[Verdict]) -> tuple[Remark, ...]:
    """The claims, each figure once even if documents repeat it."""
    return tuple(dict.fromkeys(make_remark(check) for check in checks if check.origin == "claim"))


def _view_total(report: Report, units: Units) -> SectionRow:
    before, after = report.before, report.after
    # Claims about the whole model that are no metrics (a type exists, a shape) are only listed in the table of claims.
    whole = (check for check in report.checks if check.group is None and not check.scope and check.metric in METRICS)
    return SectionRow(
        name=TOTAL,
        paths="",
        params=make_trend(before.totals.params, after.totals.params, complete=has_complete_params(report)),
        flops=make_trend(
            read_compute(before.totals.flops, units),
            read_compute(after.totals.flops, units),
            complete=(before.flops_complete, after.flops_complete),
        ),
        remarks=_list_remarks(whole),
        is_total=True,
    )
