"""The answer on one screen: what changed and what it costs, in as few rows as the whole truth takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import UNSET

from archaudit.metrics.catalog import is_unknown
from archaudit.metrics.quantities import format_percent, format_short
from archaudit.render.formatting import ARROW, NOTHING, count, join_names, make_visible, name_path
from archaudit.render.view.checks import view_checks, view_claims, view_conclusion
from archaudit.render.view.figures import Trend, make_duration_trend, make_figure, make_trend
from archaudit.render.view.largest_changes import list_largest
from archaudit.render.view.latency_section import describe_source, find_median, summarise_times
from archaudit.render.view.layer_table.layers import view_profile_layers
from archaudit.render.view.other_counters import view_other_counters
from archaudit.render.view.records import ClaimRow, TreeRow
from archaudit.render.view.screen_records import (
    UNIT_LABELS,
    Alert,
    ProfileScreen,
    ReportScreen,
    ScreenChange,
    ScreenModule,
    ScreenTotal,
    Units,
    read_compute,
)
from archaudit.render.view.sections import compare_params, find_incomplete
from archaudit.render.view.sentences import count_changes, explain_cost, explain_proof, explain_remarks, list_forward_changes
from archaudit.render.view.summary import INCOMPLETE_NOTES, describe_inputs, name_comparison, name_profile, view_metrics
from archaudit.schema import Group, Profile, Report

# The totals of the screen, with their labels.
_TOTALS = {"params": "Parameters", "macs": "MACs", "flops": "FLOPs", "peak_activation_bytes": "Peak memory", "latency": "Latency, ms"}
_NOTES = {
    "macs": "multiply-accumulates",
    "flops": "2 × MACs",
    "peak_activation_bytes": "live tensors in one forward pass",
}
_MOST_PATHS = 3
# Dead compute below this share of the FLOPs is no reason to look at the model again.
_LEAST_DEAD = 0.01


def view_screen(report: Report, units: Units = "flops") -> ReportScreen:
    """The rows of a comparison."""
    sections = [_view_section(report, group, units) for group in report.groups]
    changed = [row for row in sections if "same" not in (row.params.direction, row.compute.direction) or row.weight]
    use_sections = len(changed) > 1 or any(check.group for check in report.checks)
    changes = changed if use_sections else list_largest(report, units)
    time = summarise_times(report.before.latency, report.after.latency)
    inputs, inputs_after = describe_inputs(report.before), describe_inputs(report.after)
    return ReportScreen(
        title=name_comparison(report.before, report.after),
        inputs=inputs if inputs == inputs_after else (f"{', '.join(inputs)} {ARROW} {', '.join(inputs_after)}",),
        conclusion=view_conclusion(report.checks, report.outcome) if report.checks else None,
        sentences=tuple(filter(None, (explain_cost(report), *explain_remarks(report), time, explain_proof(report.equivalence)))),
        totals=tuple(
            ScreenTotal(label=_TOTALS[row.key], trend=row.trend, note=_NOTES.get(row.key, ""), exact=row.key == "params")
            for key in _TOTALS
            for row in view_metrics(report)
            if row.key == key
        ),
        heading="section" if use_sections else "module",
        changes=tuple(changes),
        unchanged=len(sections) - len(changed) if use_sections else 0,
        modules=count_changes(report),
        forward=tuple(list_forward_changes(report.modules)),
        alerts=(*_list_failures(report), *_list_doubts((("before", report.before), ("after", report.after)))),
        hints=_list_hints((report.before, report.after)),
        unit=UNIT_LABELS[units],
    )


def _view_section(report: Report, group: Group, units: Units) -> ScreenChange:
    incomplete = find_incomplete(report.before), find_incomplete(report.after)
    complete = incomplete[0].isdisjoint(group.before_paths), incomplete[1].isdisjoint(group.after_paths)
    compute = make_trend(read_compute(group.before.flops, units), read_compute(group.after.flops, units), complete=complete)
    totals = report.before.totals, report.after.totals
    return ScreenChange(
        name=make_visible(group.name) or NOTHING,
        params=compare_params(report, group),
        compute=compute,
        detail=_describe_paths(group),
        weight=_share(group.delta.params, *(total.params for total in totals))
        + _share(group.delta.flops, *(total.flops for total in totals)),
    )


def _share(delta: int, before: int, after: int) -> float:
    return abs(delta) / max(1, before, after)


def _describe_paths(group: Group) -> str:
    before, after = (
        join_names([name_path(path) for path in paths], _MOST_PATHS) or NOTHING for paths in (group.before_paths, group.after_paths)
    )
    text = before if group.before_paths == group.after_paths else f"{before} {ARROW} {after}"
    return "" if text == group.name else text


# --- what a reader must not miss --------------------------------------------------------------------------------------


def _list_failures(report: Report) -> Iterator[Alert]:
    """Checks that did not pass, then claims that are not true: those that decide the outcome first, with the reason."""
    for row in sorted(view_checks(report.checks), key=lambda row: (row.outcome != "failed", bool(row.level))):
        if row.outcome != "passed":
            level = f" ({row.level})" if row.level else ""
            brief = f"{row.symbol} {row.id}{level}: {row.plain}, limit {row.bound}"
            growth = f"; largest growth: {row.growth}" if row.growth else ""
            yield Alert(text=f"{row.symbol} {row.id}{level}: {row.reason}{growth}", style=row.style, brief=brief)
    for claim in sorted(view_claims(report.checks), key=lambda claim: claim.outcome == "passed"):
        if not claim.is_plain and claim.finding != "exempt":
            brief = _describe_claim(claim)
            text = brief if claim.outcome == "passed" else f"{claim.symbol} {claim.figure} ({claim.source}): {claim.reason}"
            yield Alert(text=text, style=claim.finding, brief=brief)


def _describe_claim(claim: ClaimRow) -> str:
    expected = ", as expected" if claim.outcome == "passed" else ""
    return f"{claim.symbol} {claim.figure} ({claim.what}): measured {claim.measured}{expected}"


def _list_doubts(sides: Sequence[tuple[str, Profile]]) -> Iterator[Alert]:
    """What makes the counts uncertain: operators without a formula, and other counters that disagree without an explanation."""
    for side, profile in sides:
        where = f"{side}: " if side else ""
        unknown = [operator for operator in profile.ledger.operators if operator.status == "unknown"]
        if unknown:
            named = join_names([f"{make_visible(operator.name)} in {name_path(operator.modules[0])}" for operator in unknown], 2)
            yield Alert(text=f"≥ {where}no formula for {named}: its MACs are missing, so totals are lower bounds", style="inconclusive")
        elif not profile.flops_complete and not is_unknown(profile, "flops"):
            yield Alert(text=f"≥ {where}an operator has no formula: its MACs are missing, so totals are lower bounds", style="inconclusive")
        dead = {} if profile.dead_flops is UNSET else profile.dead_flops
        lost = sum(dead.values())
        if lost and lost >= _LEAST_DEAD * profile.totals.flops:
            named = join_names([name_path(path) for path in sorted(dead, key=lambda path: -dead[path])], 2)
            share = format_percent(lost / profile.totals.flops)
            yield Alert(text=f"? {where}dead compute: {share} of the FLOPs, in {named}, reach no output of the model", style="inconclusive")
    rows, _ = view_other_counters(sides)
    for side, _ in sides:
        differing: list[str] = []
        for row in (row for row in rows if row.side == side):
            parts = [f"{difference.macs.short} MACs" for difference in row.differences if not difference.explained]
            parts += ["other parameters"] if row.params_note.endswith("unexplained") else []
            if parts:
                differing.append(f"{row.name} ({', '.join(parts)})")
        if differing:
            text = f"? {f'{side}: ' if side else ''}other counters disagree without an explanation: {' and '.join(differing)}; see --full"
            yield Alert(text=text, style="inconclusive")


def _list_hints(profiles: Sequence[Profile]) -> tuple[str, ...]:
    """What `--full` shows besides layers, the forward pass and the method."""
    assumptions = {text for profile in profiles for text in profile.ledger.assumptions}
    ties = {tie for profile in profiles for tie in profile.ties}
    return tuple(
        filter(
            None,
            (
                count(len(assumptions), "assumption") if assumptions else "",
                count(len(ties), "tie of parameters", "ties of parameters") if ties else "",
            ),
        )
    )


# --- a single model ---------------------------------------------------------------------------------------------------


def view_profile_screen(profile: Profile) -> ProfileScreen:
    """The rows of a single model."""
    return ProfileScreen(
        title=name_profile(profile),
        inputs=describe_inputs(profile),
        modules=tuple(_list_modules(profile)),
        totals=tuple(_list_totals(profile)),
        alerts=tuple(_list_doubts((("", profile),))),
        hints=_list_hints((profile,)),
    )


def _list_modules(profile: Profile) -> Iterator[ScreenModule]:
    """The tree of modules; equal siblings are one row, which has no children."""
    rows = _drop_gathered(view_profile_layers(profile).tree)
    children: list[list[int]] = [[] for _ in rows]
    above: list[int] = []
    for place, row in enumerate(rows):
        del above[row.depth :]
        if above:
            children[above[-1]].append(place)
        above.append(place)
    for place, row in enumerate(rows):
        params, flops = row.numbers[0], row.numbers[4]
        complete = "≥" not in row.row.figures[1].short and row.row.figures[1].short != "?"
        yield ScreenModule(
            name=row.name,
            type=row.row.type if row.blocks == 1 else f"{row.row.type} ×{row.blocks:,}",
            shape=row.row.shape_short,
            params=row.row.figures[0],
            macs=make_figure(None if flops is None else flops // 2, complete=complete),
            flops=row.row.figures[1],
            share=format_percent(flops / profile.totals.flops) if flops and profile.totals.flops else "",
            depth=row.depth,
            children=tuple(children[place]),
            weight=_share(params or 0, profile.totals.params, 0) + _share(flops or 0, profile.totals.flops, 0),
        )


def _drop_gathered(rows: Sequence[TreeRow]) -> list[TreeRow]:
    """The rows without those below a heading for equal siblings."""
    kept: list[TreeRow] = []
    until = -1
    for row in rows:
        if until != -1 and row.depth > until:
            continue
        until = row.depth if row.gathers else -1
        kept.append(row)
    return kept


def _list_totals(profile: Profile) -> Iterator[ScreenTotal]:
    totals, peaks, complete = profile.totals, profile.peaks, profile.flops_complete
    trainable = "all trainable; " if totals.trainable_params == totals.params else f"{totals.trainable_params:,} trainable; "
    if is_unknown(profile, "trainable_params"):
        trainable = ""
    macs, flops = (None if is_unknown(profile, name) else value for name, value in (("macs", totals.macs), ("flops", totals.flops)))
    yield ScreenTotal(
        label="Parameters",
        trend=_make_single(totals.params, "params", complete=profile.params_complete and not is_unknown(profile, "params")),
        note=f"{trainable}{format_short(totals.param_bytes, 'bytes')}" if profile.params_complete else INCOMPLETE_NOTES["params"],
        exact=True,
    )
    yield ScreenTotal(label="MACs", trend=_make_single(macs, complete=complete), note=_NOTES["macs"])
    yield ScreenTotal(label="FLOPs", trend=_make_single(flops, complete=complete), note=_NOTES["flops"])
    live = _NOTES["peak_activation_bytes"]
    if peaks.saved_bytes is not None:  # two facts need 80 columns
        live = f"live tensors; {format_short(peaks.saved_bytes, 'bytes')} kept for backward"
    yield ScreenTotal(
        label="Peak memory",
        trend=_make_single(peaks.activation_bytes, "bytes", complete=profile.memory_complete),
        note=live if profile.memory_complete else INCOMPLETE_NOTES["memory"],
    )
    if profile.latency is not None:
        time = make_duration_trend(find_median(profile.latency), None, comparable=False)
        yield ScreenTotal(label="Latency, ms", trend=time, note=f"median, {describe_source(profile.latency)}")


def _make_single(value: int | None, unit: str = "", *, complete: bool = True) -> Trend:
    return make_trend(value, None, unit, complete=(complete, True))
