"""The first screen of a report: names, inputs, outcome, totals, and the change in sentences."""

from __future__ import annotations

from itertools import groupby

from archaudit.metrics.catalog import METRICS, Metric, is_unknown, measure_scope
from archaudit.metrics.selection import Completeness
from archaudit.render.formatting import ARROW, format_shape, make_visible, shorten_middle
from archaudit.render.view.checks import count_falsehoods, list_falsehoods, view_conclusion
from archaudit.render.view.figures import make_duration_trend, make_figure, make_trend, summarise_trend
from archaudit.render.view.latency_section import are_comparable, find_median
from archaudit.render.view.records import Headline, MetricRow, TotalRow
from archaudit.render.view.sentences import explain_changes, explain_cost, explain_proof, explain_remarks
from archaudit.schema import InputRecord, Profile, Report

_LEADING = ("params", "flops", "peak_activation_bytes", "latency")
# Shown in this order, then the others in the order of METRICS.
_ORDER = ("params", "flops", "macs", "peak_activation_bytes", "latency")
# The name is a heading; the reference below it is complete.
_LONGEST_NAME = 80
_NOTES = {
    "flops": "2 × MACs",
    "macs": "multiply-accumulates",
    "activation_bytes": "sum over all allocated tensors",
    "peak_activation_bytes": "peak of live tensors, without grad",
    "saved_bytes": "kept for the backward pass",
}
INCOMPLETE_NOTE = "incomplete: an operator has no formula, so this is a lower bound"
INCOMPLETE_NOTES: dict[Completeness, str] = {
    "flops": INCOMPLETE_NOTE,
    "params": "incomplete: some weights cannot be counted, so this is a lower bound",
    "memory": "incomplete: an operator hides what it allocates or reads, so this is a lower bound",
}


def view_headline(report: Report) -> Headline:
    """Title, references, inputs and outcome."""
    before, after = name_profile(report.before), name_profile(report.after)
    references = [
        f"{side} is {make_visible(profile.reference)}"
        for side, profile in (("before", report.before), ("after", report.after))
        if profile.reference not in ("", profile.name)
    ]
    inputs = describe_inputs(report.before)
    inputs_after = describe_inputs(report.after)
    if inputs != inputs_after:
        inputs = (*(f"before: {text}" for text in inputs), *(f"after: {text}" for text in inputs_after))
    return Headline(
        title=name_comparison(report.before, report.after),
        before=before,
        after=after,
        references=tuple(references),
        inputs=inputs,
        conclusion=view_conclusion(report.checks, report.outcome),
        sentence=" ".join((explain_cost(report), *explain_remarks(report))),
        changes=explain_changes(report),
        proof=explain_proof(report.equivalence),
        is_judged=bool(report.checks),
        falsehoods=list_falsehoods(report.checks),
        false_claims=count_falsehoods(report.checks),
    )


def name_comparison(before: Profile, after: Profile) -> str:
    """`before → after`; revisions of one reference name it once: `net.py:Net: v1.0 → main`."""
    one, other = before.name.rpartition("@"), after.name.rpartition("@")
    if one[0] and one[0] in (other[0], after.name):
        names = make_visible(one[0]), make_visible(one[2]), make_visible(other[2]) if other[0] else "work tree"
        reference, old, new = (shorten_middle(name, _LONGEST_NAME) for name in names)
        return f"{reference}: {old} {ARROW} {new}"
    return f"{name_profile(before)} {ARROW} {name_profile(after)}"


def name_profile(profile: Profile) -> str:
    """A profile's name for headings."""
    return shorten_middle(make_visible(profile.name), _LONGEST_NAME) or "(unnamed)"


def describe_inputs(profile: Profile) -> tuple[str, ...]:
    """`1×3×512×512 float32`, or `ids 1×128 int64` for one passed by name; the equal tensors of a cache in one text: `cache (64) 1×8×4`."""
    texts = []
    for (name, shape, dtype), records in groupby(profile.inputs, lambda each: (_read_argument(each), each.shape, each.dtype)):
        count = len(list(records))
        # The name of a positional input is its position, which the order shows already.
        label = "" if name.isdecimal() else make_visible(name)
        several = f"({count})" if count > 1 else ""
        texts.append(" ".join(part for part in (label, several, format_shape(shape), make_visible(dtype)) if part))
    return tuple(texts)


def _read_argument(record: InputRecord) -> str:
    """The name of an input; for one of several tensors in an argument the name of the argument."""
    argument, dot, number = record.name.rpartition(".")
    return argument if dot and number.isdecimal() and argument else record.name


def view_metrics(report: Report) -> tuple[MetricRow, ...]:
    """The totals of every informative metric, and the latency if it was measured."""
    rows = [
        _view_metric(report, metric, (metric.is_complete(report.before), metric.is_complete(report.after)))
        for metric in METRICS.values()
        if any(_is_informative(metric, profile) for profile in (report.before, report.after))
    ]
    if report.before.latency or report.after.latency:
        trend = make_duration_trend(
            find_median(report.before.latency), find_median(report.after.latency), comparable=are_comparable(report.before, report.after)
        )
        rows.append(MetricRow(key="latency", label="Latency, median ms", trend=trend, summary=summarise_trend(trend), leading=True))
    return tuple(sorted(rows, key=lambda row: _ORDER.index(row.key) if row.key in _ORDER else len(_ORDER)))


def _is_informative(metric: Metric, profile: Profile) -> bool:
    """Whether to show a metric: one that counts a kind of parameters is shown if it counts some of them, but not all."""
    return metric.of_scope is None or read_total(profile, metric) not in (None, 0, profile.totals.params)


def _view_metric(report: Report, metric: Metric, complete: tuple[bool, bool]) -> MetricRow:
    before, after = read_total(report.before, metric), read_total(report.after, metric)
    trend = make_trend(before, after, metric.unit, complete=complete)
    return MetricRow(
        key=metric.name,
        label=_label(metric),
        trend=trend,
        summary=summarise_trend(trend),
        note=_NOTES.get(metric.name, "") if all(complete) else INCOMPLETE_NOTES[metric.completeness or "flops"],
        aside=_describe_macs(report, complete) if metric.name == "flops" else "",
        leading=metric.name in _LEADING and (before, after) != (None, None),
    )


def _describe_macs(report: Report, complete: tuple[bool, bool]) -> str:
    sides = make_trend(report.before.totals.macs, report.after.totals.macs, complete=complete).sides
    return f"{sides.before.short} {ARROW} {sides.after.short} MACs"


def _label(metric: Metric) -> str:
    """The label, with its unit if that is not part of it."""
    return f"{metric.label}, bytes" if metric.unit == "bytes" and "ytes" not in metric.label else metric.label


def read_total(profile: Profile, metric: Metric) -> int | None:
    """The whole model's number; the counted part for incomplete FLOPs. None if the profile's source does not have it."""
    if is_unknown(profile, metric.name):
        return None
    if metric.of_cost is not None:
        return metric.of_cost(profile.totals)
    if metric.of_profile is not None:
        return metric.of_profile(profile)
    return measure_scope(profile, metric).value


def view_totals(profile: Profile) -> tuple[TotalRow, ...]:
    """Every metric of one model."""
    rows = []
    for metric in (metric for metric in METRICS.values() if _is_informative(metric, profile)):
        complete = metric.is_complete(profile)
        value = read_total(profile, metric)
        rows.append(
            TotalRow(
                key=metric.name,
                label=_label(metric),
                value=make_figure(value, metric.unit, complete=complete),
                note=_NOTES.get(metric.name, "") if complete or value is None else INCOMPLETE_NOTES[metric.completeness or "flops"],
                leading=metric.name in _LEADING and value is not None,
            )
        )
    if profile.latency:
        trend = make_duration_trend(find_median(profile.latency), None, comparable=False)
        rows.append(TotalRow(key="latency", label="Latency, median ms", value=trend.sides.before, leading=True))
    return tuple(sorted(rows, key=lambda row: _ORDER.index(row.key) if row.key in _ORDER else len(_ORDER)))
