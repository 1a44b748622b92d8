"""The ledger of a document's claims as Markdown, HTML or CSV, and a badge: every figure with what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from operator import itemgetter

from archaudit.metrics.quantities import format_exact
from archaudit.render.exports.formats import format_csv
from archaudit.render.exports.tables import Table, choose_columns, read_text
from archaudit.render.formatting import SYMBOLS, make_visible, round_quotient
from archaudit.render.templating import render_view
from archaudit.render.view.plots import Column, StudyView
from archaudit.schema import Verdict
from archaudit.schema.documents import Coverage, Number

_HEADINGS = ("line", "name", "model", "metric", "document says", "measured", "off", "verdict", "reading", "reason")
_RIGHT = frozenset(("line", "measured", "off"))
_BADGE_COLORS = {"passed": "#2e7d32", "failed": "#c62828", "inconclusive": "#8a6d00"}
_LETTER_WIDTH = 6.6  # of an 11 px sans-serif font, on average


def render_ledger(
    document: str, verdicts: Sequence[Verdict], numbers: Mapping[str, Sequence[Number]], coverage: Coverage, suffix: str
) -> str:
    """Every claim of a document: its place and name, the model, the figure, the measured value, the deviation and the verdict."""
    rows = [_make_row(verdict, numbers.get(verdict.id, ())) for verdict in verdicts]
    if suffix == ".csv":
        return format_csv(_HEADINGS, rows)
    columns = [
        Column(heading=heading, cells=tuple(row[position] for row in rows), right=heading in _RIGHT)
        for position, heading in enumerate(_HEADINGS)
    ]
    view = StudyView(
        title=f"Claims of {make_visible(document)}",
        sentence=f"{summarize_findings(verdicts)}. {len(coverage.uncovered):,} other numbers have no claim.",
        columns=tuple(columns),
    )
    return render_view("study.html.j2" if suffix == ".html" else "study.md.j2", view)


def tabulate_claims(
    document: str, verdicts: Sequence[Verdict], numbers: Mapping[str, Sequence[Number]], names: Sequence[str] = ()
) -> Table:
    """The ledger as a table: all columns, or the named ones. Raises ConfigError for an unknown name."""
    symbols = tuple(f"{symbol} " for symbol in SYMBOLS.values())
    rows = [
        tuple(cell[2:] if cell.startswith(symbols) else cell for cell in _make_row(verdict, numbers.get(verdict.id, ())))
        for verdict in verdicts
    ]
    fields = [
        read_text(heading.removesuffix(" says"), heading, itemgetter(place), right=heading in _RIGHT)
        for place, heading in enumerate(_HEADINGS)
    ]
    columns = choose_columns(fields, rows, names, [field.name for field in fields])
    return Table(title=f"Claims of {make_visible(document)}", columns=columns, notes=(f"{summarize_findings(verdicts)}.",))


def render_badge(verdicts: Sequence[Verdict], outcome: str) -> str:
    """An SVG with the number of claims that are true, in the color of the outcome."""
    judged = [verdict for verdict in verdicts if verdict.finding != "exempt"]
    right = sum(verdict.finding == "true" for verdict in judged)
    label, value = "archaudit claims", f"{right:,} of {len(judged):,} true"
    name = escape(f"{label}: {value}")
    left, width = (round(len(text) * _LETTER_WIDTH + 12) for text in (label, value))
    texts = ((left / 2, label), (left + width / 2, value))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width}" height="20" role="img" aria-label="{name}">'
        f'<rect width="{left + width}" height="20" rx="3" fill="#444"/>'
        f'<rect x="{left}" width="{width}" height="20" rx="3" fill="{_BADGE_COLORS.get(outcome, "#444")}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        + "".join(f'<text x="{x:g}" y="14">{escape(text)}</text>' for x, text in texts)
        + "</g></svg>\n"
    )


def summarize_findings(verdicts: Sequence[Verdict]) -> str:
    """`14 claims: 12 true, 2 false`."""
    findings = Counter(verdict.finding or "unbound" for verdict in verdicts)
    parts = [f"{findings[finding]:,} {finding}" for finding in ("true", "false", "other reading", "unbound", "exempt") if findings[finding]]
    return f"{len(verdicts):,} claims: {', '.join(parts) or 'none'}"


def _make_row(verdict: Verdict, numbers: Sequence[Number]) -> tuple[str, ...]:
    lines = ", ".join(str(number.line) for number in numbers)
    name = next((number.row_heading for number in numbers if number.row_heading), "")
    measured = verdict.measured or (format_exact(round_quotient(verdict.actual)) if verdict.actual is not None else "")
    off = ""
    if verdict.deviation is not None and verdict.limit:
        off = f"{100 * verdict.deviation / abs(verdict.limit):+.2f} %"
    finding = verdict.finding or "unbound"
    scope = f"{verdict.metric} of {verdict.scope}" if verdict.scope else verdict.metric
    reading = verdict.reading or ""
    reason = "" if finding == "true" and verdict.outcome == "passed" else verdict.reason
    cells = (lines, name, verdict.model, scope, verdict.expected, measured, off, f"{SYMBOLS[finding]} {finding}", reading, reason)
    return tuple(make_visible(cell) for cell in cells)
