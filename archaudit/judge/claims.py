"""What the gate makes of a claim: true, false, true under another reading; as expected or not; and what explains a false one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from archaudit.judge.comparisons import Finding
from archaudit.judge.hints import derive, solve
from archaudit.quantities import parse
from archaudit.schema import Check, Outcome, Profile, Verdict

# What a claim may be marked as, and the finding that is then as it should be.
_EXPECTED_FINDINGS: dict[Outcome, str] = {"passed": "true", "failed": "false", "inconclusive": "other reading"}


def conclude_claim(check: Check, verdict: Verdict, reading: tuple[str, Finding] | None) -> Verdict:
    """The verdict on a claim whose figure was compared; `reading` is the convention under which a false one would be true.

    What is marked with an expectation passes when that is found, and fails when it is not, also when the claim became true.
    """
    finding = "true" if verdict.outcome == "passed" else "false" if reading is None else "other reading"
    reason = verdict.reason
    if reading is not None:
        reason += f"; true as {reading[0]} ({reading[1].reason.rpartition('measured ')[2]})"
    expected = _EXPECTED_FINDINGS[check.expect_outcome]
    outcome: Outcome
    if finding == expected:
        outcome = "passed"
        reason = f"{finding}{', as expected' if expected != 'true' else ''}: {reason}" + (f"; {check.why}" if check.why else "")
    elif expected == "true":
        outcome = "failed" if finding == "false" else "inconclusive"
        reason = f"{finding}: {reason}"
    elif finding == "true":
        marked = "false" if expected == "false" else f"true under an{expected} only"
        outcome, reason = "failed", f"marked as {marked} but is now true: remove `expect`. {reason[:1].upper()}{reason[1:]}"
    else:
        outcome, reason = "failed", f"{finding}, but marked as {expected}: {reason}"
    changes = {"outcome": outcome, "finding": finding, "reason": reason, "reading": reading[0] if reading else None}
    return msgspec.structs.replace(verdict, interval=_read_interval(check) if verdict.actual is not None else None, **changes)


def _read_interval(check: Check) -> tuple[float | None, float | None]:
    """What the figure stands for: its printed digits' interval, or the side of a bound that it allows."""
    figure = parse(check.expected, check.tolerance)
    if figure.relation:
        return (None, figure.value) if figure.relation.startswith("<") else (figure.value, None)
    return figure.low, figure.high


def explain(checks: Sequence[Check], verdicts: Sequence[Verdict], profiles: Mapping[str, Profile]) -> tuple[Verdict, ...]:
    """The verdicts, those on false claims with hints: what would fit the figure, and which figures of the same document it follows from."""
    documents: dict[str | None, list[tuple[Check, Verdict]]] = defaultdict(list)
    for check, verdict in zip(checks, verdicts, strict=True):
        if check.origin == "claim":
            documents[check.document].append((check, verdict))
    explained = []
    for check, verdict in zip(checks, verdicts, strict=True):
        hints: list[str] = []
        if verdict.finding == "false" and check.model in profiles and verdict.actual is not None:
            hints = solve(check, parse(check.expected, check.tolerance), profiles[check.model])
            hints += derive(check, verdict, documents[check.document])
        reason = verdict.reason
        for hint in hints:  # behind a sentence, or behind a part of one
            reason += f" {hint[:1].upper()}{hint[1:]}." if reason.endswith(".") else f"; {hint}"
        explained.append(msgspec.structs.replace(verdict, hints=tuple(hints), reason=reason) if hints else verdict)
    return tuple(explained)
