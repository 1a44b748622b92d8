"""Reads LaTeX: pylatexenc finds the tables and the arguments of commands, with their places in the source."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pylatexenc.latexwalker import (
    LatexEnvironmentNode,
    LatexGroupNode,
    LatexMacroNode,
    LatexSpecialsNode,
    LatexWalker,
    LatexWalkerParseError,
)

from archaudit.claims.reading.cells import Cell, Part, Source, build_table, clean_text
from archaudit.claims.reading.layout import Layout, find_section, has_words, mask
from archaudit.schema.documents import Place, Run, Table

_TABLES = frozenset(("tabular", "tabular*", "tabularx", "tabulary", "longtable", "array", "tblr", "NiceTabular"))
_RULES = frozenset(("hline", "toprule", "midrule", "bottomrule", "cmidrule", "cline", "specialrule", "addlinespace", "Xhline", "rowcolor"))
_COMMENT = re.compile(r"(?<!\\)%.*")
_SECTION = re.compile(r"\\(?:sub)*(?:section|chapter|paragraph)\*?\s*(?:\[[^\[\]]*\])?\{((?:[^{}]|\{[^{}]*\})*)\}")
# Commands whose arguments state no number of the model.
_SILENT = re.compile(
    r"\\(?:cite[a-z]*|ref|eqref|autoref|cref|label|includegraphics|input|include|usepackage|documentclass|bibliography\w*|url|href|vspace\*?|hspace\*?"
    r"|setlength|begin|end|cmidrule|cline|rule|color|textcolor|rowcolor|cellcolor|definecolor|newcommand|renewcommand|def|multicolumn|multirow"
    r"|resizebox|scalebox)\*?(?:\([^()]*\))?(?:\[[^\[\]]*\])*(?:\{[^{}]*\})?(?:\[[^\[\]]*\])*"
)


class _Places:
    """Turns offsets into lines, from 0, and columns."""

    def __init__(self, text: str) -> None:
        self.starts = [0, *(found.end() for found in re.finditer(r"\n", text))]
        self.text = text

    def split(self, start: int, end: int) -> tuple[Part, ...]:
        """The parts of a span on each line, without the spaces at both ends."""
        parts = []
        line = bisect_right(self.starts, start) - 1
        while line < len(self.starts) and self.starts[line] < end:
            first = max(start, self.starts[line])
            stop = min(end, self.starts[line + 1] - 1 if line + 1 < len(self.starts) else len(self.text))
            piece = self.text[first:stop]
            if piece.strip():
                left = first + len(piece) - len(piece.lstrip())
                parts.append(Part(line, left - self.starts[line], left + len(piece.strip()) - self.starts[line]))
            line += 1
        return tuple(parts)


class _Span(NamedTuple):
    start: int
    end: int
    columns: int = 1
    rows: int = 1


def read_latex(text: str) -> Layout:
    """The runs and tables of a LaTeX document. A document that cannot be parsed as a whole has text only."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    prose = [_COMMENT.sub(mask, line) for line in lines]
    masked = [_SILENT.sub(mask, line) for line in prose]
    headings = [(number, clean_text(found[1])) for number, line in enumerate(prose) if (found := _SECTION.search(line))]
    places: list[Place] = ["text"] * len(lines)
    runs: list[Run] = []
    tables: list[Table] = []
    source = Source(prose, masked)
    for first, last, rows in _find_tables("\n".join(prose)):
        places[first : last + 1] = ["table"] * (last + 1 - first)
        section = find_section(headings, first)
        built = build_table(source, rows, section=section, block=-1 - len(tables), number=len(tables))
        if built is not None:
            tables.append(built[0])
            runs += built[1]
    titles = {number for number, _ in headings}
    block = 0
    for number, line in enumerate(masked):
        block += not line.strip()
        if places[number] == "text" and has_words(line):
            place: Place = "heading" if number in titles else "text"
            section = find_section(headings, number)
            runs.append(Run(text=line, whole=lines[number], place=place, section=section, line=number + 1, column=1, block=block))
    return Layout(tuple(sorted(runs, key=lambda run: (run.line, run.column))), (), tuple(tables), (), headings[0][1] if headings else "")


def _find_tables(text: str) -> Iterable[tuple[int, int, list[list[Cell]]]]:
    """The first and last line of each table, and its cells. Rows above the first rule below a row are headings."""
    places = _Places(text)
    try:
        found, _, _ = LatexWalker(text, tolerant_parsing=True).get_latex_nodes()
    except (LatexWalkerParseError, RecursionError, IndexError):
        return
    for node in _walk(found):
        if isinstance(node, LatexEnvironmentNode) and node.environmentname in _TABLES:
            rows, heads = _split_rows(node.nodelist)
            cells = [
                [Cell(places.split(span.start, span.end), position < heads, span.columns) for span in row]
                for position, row in enumerate(_fill_spanned(rows))
            ]
            kept = [row for row in cells if any(cell.parts for cell in row)]
            if kept:
                first = bisect_right(places.starts, node.pos) - 1
                yield first, bisect_right(places.starts, node.pos + node.len - 1) - 1, kept


def _walk(found: Sequence[Any] | None) -> Iterable[Any]:
    for node in found or ():
        if node is None:
            continue
        yield node
        if isinstance(node, LatexEnvironmentNode) and node.environmentname in _TABLES:
            continue  # a table in a table is a cell
        yield from _walk(getattr(node, "nodelist", None))
        arguments = getattr(node, "nodeargd", None)
        yield from _walk(
            [each for each in (arguments.argnlist if arguments is not None and arguments.argnlist else ()) if each is not None]
        )


def _fill_spanned(rows: Sequence[Sequence[_Span]]) -> list[list[_Span]]:
    """The rows, with a cell that spans rows in the empty cells below it, which LaTeX needs there."""
    filled: list[list[_Span]] = []
    hanging: dict[int, tuple[_Span, int]] = {}  # by column: a cell that covers rows below, and how many
    for row in rows:
        placed: list[_Span] = []
        column = 0
        for span in row:
            above, left = hanging.pop(column, (span, 0))
            cell = above if left and span.start == span.end else span
            if left > 1 or span.rows > 1:
                hanging[column] = (cell, left - 1) if cell is above and left else (span, span.rows - 1)
            placed.append(cell)
            column += cell.columns
        filled.append(placed)
    return filled


def _split_rows(found: Sequence[Any]) -> tuple[list[list[_Span]], int]:
    """The spans of the cells of each row, and the number of rows above the first rule that follows a row."""
    rows: list[list[_Span]] = [[]]
    cell: list[Any] = []
    heads = 0

    def close_cell() -> None:
        rows[-1].append(_read_span(cell))
        cell.clear()

    for node in found:
        if isinstance(node, LatexSpecialsNode) and node.specials_chars == "&":
            close_cell()
        elif isinstance(node, LatexMacroNode) and node.macroname in ("\\", "tabularnewline", "cr"):
            close_cell()
            rows.append([])
        elif isinstance(node, LatexMacroNode) and node.macroname in _RULES:
            if len(rows) > 1 and not heads:
                heads = len(rows) - 1
        else:
            cell.append(node)
    if cell:
        close_cell()
    return [row for row in rows if row], heads


def _read_span(cell: Sequence[Any]) -> _Span:
    """The place of a cell. `\\multicolumn` and `\\multirow` span columns and rows, and hold their text as the last argument."""
    inner = [node for node in cell if not (node.isNodeType(_chars()) and not node.chars.strip())]
    if not inner:
        return _Span(0, 0)
    start, end = cell[0].pos, cell[-1].pos + cell[-1].len
    for position, node in enumerate(inner):
        if isinstance(node, LatexMacroNode) and node.macroname in ("multicolumn", "multirow"):
            known = [each for each in (node.nodeargd.argnlist if node.nodeargd is not None else ()) if isinstance(each, LatexGroupNode)]
            groups = [*known, *(each for each in inner[position + 1 :] if isinstance(each, LatexGroupNode))]
            if groups:
                number = re.search(r"\d+", groups[0].latex_verbatim())
                span = int(number[0]) if number else 1
                last = groups[min(2, len(groups) - 1)]
                return _Span(last.pos + 1, last.pos + last.len - 1, *((span, 1) if node.macroname == "multicolumn" else (1, span)))
    return _Span(start, end)


def _chars() -> Any:
    from pylatexenc.latexwalker import LatexCharsNode

    return LatexCharsNode
