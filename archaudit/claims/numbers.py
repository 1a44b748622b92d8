"""Finds the numbers in runs of text: figures with their units, ranges, sizes and shapes, and the two sides of an arrow.

One pass over a line: figures are found by a regular expression without backtracking, then neighbours are joined by the text between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from archaudit.claims.exclusions import is_excluded
from archaudit.schema import parse_quantity
from archaudit.schema.documents import Number, Run

_FIGURE = re.compile(
    r"""
    (?P<prefix>(?:(?:<=|>=|[<≤≥≈]|(?<![-=])>|(?<!~)~(?!~)|\b(?:about|around|approximately|roughly|nearly|almost|ca\.|under|below|less\ than
        |fewer\ than|at\ most|up\ to|above|more\ than|at\ least))[ \u00a0]?){1,2}+)?+
    (?P<sign>(?<![\w)\]])[-+−](?=[\d.]))?+
    (?P<digits>(?:\d{1,3}(?:[,_]\d{3})++(?![\d]) | \d++)(?:\.\d++)?+(?:[eE][-+]?\d++(?!\w))?+ | \.\d++)
    (?P<suffix>
        [ \u00a0]?(?:[KMGT]i|[KkMmGgTtB])?[ \u00a0]?(?:params|parameters|FLOPs?|FLOPS|flops?|MACs?|macs?|M-?Adds|Mult-Adds|mult-adds)\b
      | [ \u00a0]?(?:million|billion|thousand)\b
      | [ \u00a0]?(?:[KMGT]i)?[KMGT]?(?:B|bytes?)\b
      | [ \u00a0]?(?:[µu]s|ms|s)\b(?!')
      | (?:[KMGT]i|[KkMGTB])\b
      | [ \u00a0][KMGB](?=[ ]weights)
      | [ \u00a0]?(?:%|percent\b)
      | [ \u00a0]?times\b(?=[ ](?:fewer|less|more|smaller|larger|faster|slower|as|lower|higher))
      | [ \u00a0]?×(?![ ]?\d)
      | x(?!\w)
    )?+
    """,
    re.VERBOSE,
)
_SIZE = r"(?:\d{1,9}|[^\W\d]\w{0,30}(?:\s?(?://?|\*)\s?\d{1,6})?)"
_SHAPE = re.compile(rf"\[\s?{_SIZE}(?:\s?,\s?{_SIZE}){{1,7}}\s?\]|\(\s?{_SIZE}(?:\s?,\s?{_SIZE}){{2,7}}\s?\)")
_LONGEST_FIGURE = 60
_CONTEXT = 48  # characters after a number that can be its noun
_RANGE_GAP = re.compile(r"[ \u00a0]?[-–—][ \u00a0]?")
_SIZE_GAP = re.compile(r"[ \u00a0]?[x×*][ \u00a0]?")
_ARROW_GAP = re.compile(r"[^\n.;|]{0,24}?(?:→|-+>|=+>|⇒|➜|\bto\b)[ \u00a0]?(?:only |just )?")
_UNIT_AFTER = re.compile(r"(?<=\d)[ \u00a0]?[A-Za-z%][A-Za-z -]*\Z")
_NOUN = re.compile(r"[ \u00a0*_)-]{0,3}([^\W\d_][\w-]{0,24}(?: [^\W\d_][\w-]{0,24}){0,2})")


def find_numbers(run: Run) -> list[Number]:
    """The numbers that a run states, from left to right."""
    shapes = [match for match in _SHAPE.finditer(run.text) if _is_shape(match[0])] if "," in run.text else []
    text = _mask_spans(run.text, shapes)
    figures = _join_figures(text, [match for match in _FIGURE.finditer(text) if not is_excluded(text, match, run.place)])
    spans: list[tuple[int, int, Literal["number", "range", "size", "shape"]]] = [
        *((match.start(), match.end(), "shape") for match in shapes),
        *figures,
    ]
    numbers = []
    for start, end, kind in sorted(spans):
        number = Number(
            text=run.text[start:end],
            kind=kind,
            run=run,
            column=run.column + start,
            noun=find_noun(run.text[end:]),
        )
        numbers.append(number)
    return _find_roles(numbers)


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


def _join_figures(text: str, matches: list[re.Match[str]]) -> list[tuple[int, int, Literal["number", "range", "size", "shape"]]]:
    """The spans of figures. Figures of one number are joined: `2-3M`, `3x3`."""
    spans: list[tuple[int, int, Literal["number", "range", "size", "shape"]]] = []
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


def _find_roles(numbers: list[Number]) -> list[Number]:
    """Gives the numbers on both sides of an arrow the roles `before` and `after`."""
    for position in range(1, len(numbers)):
        first, second = numbers[position - 1], numbers[position]
        start = first.column - first.run.column + len(first.text)
        gap = first.run.text[start : second.column - second.run.column]
        if first.role != "after" and _ARROW_GAP.fullmatch(gap):
            unit = _UNIT_AFTER.search(second.text) if first.text[-1:].isdigit() and second.kind == "number" else None
            numbers[position - 1] = msgspec.structs.replace(first, role="before", unit=unit[0].strip() if unit else "")
            numbers[position] = msgspec.structs.replace(second, role="after")
    return numbers


# --- the headings of a table's columns and rows: `Params (M)`, `GFLOPs, after`, `change [%]` ---


_BAR = re.compile(r"(?<!\\)\|")
# A unit is in brackets, after a comma, or the last or first word. The first of these that is a unit counts.
_UNIT = re.compile(r"[(\[]\s*([^()\[\]]{1,24}?)\s*[)\]]|,\s*([\w%]{1,12})\s*\Z|([\w%-]{1,24})\s*\Z")
_FIRST_WORD = re.compile(r"\s*([\w-]{2,24})\b")
_MARKUP = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)|<[^<>]{0,80}>")
_LONGEST_HEADING = 200


def add_headings(numbers: Iterable[Number], headers: Mapping[int, str]) -> list[Number]:
    """The numbers, with their headings if they are in a table. `headers` are the first lines of tables, by the lines below them."""
    return [_add_heading(number, headers.get(number.line, "")) for number in numbers]


def _add_heading(number: Number, header: str) -> Number:
    line = number.run.whole
    if not header:
        return number
    cells = _BAR.split(header.strip().removeprefix("|"))
    column = len(_BAR.findall(line[: number.column - 1])) - line.lstrip().startswith("|")
    heading = _read_cell(cells, column)
    row_heading = _read_cell(_BAR.split(line.strip().removeprefix("|")), 0) if column else ""
    unit = number.unit or _find_unit(heading, number.text) or _find_unit(row_heading, number.text)
    return msgspec.structs.replace(number, heading=heading, row_heading=row_heading, unit=unit)


def _read_cell(cells: Sequence[str], column: int) -> str:
    return _MARKUP.sub("", cells[column]).strip()[:_LONGEST_HEADING] if column < len(cells) else ""


def _find_unit(heading: str, figure: str) -> str:
    """The unit in the heading of a plain figure: `M` in `Params (M)`, `GFLOPs`, `%`; empty if there is none."""
    if figure.strip()[-1:].isalpha() or figure.rstrip().endswith(("%", "]", ")")):
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
