"""The cells of tables: their texts without markup, spanning cells repeated, and one run for each line of a cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from archaudit.schema.documents import Run, Table
from archaudit.schema.spelling import normalize_spelling

_LONGEST_TEXT = 200  # characters of a cell's text; a longer cell is prose
_MOST_SPANNED = 64  # columns or rows that one cell spans; a larger number in a document is an error in it
_IMAGE = re.compile(r"!\[[^\[\]]*\](?:\([^()]*\)|\[[^\[\]]*\])?")
_LINK = re.compile(r"\[((?:[^\[\]]|\\[\[\]]|\[[^\[\]]*\])*)\](?:\((?:[^()]|\([^()]*\))*\)|\[[^\[\]]*\])")
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>|<https?:[^<>]*>")
_NOTE = re.compile(r"\[\^[^\[\]]*\]|<sup>[^<>]*</sup>|[†‡§¶✝✨🔥]+|(?<=\w)\s?\*+(?=\s|$)|\\footnote\{[^{}]*\}|\s?\[#?\w{0,12}\]_")
_ROLE = re.compile(r":[\w-]+(?::[\w-]+)?:`~?([^`<]*?)(?:\s*<[^`<>]*>)?`|`([^`<]+?)\s*<[^`<>]*>`_{0,2}")
_LATEX = re.compile(
    r"\\(?:cite[a-z]*|ref|label|hyperref|rowcolor|cellcolor|color|textcolor|vspace|hspace|rule)\*?(?:\[[^\[\]]*\])*\{[^{}]*\}|\\[A-Za-z]+\*?"
)
_MARKS = re.compile(r"\*{1,3}|`+|~~|(?<!\w)_{1,2}(?=\S)|(?<=\S)_{1,2}(?!\w)|[{}$]")
_BACKSLASH = re.compile(r"\\([_*#%&\[\]~.-])")


class Part(NamedTuple):
    """The part of a cell on one line: the line's position from 0, and the columns where it starts and ends."""

    line: int
    start: int
    end: int


class Cell(NamedTuple):
    """One cell of a table in the source: where it is, whether it is a heading, and how many columns and rows it spans."""

    parts: tuple[Part, ...]
    is_heading: bool = False
    columns: int = 1
    rows: int = 1


class Source(NamedTuple):
    """The lines of a document as they are, and with everything masked that states no number."""

    lines: Sequence[str]
    masked: Sequence[str]


def clean_text(text: str) -> str:
    """The text of a cell or heading without markup, links, images, footnote marks and repeated spaces."""
    text = _NOTE.sub("", _LINK.sub(r"\1", _IMAGE.sub("", text)))
    text = _TAG.sub(" ", _ROLE.sub(lambda found: found[1] or found[2], text))
    text = _BACKSLASH.sub(r"\1", normalize_spelling(text).text if "\\" in text or "&" in text else text)
    text = _MARKS.sub("", _LATEX.sub(" ", text))
    return " ".join(text.split()).rstrip("~^ ")[:_LONGEST_TEXT]


def build_table(source: Source, rows: Sequence[Sequence[Cell]], *, section: str, block: int, number: int) -> tuple[Table, list[Run]] | None:
    """The table of these rows and the runs of its cells, in reading order; None if it has no cell.

    The heading rows are those at the top whose cells are headings; without any, the first of several rows.
    """
    grid = _expand(rows)
    if not grid or not any(grid):
        return None
    heads = 0
    while heads < len(grid) and all(cell.is_heading for cell in grid[heads] if cell is not None) and any(grid[heads]):
        heads += 1
    if not heads and len(grid) > 1:
        heads = 1
    width = max(map(len, grid))
    texts = [[_read_text(source, cell) for cell in row] + [""] * (width - len(row)) for row in grid]
    headings = tuple(" ".join(dict.fromkeys(filter(None, (row[column] for row in texts[:heads])))) for column in range(width))
    first = next(cell for row in grid for cell in row if cell is not None and cell.parts)
    runs: list[Run] = []
    seen: set[Cell] = set()
    for position, row in enumerate(grid):
        for column, cell in enumerate(row):
            if cell is not None and cell not in seen:
                seen.add(cell)
                runs += _make_runs(source, cell, section, block, (number, position - heads, column))
    table = Table(section=section, line=first.parts[0].line + 1, headings=headings, rows=tuple(map(tuple, texts[heads:])))
    return table, sorted(runs, key=lambda run: (run.line, run.column))


def _expand(rows: Iterable[Sequence[Cell]]) -> list[list[Cell | None]]:
    """The rows as a grid: a cell that spans columns or rows is in each place that it covers."""
    grid: list[list[Cell | None]] = []
    hanging: dict[int, tuple[Cell, int]] = {}  # by column: a cell that covers rows below, and how many
    for row in rows:
        placed: list[Cell | None] = []
        waiting = list(row)
        while waiting or len(placed) in hanging:
            column = len(placed)
            if column in hanging:
                cell, left = hanging.pop(column)
                if left > 1:
                    hanging[column] = cell, left - 1
                placed.append(cell)
                continue
            cell = waiting.pop(0)
            for _ in range(min(max(cell.columns, 1), _MOST_SPANNED)):
                if cell.rows > 1:
                    hanging[len(placed)] = cell, min(cell.rows, _MOST_SPANNED) - 1
                placed.append(cell)
        grid.append(placed)
    return grid


def _read_text(source: Source, cell: Cell | None) -> str:
    if cell is None:
        return ""
    return clean_text(" ".join(source.lines[part.line][part.start : part.end] for part in cell.parts))


def _make_runs(source: Source, cell: Cell, section: str, block: int, place: tuple[int, int, int]) -> Iterable[Run]:
    table, row, column = place
    for part in cell.parts:
        text = source.masked[part.line][part.start : part.end]
        if any(character.isdigit() for character in text):
            yield Run(
                text=text,
                whole=source.lines[part.line],
                place="table",
                section=section,
                line=part.line + 1,
                column=part.start + 1,
                block=block,
                table=table,
                row=row,
                cell=column,
            )
