"""What `archaudit claims check` says: each claim with its line, what was measured, the verdict; then what is covered and what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from archaudit.metrics.quantities import format_exact, format_percent
from archaudit.schema import Verdict
from archaudit.schema.documents import Coverage, Number

SYMBOLS = {"true": "✓", "false": "✗", "other reading": "≈", "unbound": "?", "exempt": "·"}
_ORDER = ("true", "false", "other reading", "unbound", "exempt")
_MOST_UNCOVERED = 50


def tell(verdicts: Sequence[Verdict], numbers: Mapping[str, Sequence[Number]], coverage: Coverage) -> Iterable[str]:
    """The lines of the answer. Nothing in them can be obeyed by a terminal, whatever the document holds."""
    for verdict in verdicts:
        lines = ", ".join(str(number.line) for number in numbers.get(verdict.id, ())) or "-"
        finding = verdict.finding or "unbound"
        mark = (
            "" if (verdict.outcome == "passed") == (finding in ("true", "exempt")) else " (expected)" if verdict.outcome == "passed" else ""
        )
        yield printable(f"{SYMBOLS[finding]} {finding}{mark}  line {lines}  {verdict.expected}  {_describe(verdict)}")
        if finding != "true" or verdict.outcome != "passed":
            yield printable(f"    {verdict.reason}")
    findings: Counter[str] = Counter(verdict.finding or "unbound" for verdict in verdicts)
    parts = [f"{findings[finding]:,} {finding}" for finding in _ORDER if findings[finding]]
    yield f"{len(verdicts):,} claims: {', '.join(parts) or 'none'}"
    yield from _tell_coverage(coverage)


def _describe(verdict: Verdict) -> str:
    if verdict.finding == "exempt":
        return ""
    scope = f" of {verdict.scope}" if verdict.scope else ""
    model = f", {verdict.model}" if verdict.model else ""
    measured = verdict.measured or (format_exact(_tidy(verdict.actual)) if verdict.actual is not None else "")
    return f"{verdict.metric}{scope}{model}" + (f": {measured}" if measured else "")


def _tidy(value: float) -> float:
    return value if float(value).is_integer() else float(f"{value:.6g}")


def _tell_coverage(coverage: Coverage) -> Iterable[str]:
    covered = len(coverage.bound) + len(coverage.exempt)
    share = f" ({format_percent(covered / coverage.total)})" if coverage.total else ""
    yield (
        f"coverage: {covered:,} of {coverage.total:,} numbers{share}: "
        f"{len(coverage.bound):,} bound, {len(coverage.exempt):,} exempt, {len(coverage.uncovered):,} uncovered"
    )
    for number in coverage.uncovered[:_MOST_UNCOVERED]:
        yield printable(f"? uncovered  line {number.line}  {number.text}  {number.run.whole.strip()[:80]}")
    if len(coverage.uncovered) > _MOST_UNCOVERED:
        yield f"? and {len(coverage.uncovered) - _MOST_UNCOVERED:,} more"


def printable(text: str) -> str:
    """The text with what no reader could see, and what would turn a line around, spelled out."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
