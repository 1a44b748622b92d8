"""Reads reStructuredText: docutils finds the tables, whose cells are then located in the source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from docutils import nodes
from docutils.core import publish_doctree

from archaudit.claims.reading.cells import Cell, Part, Source, build_table, clean_text
from archaudit.claims.reading.layout import Layout, find_section, has_words, mask
from archaudit.schema.documents import Place, Run, Table

_UNDERLINE = re.compile(r"([=~^\"'`#*+.:_-])\1{2,}\s*\Z")
_TARGET = re.compile(r"<[^<>\s]{1,200}>(?=`)|https?://\S+|^\s*\.\. _[^:]*:.*|\|[\w -]+\|(?=_)")
_OPTION = re.compile(r"^\s*:[\w-]+:(?:\s.*)?\Z|^\s*\.\. [\w:-]+::.*|^\s*\.\. .*")
_CODE = re.compile(r"::\s*\Z|^\s*\.\. (?:code|code-block|sourcecode|math)::")
_SHORTER_UNDERLINE = 2  # columns by which an underline may be shorter than its title: an emoji has two columns and one character
_SEARCHED_LINES = 40  # below the last cell that was found: a cell further away is another table's
_SETTINGS = {
    "report_level": 5,
    "halt_level": 6,
    "warning_stream": False,
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "input_encoding": "unicode",
}


def read_rst(text: str) -> Layout:
    """The runs and tables of a reStructuredText document. Roles and directives of Sphinx are accepted, and files are not included."""
    lines = re.split(r"\r\n|\n|\r", text)
    masked = [_TARGET.sub(mask, line) for line in lines]
    headings = _find_headings(lines)
    places: list[Place] = ["text"] * len(lines)
    runs: list[Run] = []
    tables: list[Table] = []
    cursor = 0
    for node in publish_doctree("\n".join(lines), settings_overrides=_SETTINGS).findall(nodes.table):
        rows, cursor = _locate_rows(node, lines, cursor)
        if not rows:
            continue
        numbers = [part.line for row in rows for cell in row for part in cell.parts]
        first, last = min(numbers), max(numbers)
        places[first : last + 1] = ["table"] * (last + 1 - first)
        section = find_section(headings, first)
        built = build_table(Source(lines, masked), rows, section=section, block=-1 - len(tables), number=len(tables))
        if built is not None:
            tables.append(built[0])
            runs += built[1]
    runs += _read_text(lines, masked, places, headings)
    return Layout(tuple(sorted(runs, key=lambda run: (run.line, run.column))), (), tuple(tables), (), headings[0][1] if headings else "")


def _find_headings(lines: Sequence[str]) -> list[tuple[int, str]]:
    headings = []
    for number in range(1, len(lines)):
        title = lines[number - 1].rstrip()
        is_title = title.strip() and not title.startswith(" ") and not _UNDERLINE.fullmatch(title)
        if is_title and _UNDERLINE.fullmatch(lines[number]) and len(lines[number].rstrip()) >= len(title) - _SHORTER_UNDERLINE:
            headings.append((number - 1, clean_text(title)))
    return headings


def _locate_rows(table: nodes.table, lines: Sequence[str], cursor: int) -> tuple[list[list[Cell]], int]:
    """The cells of a table in the source, and the line after the last of them. Each cell is searched after the one before."""
    rows: list[list[Cell]] = []
    for row in table.findall(nodes.row):
        is_heading = isinstance(row.parent, nodes.thead)
        cells: list[Cell] = []
        entries = list(row.findall(nodes.entry))
        line, column = _find_start([_list_texts(entry) for entry in entries], lines, cursor), 0
        found_any = False
        for entry in entries:
            parts = _locate_entry(entry, lines, line, column)
            if parts:
                found_any = True
                line, column = parts[0].line, parts[0].end
                cursor = max(cursor, parts[0].line)
            columns, more = int(entry.get("morecols", 0)) + 1, int(entry.get("morerows", 0)) + 1
            cells.append(Cell(tuple(parts), is_heading, columns, more))
        if found_any:
            last = max(part.line for cell in cells for part in cell.parts)
            cursor = last + 1
        rows.append(cells)
    return [row for row in rows if any(cell.parts for cell in row)], cursor


def _list_texts(entry: nodes.entry) -> list[str]:
    """The lines of an entry as the source has them."""
    return [
        text.strip() for child in entry.children for text in (getattr(child, "rawsource", "") or child.astext()).split("\n") if text.strip()
    ]


def _find_start(texts: Sequence[Sequence[str]], lines: Sequence[str], cursor: int) -> int:
    """The line at which a row begins: it has the first lines of two cells, or the first cell is an item of a list-table."""
    firsts = [each[0] for each in texts if each][:2]
    for number in range(cursor, len(lines)) if firsts else ():
        start = lines[number].find(firsts[0])
        if start < 0:
            continue
        if len(firsts) == 1 or lines[number].find(firsts[1], start + len(firsts[0])) >= 0 or re.match(r"\s*\*\s+-\s", lines[number]):
            return number
    return cursor


def _locate_entry(entry: nodes.entry, lines: Sequence[str], line: int, column: int) -> list[Part]:
    parts: list[Part] = []
    for text in _list_texts(entry):
        place = _search(text, lines, line, column)
        if place is None:
            continue
        parts.append(Part(place[0], place[1], place[1] + len(text)))
        line, column = place[0] + 1, 0
    return parts


def _search(text: str, lines: Sequence[str], line: int, column: int) -> tuple[int, int] | None:
    for number in range(line, min(line + _SEARCHED_LINES, len(lines))):
        position = lines[number].find(text, column if number == line else 0)
        if position >= 0:
            return number, position
    return None


def _read_text(lines: Sequence[str], masked: Sequence[str], places: Sequence[Place], headings: Sequence[tuple[int, str]]) -> Iterable[Run]:
    titles = {line for line, _ in headings}
    block, code_indent = 0, -1
    for number, line in enumerate(masked):
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            block += 1
            continue
        if code_indent >= 0 and indent > code_indent:
            continue
        code_indent = indent if _CODE.search(line) else -1
        if places[number] == "table" or _UNDERLINE.fullmatch(line) or re.match(r"\s*[+=-]{3}[+= -]*\Z", line):
            continue
        text = _OPTION.sub(mask, line)
        if has_words(text):
            place: Place = "heading" if number in titles else "text"
            section = find_section(headings, number)
            yield Run(text=text, whole=lines[number], place=place, section=section, line=number + 1, column=1, block=block)
