"""Finds the numbers in runs of text: figures with their units, ranges, sizes and shapes, and the two sides of an arrow.

One pass over a line: figures are found by a regular expression without backtracking, then neighbours are joined by the text between them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from archaudit.claims.exclusions import find_exclusion
from archaudit.schema import parse_quantity
from archaudit.schema.documents import Ignored, Number, Run, Table
from archaudit.schema.spelling import Spelling, normalize_spelling

_WORDS = r"(?:(?:[Mm]|[Bb]|[Tt]r)illions?|[Tt]housands?|Mio|Mrd|mn|bn)\b"
_FIGURE = re.compile(
    r"""
    (?P<prefix>(?:(?:<=|>=|[<≤≥≈]|(?<![-=])>|(?<!~)~(?!~)|\b(?:about|around|approximately|roughly|nearly|almost|ca\.|under|below|less\ than
        |fewer\ than|at\ most|up\ to|above|more\ than|at\ least))[ ]?){1,2}+)?+
    (?P<sign>(?<![\w)\]])[-+−](?=[\d.]))?+
    (?P<digits>(?:\d{1,3}(?:[,_]\d{3})++(?![\d]) | \d++)(?:\.\d++)?+(?:[eE][-+]?\d++(?!\w))?+ | \.\d++)
    (?P<spread>[ ]?(?:±|\+/-|\+-)[ ]?\d++(?:\.\d++)?+)?+
    (?P<suffix>
        [ ]?(?:[KMGT]i|[KkMmGgTtB]|{_WORDS})?[ ]?(?:params?|parameters?|FLOPs?|FLOPS|flops?|MACs?|Macs?|macs?|M-?Adds?|[Mm]ult-?[Aa]dds?
          |[Mm]ultiply-(?:[Aa]dds?|[Aa]ccumulates?)|Params?|Parameters)\b
      | [ ]?{_WORDS}
      | [ ]?(?:[KMGT]i)?[KMGT]?(?:B|bytes?)\b
      | [ ]?(?:[µu]s|ms|s)\b(?!')
      | (?:[KMGT]i|[KkMGTB])\b
      | [ ][KMGB](?![\w-])
      | [ ]?(?:%|percent\b)
      | [ ]?times\b(?=[ ](?:fewer|less|more|smaller|larger|faster|slower|as|lower|higher))
      | [ ]?×(?![ ]?\d)
      | x(?!\w)
    )?+
    """.replace("{_WORDS}", _WORDS),
    re.VERBOSE,
)
_Span = tuple[int, int, Literal["number", "range", "size", "shape"]]
_SIZE = r"(?:\d{1,9}|[^\W\d]\w{0,30}(?:\s?(?://?|\*)\s?\d{1,6})?)"
_SHAPE = re.compile(rf"\[\s?{_SIZE}(?:\s?,\s?{_SIZE}){{1,7}}\s?\]|\(\s?{_SIZE}(?:\s?,\s?{_SIZE}){{2,7}}\s?\)")
_LONGEST_FIGURE = 60
_CONTEXT = 48  # characters after a number that can be its noun
# A cell that is one number with one or two digits after its comma: groups of digits have three.
_DECIMAL_COMMA_CELL = re.compile(r"[\s~≈<>≤≥*$]*\d+,\d{1,2}[\s*$]*[A-Za-z-]{0,10}[\s*$]*")
_RANGE_GAP = re.compile(r"[ ]?[-–—][ ]?")
_SIZE_GAP = re.compile(r"[ ]?[x×*][ ]?")
_ARROW_GAP = re.compile(r"[^\n.;|]{0,24}?(?:→|-+>|=+>|⇒|➜|\bto\b)[ ]?(?:only |just )?")
_UNIT_AFTER = re.compile(r"(?<=\d)[ ]?[A-Za-z%][A-Za-z -]*\Z")
_NOUN = re.compile(r"[ \u00a0*_)-]{0,3}([^\W\d_][\w-]{0,24}(?: [^\W\d_][\w-]{0,24}){0,2})")


def find_numbers(run: Run) -> list[Number]:
    """The numbers that a run states, from left to right."""
    return read_run(run)[0]


def read_run(run: Run) -> tuple[list[Number], list[Ignored]]:
    """The numbers that a run states, from left to right, and its other digits with the rule by which they state no number."""
    shapes = [match for match in _SHAPE.finditer(run.text) if _is_shape(match[0])] if "," in run.text else []
    comma = run.decimal_comma or (run.table >= 0 and _DECIMAL_COMMA_CELL.fullmatch(run.text) is not None)
    spelling = normalize_spelling(_mask_spans(run.text, shapes), decimal_comma=comma)
    text = spelling.text
    matches = [(match, find_exclusion(text, match, run.place)) for match in _FIGURE.finditer(text)]
    spans: list[_Span] = _join_figures(text, [match for match, rule in matches if not rule])
    ignored = [
        Ignored(text=match[0].strip(), rule=rule, line=run.line, column=run.column + spelling.locate(match.start("digits"), match.end())[0])
        for match, rule in matches
        if rule
    ]
    for match in shapes:
        start = bisect_left(spelling.starts, match.start())
        spans.append((start, start + len(match[0]), "shape"))
    spans.sort()
    numbers = [_make_number(run, spelling, span) for span in spans]
    return _find_roles(numbers, spans, text), ignored


def _make_number(run: Run, spelling: Spelling, span: _Span) -> Number:
    start, end = spelling.locate(span[0], span[1])
    text = run.whole[run.column - 1 + start : run.column - 1 + end]
    return Number(
        text=text,
        reading=text if span[2] == "shape" else spelling.text[span[0] : span[1]],
        kind=span[2],
        run=run,
        column=run.column + start,
        noun=find_noun(spelling.text[span[1] :]),
    )


def find_noun(text: str) -> str:
    """Up to three words after a number, which may say what it counts."""
    noun = _NOUN.match(text[:_CONTEXT])
    return noun[1] if noun else ""


def _is_shape(text: str) -> bool:
    """Whether a text in brackets is a shape: sizes, at least one of them a number, and not just two numbers."""
    sizes = [size.strip() for size in text[1:-1].split(",")]
    return any(character.isdigit() for character in text) and (len(sizes) > 2 or not all(size.isdecimal() for size in sizes))


def _mask_spans(text: str, matches: list[re.Match[str]]) -> str:
    parts, position = [], 0
    for match in matches:
        parts += [text[position : match.start()], "[" + " " * (len(match[0]) - 2) + "]"]
        position = match.end()
    return "".join(parts) + text[position:]


def _join_figures(text: str, matches: list[re.Match[str]]) -> list[_Span]:
    """The spans of figures. Figures of one number are joined: `2-3M`, `3x3`."""
    spans: list[_Span] = []
    for match in matches:
        start, end = match.start(), match.start() + len(match[0].rstrip())
        if spans and end - spans[-1][0] <= _LONGEST_FIGURE and not match["prefix"] and not match["sign"]:
            first, gap = spans[-1], text[spans[-1][1] : start]
            before = text[first[0] : first[1]]
            plain = match["digits"].isdecimal() and re.search(r"\d$", before) is not None
            if _SIZE_GAP.fullmatch(gap) and plain and first[2] in ("number", "size") and not match["suffix"]:
                spans[-1] = (first[0], end, "size")
                continue
            if _RANGE_GAP.fullmatch(gap) and first[2] == "number" and _is_ascending(before, match[0]):
                spans[-1] = (first[0], end, "range")
                continue
        spans.append((start, end, "number"))
    return spans


def _is_ascending(first: str, second: str) -> bool:
    """Whether two figures on both sides of a dash can be a range: the second is larger. The first may lack the unit."""
    low, high = (re.search(r"[\d.,_]+", each) for each in (first, second))
    if low is None or high is None:
        return False
    values = []
    for each in (low, high):
        digits = each[0].replace(",", "").replace("_", "").strip(".")
        if len(digits) > _LONGEST_FIGURE or digits.count(".") > 1 or not digits:
            return False
        values.append(float(digits))
    return values[0] < values[1] or re.search(r"[KMGTB]", first) is not None


def _find_roles(numbers: list[Number], spans: Sequence[_Span], text: str) -> list[Number]:
    """Gives the numbers on both sides of an arrow the roles `before` and `after`."""
    for position in range(1, len(numbers)):
        first, second = numbers[position - 1], numbers[position]
        gap = text[spans[position - 1][1] : spans[position][0]]
        if first.role != "after" and _ARROW_GAP.fullmatch(gap):
            unit = _UNIT_AFTER.search(second.reading) if first.reading[-1:].isdigit() and second.kind == "number" else None
            numbers[position - 1] = msgspec.structs.replace(first, role="before", unit=unit[0].strip() if unit else "")
            numbers[position] = msgspec.structs.replace(second, role="after")
    return numbers


# --- the headings of a table's columns and rows: `Params (M)`, `GFLOPs, after`, `change [%]` ---


# A unit is in brackets, after a comma, or the last or first word. The first of these that is a unit counts.
_UNIT = re.compile(r"[(\[]\s*([^()\[\]]{1,24}?)\s*[)\]]|,\s*([\w%]{1,12})\s*\Z|([\w%-]{1,24})\s*\Z")
_FIRST_WORD = re.compile(r"\s*([\w-]{2,24})\b")


def add_headings(numbers: Iterable[Number], tables: Sequence[Table]) -> list[Number]:
    """The numbers, with the headings of their columns and rows if they are in a table."""
    return [_add_heading(number, tables[number.run.table]) if number.run.table >= 0 else number for number in numbers]


def _add_heading(number: Number, table: Table) -> Number:
    run = number.run
    if run.row < 0:
        return number
    heading, row = table.headings[run.cell], table.rows[run.row]
    row_heading = row[0] if run.cell else ""
    unit = number.unit or _find_unit(heading, number.reading) or _find_unit(row_heading, number.reading)
    return msgspec.structs.replace(number, heading=heading, row_heading=row_heading, unit=unit)


def _find_unit(heading: str, figure: str) -> str:
    """The unit in the heading of a plain figure: `M` in `Params (M)`, `GFLOPs`, `%`; empty if there is none."""
    if figure.strip()[-1:].isalpha() or re.search(r"[eE][-+]?\d+\s*\Z", figure) or figure.rstrip().endswith(("%", "]", ")")):
        return ""
    candidates: list[str] = [next(group for group in found.groups() if group is not None) for found in _UNIT.finditer(heading)]
    first: list[str] = _FIRST_WORD.findall(heading)[:1]
    for candidate in (*candidates, *first):
        try:
            unit = parse_quantity(f"1 {candidate}")
        except ValueError:
            continue
        if unit.scale != 1 or unit.unit in ("%", "x", "bytes", "ms", "us", "s"):
            return candidate
    return ""
