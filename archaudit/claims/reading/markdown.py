"""Reads Markdown into runs of text, one for each line, with the kind of its block (heading, text, table, code) and its section.

markdown-it-py finds the blocks. In a block the lines of the document are read, so that every number has its line and column.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from archaudit.claims.exclusions import mask_markup, mask_multiline_comments
from archaudit.claims.reading.cells import Cell, Part, Source, build_table
from archaudit.claims.reading.code import PLAIN_LANGUAGES, mask_code
from archaudit.claims.reading.html import read_html_tables
from archaudit.claims.reading.layout import Layout, find_section, has_digit, has_words
from archaudit.schema.documents import Place, Run, Table

if TYPE_CHECKING:
    from markdown_it.token import Token

_BAR = re.compile(r"(?<!\\)\|")
_FENCE = re.compile(r"^[\s>*+\d.-]*(?:`{3,}|~{3,})")
_HEADING_MARKS = re.compile(r"^\s*#{1,6}\s+|\s+#+\s*$|[*_`]+")


def read_markdown(text: str) -> Layout:
    """The runs and tables of a Markdown document."""
    return Markdown(text).read()


class Markdown:
    """The lines of a document and their blocks."""

    def __init__(self, text: str) -> None:
        # only the line breaks of Markdown, which have no form feed and no Unicode separator
        self.lines = re.split(r"\r\n|\n|\r", text)
        self.places: list[Place] = ["text"] * len(self.lines)
        self.blocks = [0] * len(self.lines)
        self.kept = [*self.lines]
        self.headings: list[tuple[int, str]] = []
        self.grids: list[tuple[list[list[Cell]], int]] = []  # the cells of each table, and the number of its block
        self._mark(_parse_blocks(text))
        self._mark_html_tables(text)

    def read(self) -> Layout:
        """The runs: one for each line of text, and for each line of a cell in a table."""
        masked = self._mask_prose()
        source = Source(self.lines, masked)
        tables: list[Table] = []
        runs: list[Run] = []
        for rows, block in self.grids:
            built = build_table(
                source, rows, section=find_section(self.headings, rows[0][0].parts[0].line), block=block, number=len(tables)
            )
            if built is not None:
                tables.append(built[0])
                runs += built[1]
        runs += [
            self._make_run(number, text, self.places[number])
            for number, text in enumerate(masked)
            if self.places[number] != "table" and has_words(text)
        ]
        runs.sort(key=lambda run: (run.line, run.column))
        return Layout(
            tuple(runs), tuple(self.list_code_runs()), tuple(tables), tuple(self.list_prose()), self.headings[0][1] if self.headings else ""
        )

    def list_code_runs(self) -> list[Run]:
        """The code in code blocks, without its comments."""
        return [
            self._make_run(number, _subtract(self.lines[number], self.kept[number]), "code")
            for number, place in enumerate(self.places)
            if place == "comment" and has_digit(self.lines[number])
        ]

    def _make_run(self, number: int, text: str, place: Place) -> Run:
        section = find_section(self.headings, number)
        return Run(text=text, whole=self.lines[number], place=place, section=section, line=number + 1, column=1, block=self.blocks[number])

    def list_prose(self) -> list[str]:
        """The lines without code and without HTML comments of several lines, for the search of bindings."""
        return mask_multiline_comments(
            ["" if place in ("comment", "output") else line for place, line in zip(self.places, self.kept, strict=True)]
        )

    def _mask_prose(self) -> list[str]:
        masked = self.list_prose()
        return [
            mask_markup(masked[number]) if place not in ("comment", "output") else self.kept[number]
            for number, place in enumerate(self.places)
        ]

    def _mark(self, tokens: list[Token]) -> None:
        for block, token in enumerate(tokens):
            if token.map is None:
                continue
            first, last = token.map[0], min(token.map[1], len(self.lines))
            if token.type == "heading_open":
                title = _HEADING_MARKS.sub("", self.lines[first]).strip()
                self.headings.append((first, title))
                self._place(first, last, "heading", block)
            elif token.type == "table_open":
                self._place(first, last, "table", block)
                rows = [_split_row(self.lines[number], number) for number in range(first, last) if number != first + 1]
                self.grids.append((rows, block))
            elif token.type in ("fence", "code_block"):
                self._place_code(token, first, last, block)
            elif token.type in ("inline", "html_block"):
                for number in range(first, last):
                    self.blocks[number] = block

    def _mark_html_tables(self, text: str) -> None:
        """Finds tables written in HTML. They can have empty lines, at which a block of HTML ends."""
        if "<table" not in text.casefold():
            return
        hidden = {number for number, place in enumerate(self.places) if place in ("comment", "output")}
        shown = "\n".join("" if number in hidden else line for number, line in enumerate(self.lines))
        for rows in read_html_tables(shown):
            lines = [part.line for row in rows for cell in row for part in cell.parts]
            block = self.blocks[min(lines)]
            self._place(min(lines), max(lines) + 1, "table", block)
            self.grids.append((rows, block))

    def _place(self, first: int, last: int, place: Place, block: int) -> None:
        for number in range(first, last):
            self.places[number], self.blocks[number] = place, block

    def _place_code(self, token: Token, first: int, last: int, block: int) -> None:
        """In a block of code only comments are kept; in a block of plain text, such as the output of a program, everything."""
        language = token.info.strip().split()[0].casefold() if token.info.strip() else ""
        if token.type == "fence":
            first, last = first + 1, last - bool(_FENCE.match(self.lines[last - 1]) and last - 1 > first)
        plain = token.type == "fence" and language in PLAIN_LANGUAGES
        if not plain:
            self.kept[first:last] = mask_code(self.lines[first:last], language or "python")
        self._place(first, last, "output" if plain else "comment", block)


def _subtract(line: str, kept: str) -> str:
    """The line with the kept part masked."""
    return "".join(" " if left != " " else character for character, left in zip(line, kept, strict=True))


def _parse_blocks(text: str) -> list[Token]:
    """The blocks of the document. Markup inside a line is not parsed, so that a hostile line costs no more than a plain one."""
    from markdown_it import MarkdownIt  # imported only to read a document: the import takes longer than checking a claim

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.disable(["inline", "text_join"])
    return parser.parse(text)


def _split_row(line: str, number: int) -> list[Cell]:
    """The cells of a row of a Markdown table, which unescaped bars separate."""
    bars = [found.start() for found in _BAR.finditer(line)]
    start = len(line) - len(line.lstrip())
    edges = [*bars] if line[start : start + 1] == "|" else [start - 1, *bars]
    if not line.rstrip().endswith("|") or edges[-1:] == [start - 1]:
        edges.append(len(line))
    return [Cell((Part(number, left + 1, right),)) for left, right in pairwise(edges)]
