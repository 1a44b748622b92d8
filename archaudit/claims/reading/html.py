"""Reads HTML: its tables, with the place of each cell in the source, and its text."""

from __future__ import annotations

import re
from bisect import bisect_right
from html.parser import HTMLParser

from archaudit.claims.exclusions import mask_markup, mask_multiline_comments
from archaudit.claims.reading.cells import Cell, Part, Source, build_table, clean_text
from archaudit.claims.reading.layout import Layout, find_section, has_words
from archaudit.schema.documents import Place, Run, Table

_HIDDEN = ("script", "style", "code", "pre", "head", "svg", "template")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = frozenset(
    ("p", "div", "li", "ul", "ol", "section", "article", "blockquote", "dd", "dt", "td", "figcaption", "caption", *_HEADINGS)
)
_SPAN = re.compile(r"\s*(\d{1,4})")
_ENDS = {"td": ("td", "th"), "th": ("td", "th")}

_Position = tuple[int, int]  # a line from 0 and a column


class _Reader(HTMLParser):
    """Collects the rows of tables (of a nested table, the outer one only), the headings, hidden spans and starts of blocks."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.lines = text.split("\n")
        self.tables: list[list[list[Cell]]] = []
        self.headings: list[tuple[int, str]] = []
        self.hidden: list[tuple[_Position, _Position]] = []
        self.block_lines: list[int] = []
        self._depth = 0
        self._in_head = False
        self._cell: tuple[_Position, bool, int, int] | None = None
        self._opened: tuple[str, _Position] | None = None  # an open heading or hidden element
        self.feed(text)
        self.close()

    def _here(self) -> _Position:
        line, column = self.getpos()
        return line - 1, column

    def _after_tag(self) -> _Position:
        line, column = self._here()
        tag = self.get_starttag_text() or ""
        breaks = tag.count("\n")
        return (line + breaks, len(tag) - tag.rfind("\n") - 1) if breaks else (line, column + len(tag))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.block_lines.append(self._here()[0])
        if tag in _HIDDEN or tag in _HEADINGS:
            self._opened = self._opened or (tag, self._after_tag())
        if tag == "table":
            self._depth += 1
            if self._depth == 1:
                self.tables.append([])
        elif self._depth == 1 and tag == "thead":
            self._in_head = True
        elif self._depth == 1 and tag == "tbody":
            self._close_cell(self._here())
            self._in_head = False
        elif self._depth == 1 and tag == "tr":
            self._close_cell(self._here())
            self.tables[-1].append([])
        elif self._depth == 1 and tag in ("td", "th"):
            self._close_cell(self._here())
            if not self.tables[-1]:
                self.tables[-1].append([])  # cells without a row
            values = dict(attrs)
            columns, rows = (_read_span(values.get(name)) for name in ("colspan", "rowspan"))
            self._cell = self._after_tag(), tag == "th" or self._in_head, columns, rows

    def handle_endtag(self, tag: str) -> None:
        here = self._here()
        if self._opened is not None and self._opened[0] == tag:
            start = self._opened[1]
            if tag in _HEADINGS:
                self.headings.append((start[0], clean_text(" ".join(self._cut(start, here)))))
            else:
                self.hidden.append((start, here))
            self._opened = None
        if tag == "table" and self._depth:
            if self._depth == 1:
                self._close_cell(here)
            self._depth -= 1
        elif self._depth == 1 and tag in ("td", "th", "tr", "thead", "tbody"):
            self._close_cell(here)
            if tag == "thead":
                self._in_head = False

    def _close_cell(self, end: _Position) -> None:
        if self._cell is None:
            return
        start, is_heading, columns, rows = self._cell
        self._cell = None
        parts = []
        for line in range(start[0], end[0] + 1):
            first = start[1] if line == start[0] else 0
            last = end[1] if line == end[0] else len(self.lines[line])
            if self.lines[line][first:last].strip():
                parts.append(Part(line, first, last))
        self.tables[-1][-1].append(Cell(tuple(parts), is_heading, columns, rows))

    def _cut(self, start: _Position, end: _Position) -> list[str]:
        if start[0] == end[0]:
            return [self.lines[start[0]][start[1] : end[1]]]
        return [self.lines[start[0]][start[1] :], *self.lines[start[0] + 1 : end[0]], self.lines[end[0]][: end[1]]]


def _read_span(value: str | None) -> int:
    found = _SPAN.match(value or "")
    return int(found[1]) if found and int(found[1]) else 1


def read_html_tables(text: str) -> list[list[list[Cell]]]:
    """The rows of each table in a text of HTML or Markdown, without empty rows; positions are those of the text split at `\\n`."""
    tables = []
    for table in _Reader(text).tables:
        rows = [row for row in table if any(cell.parts for cell in row)]
        if rows:
            tables.append(rows)
    return tables


def read_html(text: str) -> Layout:
    """The runs and tables of an HTML document."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    reader = _Reader(text)
    lines = reader.lines
    prose = mask_multiline_comments(_mask(lines, reader.hidden))
    masked = [mask_markup(line) for line in prose]
    places: list[Place] = ["text"] * len(lines)
    runs: list[Run] = []
    tables: list[Table] = []

    for rows in reader.tables:
        numbers = [part.line for row in rows for cell in row for part in cell.parts]
        if not numbers:
            continue
        places[min(numbers) : max(numbers) + 1] = ["table"] * (max(numbers) + 1 - min(numbers))
        shown = [row for row in rows if any(cell.parts for cell in row)]
        block = -1 - len(tables)  # blocks of text have numbers from 0
        built = build_table(
            Source(lines, masked), shown, section=find_section(reader.headings, min(numbers)), block=block, number=len(tables)
        )
        if built is not None:
            tables.append(built[0])
            runs += built[1]
    headings = {line for line, _ in reader.headings}
    starts = sorted(reader.block_lines)
    for number, line in enumerate(masked):
        if places[number] == "text" and has_words(line):
            place: Place = "heading" if number in headings else "text"
            block = bisect_right(starts, number)
            runs.append(
                Run(
                    text=line,
                    whole=lines[number],
                    place=place,
                    section=find_section(reader.headings, number),
                    line=number + 1,
                    column=1,
                    block=block,
                )
            )
    return Layout(
        tuple(sorted(runs, key=lambda run: (run.line, run.column))),
        (),
        tuple(tables),
        tuple(prose),
        reader.headings[0][1] if reader.headings else "",
    )


def _mask(lines: list[str], hidden: list[tuple[_Position, _Position]]) -> list[str]:
    masked = list(lines)
    for start, end in hidden:
        for number in range(start[0], end[0] + 1):
            first = start[1] if number == start[0] else 0
            last = end[1] if number == end[0] else len(lines[number])
            masked[number] = masked[number][:first] + " " * (last - first) + masked[number][last:]
    return masked
