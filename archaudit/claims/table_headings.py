"""What the heads of a table's columns and rows say of its numbers: `Params (M)`, `GFLOPs, after`, `change [%]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from archaudit.claims.records import Number
from archaudit.quantities import parse

_BAR = re.compile(r"(?<!\\)\|")
# A unit stands in brackets, behind a comma, or as the last word or the first; the first found that is one counts.
_UNIT = re.compile(r"[(\[]\s*([^()\[\]]{1,24}?)\s*[)\]]|,\s*([\w%]{1,12})\s*\Z|([\w%-]{1,24})\s*\Z")
_FIRST_WORD = re.compile(r"\s*([\w-]{2,24})\b")
_MARKUP = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)|<[^<>]{0,80}>")
_LONGEST_HEADING = 200


def add_headings(numbers: Iterable[Number], headers: Mapping[int, str]) -> list[Number]:
    """The numbers, those in tables with the heading of their column; `headers` are the first lines of tables by the lines below them."""
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
    """The unit that a heading gives a plain figure below it: `M` of `Params (M)`, `GFLOPs`, `%`; empty if it names none."""
    if figure.strip()[-1:].isalpha() or figure.rstrip().endswith(("%", "]", ")")):
        return ""
    candidates: list[str] = [next(group for group in found.groups() if group is not None) for found in _UNIT.finditer(heading)]
    first: list[str] = _FIRST_WORD.findall(heading)[:1]
    for candidate in (*candidates, *first):
        try:
            unit = parse(f"1 {candidate}")
        except ValueError:
            continue
        if unit.scale != 1 or unit.unit in ("%", "x", "bytes", "ms", "us", "s"):
            return candidate
    return ""
