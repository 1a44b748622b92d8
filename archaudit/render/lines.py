"""The text report line by line, each line with the name of its style."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from archaudit.render.detail import Detail
from archaudit.render.formatting import SYMBOLS, count
from archaudit.render.layout import TextColumn, choose_columns, format_columns, shorten, wrap
from archaudit.render.tables import (
    make_check_columns,
    make_claim_columns,
    make_hotspot_columns,
    make_layer_columns,
    make_layer_time_columns,
    make_metric_columns,
    make_section_columns,
    make_timing_columns,
    make_total_columns,
)
from archaudit.render.view import JudgementView, ProfileView, ReportView
from archaudit.render.view.drawing_records import Flow
from archaudit.render.view.method_records import CounterRow, FactRow, Methods, Timing
from archaudit.render.view.records import CheckRow, ClaimRow, Conclusion, GapRow, Headline, LayerRow, LayerTable, MetricRow, SectionRow

# Longer lines of prose are hard to follow, however wide the terminal.
_WIDEST_TEXT = 120
# With more claims than this, the true ones are only counted.
_MOST_CLAIMS = 12


class Line(NamedTuple):
    """One line without its newline, and its style (a key of terminal.STYLES)."""

    text: str = ""
    style: str = ""


def write_report(view: ReportView, width: int, detail: Detail | None = None, section: Iterable[Line] = ()) -> Iterator[Line]:
    """All lines of a report; the last is the verdict, if there were checks. `section` has further lines, which come after the layers."""
    yield from _write_headline(view.headline, width)
    yield from _write_metrics(view.metrics, width)
    yield from _write_sections(view.sections, view.layers.label_of("flops"), width)
    yield from _write_claims(view.claims, width)
    yield from write_layers(view.layers, width, detail)
    yield from section
    yield from _write_flow(view.flow, width)
    yield from _write_titled("Other changes", (f"{row.kind}: {row.text}" for row in view.other_changes), width)
    yield from _write_checks(view.checks, width)
    yield from _write_methods(view.methods, width)
    if view.checks or view.claims:
        yield Line()
        yield from _write_conclusion(view.headline.conclusion, width)


def write_profile(view: ProfileView, width: int, detail: Detail | None = None) -> Iterator[Line]:
    """All lines of a profile."""
    yield Line(shorten(view.title, width), "heading")
    if view.reference:
        yield from _write_text(view.reference, width, "dim")
    if view.inputs:
        yield from _write_text(f"input {', '.join(view.inputs)}", width, "dim")
    yield from _write_table("Totals", make_total_columns(view.totals), [""] * len(view.totals), width)
    for note in dict.fromkeys(row.note for row in view.totals if row.note.startswith("incomplete")):
        yield from _write_text(f"≥ {note}", width, "inconclusive")
    yield from write_layers(view.layers, width, detail)
    yield from _write_methods(view.methods, width)


def write_judgement(view: JudgementView, width: int) -> Iterator[Line]:
    """All lines on checks without a comparison, each check's reason on one line. The next steps are above the last line, the verdict."""
    yield from _write_checks(view.checks, width, wrapped=False)
    yield from _write_claims(view.claims, width)
    for difference in view.differences:
        yield Line()
        yield Line(shorten(f"{difference.name} since its baseline", width), "heading")
        yield from _write_text(difference.sentence, width)
        yield from write_layers(difference.layers, width)
        yield from _write_flow(difference.flow, width)
    if view.next_steps:
        yield from (Line(), Line("Next steps", "heading"))
        yield from (Line(step) for step in view.next_steps)
    yield Line()
    yield from _write_conclusion(view.conclusion, width)


def write_timing_lines(title: str, layers: LayerTable, methods: Methods, width: int) -> Iterator[Line]:
    """All lines of `archaudit latency`: the time of every layer, then the latency section."""
    yield Line(shorten(title, width), "heading")
    if any(row.row.figures for row in layers.tree) and layers.columns_of("latency"):
        yield from _write_table("Layers, ms including submodules", make_layer_time_columns(layers), [""] * len(layers.tree), width)
    yield from _write_latency(methods, width)


def _write_latency(methods: Methods, width: int) -> Iterator[Line]:
    yield from _write_titled("Latency", (_format_side(row.side) + row.line for row in methods.latency), width)
    if methods.timing is not None:
        yield from _write_timing(methods.timing, width)


def _write_conclusion(conclusion: Conclusion, width: int) -> Iterator[Line]:
    yield from _write_text(f"{conclusion.symbol} {conclusion.verdict}: {conclusion.why}", width, conclusion.outcome)


def _write_headline(headline: Headline, width: int) -> Iterator[Line]:
    yield Line(shorten(headline.title, width), "heading")
    for reference in headline.references:
        yield from _write_text(reference, width, "dim")
    if headline.inputs:
        yield from _write_text(f"input {', '.join(headline.inputs)}", width, "dim")
    yield Line()
    yield from _write_text(headline.sentence, width)
    if headline.changes:
        yield from _write_text(headline.changes, width)
    if headline.proof:
        yield from _write_text(headline.proof, width)


def _write_metrics(rows: Sequence[MetricRow], width: int) -> Iterator[Line]:
    yield from _write_table("Summary (FLOPs = 2 × MACs)", make_metric_columns(rows), [""] * len(rows), width)
    for note in dict.fromkeys(row.note for row in rows if row.note.startswith("incomplete")):
        yield from _write_text(f"≥ {note}", width, "inconclusive")


def _write_sections(rows: Sequence[SectionRow], unit: str, width: int) -> Iterator[Line]:
    if not rows:
        return
    head, lines = _format_table("Breakdown", make_section_columns(rows, unit), width)
    yield from head
    for line, row in zip(lines, rows, strict=True):
        yield Line(line, "total" if row.is_total else "")
        for remark in row.remarks:
            text = f"  {remark.symbol} document says {remark.figure} ({remark.about}); measured {remark.measured}"
            yield Line(shorten(text, width), remark.finding)


def write_layers(table: LayerTable, width: int, detail: Detail | None = None) -> Iterator[Line]:
    """The table of layers, or the rows that `detail` selects."""
    table = detail.select_rows(table) if detail is not None else table
    head, lines = _format_table(f"Layers: {table.summary}", make_layer_columns(table, width), width)
    yield from head
    for line, row in zip(lines, table.brief, strict=True):
        if isinstance(row, GapRow):
            yield Line(line, "dim")
            continue
        yield Line(line, row.kind)
        note = "; ".join(part for part in (_describe_unexplained(row, line), row.note) if part)
        if note:
            yield from _write_text(f"    {note}", width, "dim")
    yield from _write_text(table.caption, width, "dim")


def _describe_unexplained(row: LayerRow, line: str) -> str:
    """The changes that neither figures nor note show; of a replaced module both types, if the line does not show them in full."""
    return ", ".join(f"replaced: {row.type}" if kind == "replaced" and row.type not in line else kind for kind in row.unexplained)


def _write_flow(flow: Flow, width: int) -> Iterator[Line]:
    """The changes of the forward pass in sentences and as a diff; unchanged steps are only counted."""
    if not flow.lines and not flow.sentences:
        return
    yield Line()
    yield Line(shorten(f"Forward pass: {flow.summary}" if flow.summary else "Forward pass", width), "heading")
    for sentence in flow.sentences:
        yield from _write_text(sentence, width, hanging="  ")
    for kind, group in groupby(flow.lines, key=lambda line: line.kind):
        lines = list(group)
        if not kind:
            yield Line(shorten(f"  … {count(len(lines), 'unchanged step')}", width), "dim")
            continue
        for line in lines:
            if line.before and line.after.startswith(f"{line.before} ("):  # the text is the same, and how it changed follows
                yield Line(shorten(f"~ {line.after}", width), "changed")
                continue
            if line.before:
                yield Line(shorten(f"- {line.before}", width), "removed" if kind != "moved" else "changed")
            if line.after:
                yield Line(shorten(f"+ {line.after}", width), "added" if kind != "moved" else "changed")


def _write_checks(rows: Sequence[CheckRow], width: int, *, wrapped: bool = True) -> Iterator[Line]:
    """The table of checks, then the reasons; unless `wrapped`, each on one line, as a log needs it."""
    if not rows:
        return
    yield from _write_table("Budgets and baselines", make_check_columns(rows, width), [row.style for row in rows], width)
    for row in rows:
        if row.outcome == "passed" and not row.assumptions:
            continue
        is_open = row.outcome != "passed"
        text = f"{row.symbol} {row.id}: {row.reason}" if is_open else f"{row.symbol} {row.id} assumes: {row.assumptions}"
        style = row.style if is_open else "dim"
        yield from _write_text(text, width, style, "  ") if wrapped else (Line(text, style),)


def _write_claims(rows: Sequence[ClaimRow], width: int) -> Iterator[Line]:
    if not rows:
        return
    notable = [row for row in rows if not row.is_plain]
    shown = rows if len(rows) <= _MOST_CLAIMS else notable
    if shown:
        yield from _write_table("Claims", make_claim_columns(shown), [row.finding for row in shown], width)
    else:
        yield from (Line(), Line("Claims", "heading"))
    if len(shown) < len(rows):
        noun = f"{'more ' if shown else ''}{'claim is' if len(rows) - len(shown) == 1 else 'claims are'}"
        yield Line(f"{SYMBOLS['true']} {len(rows) - len(shown):,} {noun} true", "true")
    for row in rows:
        if not row.is_plain:
            yield from _write_text(f"{row.symbol} {row.figure} ({row.source}): {row.reason}", width, row.finding, "  ")


def _write_methods(methods: Methods, width: int) -> Iterator[Line]:
    yield from _write_latency(methods, width)
    if methods.other_counters:
        yield from _write_titled(
            "Cross-check with other counters", (line for row in methods.other_counters for line in _describe_counter(row)), width
        )
    yield from _write_titled("Operator coverage", (_format_side(row.side) + row.line for row in methods.ledger), width)
    for row in methods.ledger:
        for operator in row.unknown:
            yield from _write_text(f"? {_format_side(row.side)}no formula for {operator}", width, "inconclusive")
    yield from _write_titled("Tied parameters", _list_facts(methods.ties), width)
    yield from _write_titled("Assumptions", _list_facts(methods.assumptions), width)
    yield from _write_titled("Measured with", (f"{_format_side(row.side)}{row.kind}: {row.text}" for row in methods.provenance), width)
    yield from _write_titled("Method", methods.conventions, width, hanging="")


def _write_timing(timing: Timing, width: int) -> Iterator[Line]:
    """Totals, the verdict, and where the time goes."""
    yield from _write_table("Totals, ms", make_timing_columns(timing.heads, timing.rows), [""] * len(timing.rows), width)
    yield from _write_text(timing.source, width, "dim", "  ")
    for row in timing.rows:
        if row.note:
            yield from _write_text(f"{row.label}: {row.note}", width, "dim", "  ")
    yield from _write_titled("Comparison", timing.judgement, width)
    yield from _write_titled("Effect of the change on time", timing.sentences, width)
    if timing.hotspots:
        yield from _write_table(
            "Where the time goes (own time, without submodules)", make_hotspot_columns(timing.hotspots), [""] * len(timing.hotspots), width
        )
    yield from _write_titled("Timing notes", timing.notes, width)


def _describe_counter(row: CounterRow) -> Iterator[str]:
    name = f"{_format_side(row.side)}{row.name}"
    if row.absent:
        yield f"{name}: {row.absent}"
        return
    yield f"{name}: {row.params} params ({row.params_note}), {row.macs.short} MACs ({row.summary})"
    for difference in row.differences:
        where = f" ({difference.where})" if difference.where else ""
        yield f"  {difference.macs.short} {difference.label}{where}"


def _list_facts(rows: Sequence[FactRow]) -> Iterator[str]:
    return (_format_side(row.side) + row.text for row in rows)


def _format_side(side: str) -> str:
    return f"{side}: " if side else ""


def _write_titled(title: str, texts: Iterable[str], width: int, hanging: str = "  ") -> Iterator[Line]:
    """A heading and its paragraphs; nothing if there are none."""
    listed = list(texts)
    if not listed:
        return
    yield Line()
    yield Line(title, "heading")
    for text in listed:
        yield from _write_text(text, width, hanging=hanging)


def _write_text(text: str, width: int, style: str = "", hanging: str = "") -> Iterator[Line]:
    yield from (Line(line, style) for line in wrap(text, min(width, _WIDEST_TEXT), hanging))


def _write_table(title: str, columns: Sequence[TextColumn], styles: Sequence[str], width: int) -> Iterator[Line]:
    """A heading and the columns that fit; `styles` has the style of each row."""
    head, lines = _format_table(title, columns, width)
    yield from head
    yield from (Line(line, style) for line, style in zip(lines, styles, strict=True))


def _format_table(title: str, columns: Sequence[TextColumn], width: int) -> tuple[list[Line], list[str]]:
    """The lines above a table's rows, and its rows."""
    headings, rows = format_columns(choose_columns(columns, width), width)
    head = [Line(), Line(shorten(title, width), "heading"), *(Line(shorten(heading, width), "dim") for heading in headings)]
    return head, [shorten(row, width) for row in rows]
