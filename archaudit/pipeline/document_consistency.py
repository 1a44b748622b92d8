"""Claims of one document judged together: one convention for a column of operations, one figure for a model."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from archaudit.claims.columns import read_role
from archaudit.schema import Check, Verdict
from archaudit.schema.documents import Document, Number

_OPERATIONS = ("macs", "flops")
_OF_ANY_INPUT = ("params", "param_bytes")  # the size of the input does not matter
_SIZE_OF_INPUT = re.compile(r" at \d+\Z")
_NAMES = {"macs": "MACs", "flops": "FLOPs"}
_MOST_LINES = 4  # that a reason names

_Judged = Sequence[tuple[Check, Verdict]]
_Places = Mapping[str, Sequence[Number]]


def judge_together(document: Document, judged: _Judged, numbers: _Places) -> tuple[Verdict, ...]:
    """The verdicts; false for a figure of operations that counts otherwise than its column; with contradictions in the reasons.

    `numbers` are those that each claim is about, by the claim's id.
    """
    odd = _find_odd_figures(document, judged, numbers)
    verdicts = [_mark_odd(verdict, odd[check.id]) if check.id in odd else verdict for check, verdict in judged]
    others = find_contradictions([(check, verdict) for (check, _), verdict in zip(judged, verdicts, strict=True)], numbers)
    return tuple(
        msgspec.structs.replace(verdict, reason=f"{verdict.reason}; the document contradicts itself: {others[verdict.id]}")
        if verdict.id in others
        else verdict
        for verdict in verdicts
    )


# --- one convention for a column ---


def _find_odd_figures(document: Document, judged: _Judged, numbers: _Places) -> dict[str, str]:
    """By the id of a claim: the convention of its column (or of its row, in a table with a row for each metric), where it has another."""
    columns: dict[tuple[int, str, int], list[tuple[str, str, int]]] = defaultdict(list)
    for check, verdict in judged:
        own = numbers.get(check.id, ())
        counted = find_convention(verdict)
        if len(own) != 1 or own[0].run.row < 0 or counted is None or check.comparison != "equals" or check.against is not None:
            continue
        run = own[0].run
        if not _states_convention(own[0]):
            is_column = read_role(document.tables[run.table].headings[run.cell]) in _OPERATIONS
            key = (run.table, "column", run.cell) if is_column else (run.table, "row", run.row)
            columns[key].append((check.id, counted, run.line))
    odd: dict[str, str] = {}
    for (_, kind, _), members in columns.items():
        counts = Counter(counted for _, counted, _ in members).most_common()
        if len(counts) < 2 or counts[0][1] == counts[1][1]:
            continue
        usual, least = counts[0][0], counts[1][0]
        lines = list(dict.fromkeys(str(line) for _, counted, line in members if counted == usual))
        where = ("line " if len(lines) == 1 else "lines ") + ", ".join(lines[:_MOST_LINES]) + (", ..." if len(lines) > _MOST_LINES else "")
        reason = f"this figure counts {_NAMES[least]}, the {kind} {_NAMES[usual]} ({where})"
        odd |= {name: reason for name, counted, _ in members if counted == least}
    return odd


def find_convention(verdict: Verdict) -> str | None:
    """The operations that a figure counts, by its verdict: `macs` or `flops`; None if it is true as neither."""
    if verdict.metric not in _OPERATIONS:
        return None
    if verdict.finding == "true":
        return verdict.metric
    if verdict.reading is None or not verdict.reading.startswith(("MACs, called", "FLOPs, called")):
        return None
    return "macs" if verdict.metric == "flops" else "flops"


def _states_convention(number: Number) -> bool:
    """Whether the cell itself says what it counts: `8.2 GFLOPs`."""
    return re.search(r"flop|mac|madd", number.reading, re.IGNORECASE) is not None


def _mark_odd(verdict: Verdict, reason: str) -> Verdict:
    if verdict.finding == "false":
        return msgspec.structs.replace(verdict, reason=f"{verdict.reason}; {reason}")
    text = verdict.reason.removeprefix("true: ").removeprefix("other reading: ")
    return msgspec.structs.replace(verdict, finding="false", outcome="failed", reading=None, reason=f"false: {reason}: {text}")


# --- one figure for a model ---


def find_contradictions(judged: _Judged, numbers: _Places) -> dict[str, str]:
    """By the id of a false claim: the other figure that the document gives for the same metric of the same model."""
    by_subject: dict[tuple[object, ...], list[Check]] = defaultdict(list)
    for check, _ in judged:
        own = numbers.get(check.id, ())
        if check.figure is not None and check.against is None and check.comparison == "equals" and own:
            if check.metric not in _OF_ANY_INPUT and _names_input(own[0]) and not _SIZE_OF_INPUT.search(check.model):
                continue
            model = _SIZE_OF_INPUT.sub("", check.model) if check.metric in _OF_ANY_INPUT else check.model
            scenario = None if check.metric in _OF_ANY_INPUT else check.scenario
            by_subject[model, scenario, check.metric, check.scope].append(check)
    false = {verdict.id for _, verdict in judged if verdict.finding == "false"}
    found: dict[str, str] = {}
    for group in by_subject.values():
        for check in group:
            other = next((each for each in group if each is not check and _are_apart(check, each)), None)
            if other is not None and check.id in false:
                found[check.id] = f"line {numbers[other.id][0].line} gives {other.expected} for the same model"
    return found


def _names_input(number: Number) -> bool:
    """Whether the words near a figure of operations name an input: another figure of the model can be for another one."""
    start = number.column - 1
    near = number.run.whole[max(0, start - _NEAR) : start + len(number.text) + _NEAR]
    return _INPUT.search(f"{near} {number.heading} {number.row_heading}") is not None


_NEAR = 40  # characters on each side
_INPUT = re.compile(r"@\s?\d|\d\s?[x×]\s?\d|\bat \d|\bpixels?\b|\btokens?\b|\bresolution\b", re.IGNORECASE)


def _are_apart(check: Check, other: Check) -> bool:
    """Whether no number is both figures."""
    one, two = check.figure, other.figure
    return one is not None and two is not None and one.value != two.value and (one.high <= two.low or two.high <= one.low)
