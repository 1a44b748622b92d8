"""The outputs of commands that make no report: a claims check, an explanation of MACs, histories, sweeps and bisections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from archaudit.metrics.quantities import format_exact, format_percent
from archaudit.render.claims_ledger import summarize_findings
from archaudit.render.formatting import SYMBOLS, format_shape, make_visible, round_quotient
from archaudit.render.layout import TextColumn, choose_columns, format_columns, shorten, wrap
from archaudit.render.view.histories import describe_bisection, view_history
from archaudit.render.view.plots import StudyView
from archaudit.render.view.sweeps import view_sweep
from archaudit.schema import Bisection, Explanation, History, OperatorRun, Sweep, Verdict, encode
from archaudit.schema.documents import Coverage, Number

_NARROWEST = 40

# --- claims check ---------------------------------------------------------------------------------------------------

_MOST_UNCOVERED = 50
_LONGEST_EXCERPT = 80


def format_claims(verdicts: Sequence[Verdict], numbers: Mapping[str, Sequence[Number]], coverage: Coverage) -> Iterable[str]:
    """Lines: each claim with its line, measured value and verdict; then which numbers of the document have a claim.

    A terminal interprets nothing in the lines, for any content of the document.
    """
    for verdict in verdicts:
        lines = ", ".join(str(number.line) for number in numbers.get(verdict.id, ())) or "-"
        finding = verdict.finding or "unbound"
        expected = verdict.outcome == "passed" and finding not in ("true", "exempt")
        mark = " (expected)" if expected else ""
        yield make_visible(f"{SYMBOLS[finding]} {finding}{mark}  line {lines}  {verdict.expected}  {_describe_claim(verdict)}")
        if finding != "true" or verdict.outcome != "passed":
            yield make_visible(f"    {verdict.reason}")
    yield summarize_findings(verdicts)
    yield from _format_coverage(coverage)


def _describe_claim(verdict: Verdict) -> str:
    """`params of decoder, after: 22,176`."""
    if verdict.finding == "exempt":
        return ""
    scope = f" of {verdict.scope}" if verdict.scope else ""
    model = f", {verdict.model}" if verdict.model else ""
    measured = verdict.measured or (format_exact(round_quotient(verdict.actual)) if verdict.actual is not None else "")
    return f"{verdict.metric}{scope}{model}" + (f": {measured}" if measured else "")


def _format_coverage(coverage: Coverage) -> Iterator[str]:
    covered = len(coverage.bound) + len(coverage.exempt)
    share = f" ({format_percent(covered / coverage.total)})" if coverage.total else ""
    yield (
        f"coverage: {covered:,} of {coverage.total:,} numbers{share}: "
        f"{len(coverage.bound):,} bound, {len(coverage.exempt):,} exempt, {len(coverage.uncovered):,} uncovered"
    )
    for number in coverage.uncovered[:_MOST_UNCOVERED]:
        yield make_visible(f"? uncovered  line {number.line}  {number.text}  {number.run.whole.strip()[:_LONGEST_EXCERPT]}")
    if len(coverage.uncovered) > _MOST_UNCOVERED:
        yield f"? and {len(coverage.uncovered) - _MOST_UNCOVERED:,} more"
    for digits in coverage.unreadable[:_MOST_UNCOVERED]:
        yield make_visible(f"! unreadable  line {digits.line}  {digits.text}")
    if len(coverage.unreadable) > _MOST_UNCOVERED:
        yield f"! and {len(coverage.unreadable) - _MOST_UNCOVERED:,} more"
    if coverage.by_rule:
        yield "not numbers by rule: " + ", ".join(f"{number:,} {rule}" for rule, number in sorted(coverage.by_rule.items()))


# --- profile --explain ----------------------------------------------------------------------------------------------


def render_explanation(explanation: Explanation) -> str:
    """The MACs of one module: each counted operator with its shapes and formula, operators without a formula, and those counted as zero."""
    title = f"{make_visible(explanation.path) or '(root)'} ({make_visible(explanation.type)}) of {make_visible(explanation.name)}"
    least = "" if explanation.flops_complete else "at least "
    total = f"{least}{format_exact(explanation.macs)} MACs = {format_exact(2 * explanation.macs)} FLOPs"
    lines = [f"{title}: {total}", ""]
    counted = [run for run in explanation.operators if run.status == "counted"]
    for run in counted:
        lines += _format_operator(run, explanation.path)
    if not counted:
        lines.append("No operator in this module counts MACs.")
    unknown = [run for run in explanation.operators if run.status == "unknown"]
    if unknown:
        lines += ["", "Without a formula, so the count is incomplete:"]
        for run in unknown:
            lines += _format_operator(run, explanation.path)
    zeros = Counter((run.operator, run.note or "") for run in explanation.operators if run.status == "zero")
    if zeros:
        written = [f"{make_visible(name)} x{number}{f' ({note})' if note else ''}" for (name, note), number in sorted(zeros.items())]
        lines += ["", "Counted as zero by convention (the bytes that they move are counted): " + ", ".join(written)]
    return "\n".join(lines)


def _format_operator(run: OperatorRun, path: str) -> list[str]:
    where = f" in {make_visible(run.module)}" if run.module != path else ""
    shapes = ", ".join(format_shape(shape) for shape in run.inputs)
    results = ", ".join(format_shape(shape) for shape in run.outputs)
    note = f"  ({make_visible(run.note)})" if run.note and run.status == "counted" else ""
    return [f"{make_visible(run.operator)}{where}: {shapes} -> {results}", f"    {make_visible(run.formula)}{note}"]


# --- history, sweep, bisect -----------------------------------------------------------------------------------------


def render_study_text(study: History | Sweep, width: int) -> str:
    """The table, with the details of a row below it."""
    return "\n".join(line.rstrip() for line in _format_study(_view_study(study), max(width, _NARROWEST))) + "\n"


def render_study_markdown(study: History | Sweep) -> str:
    """Tables and diagrams that GitHub renders."""
    from archaudit.render.templating import render_view

    return render_view("study.md.j2", _view_study(study))


def render_study_html(study: History | Sweep) -> str:
    """One self-contained page."""
    from archaudit.render.templating import render_view

    return render_view("study.html.j2", _view_study(study))


STUDY_FORMATS: dict[str, Callable[[History | Sweep], str]] = {
    "json": lambda study: encode(study).decode(),
    "markdown": render_study_markdown,
    "html": render_study_html,
}


def render_bisection_text(found: Bisection, width: int) -> str:
    """The result of a bisection, in sentences."""
    lines = [line for sentence in describe_bisection(found) for line in wrap(sentence, max(width, _NARROWEST), "    ")]
    return "\n".join(lines) + "\n"


def _view_study(study: History | Sweep) -> StudyView:
    return view_history(study) if isinstance(study, History) else view_sweep(study)


def _format_study(view: StudyView, width: int) -> Iterator[str]:
    yield shorten(view.title, width)
    yield ""
    columns = [
        TextColumn(column.heading, column.cells, rank=column.rank, right=column.right, least=column.least) for column in view.columns
    ]
    headings, rows = format_columns(choose_columns(columns, width), width)
    yield from headings
    for place, row in enumerate(rows):
        yield row
        for detail in view.details.get(place, ()):
            yield from wrap(f"    {detail}", width, "      ")
    yield ""
    for sentence in (view.sentence, *view.notes):
        yield from wrap(sentence, width)
