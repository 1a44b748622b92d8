"""Reads Markdown into runs of text, one for each line, with the kind of its block (heading, text, table, code) and its section.

markdown-it-py finds the blocks. In a block the lines of the document are read, so that every number has its line and column.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from archaudit.claims.binding import find_bindings
from archaudit.claims.exclusions import mask_markup, mask_multiline_comments
from archaudit.claims.numbers import add_headings, find_numbers
from archaudit.errors import InputError
from archaudit.schema.documents import Document, Place, Run

if TYPE_CHECKING:
    from markdown_it.token import Token

_MAX_LINES = 100_000
MAX_NUMBERS = 20_000  # sequences of digits; a long paper has a few thousand, and the text near each of them is read
_DIGITS = re.compile(r"\d+")
_FENCE = re.compile(r"^[\s>*+\d.-]*(?:`{3,}|~{3,})")
_HEADING_MARKS = re.compile(r"^\s*#{1,6}\s+|\s+#+\s*$|[*_`]+")


class Markdown:
    """The lines of a document and their blocks."""

    def __init__(self, text: str) -> None:
        # only the line breaks of Markdown, which have no form feed and no Unicode separator
        self.lines = re.split(r"\r\n|\n|\r", text)
        self.places: list[Place] = ["text"] * len(self.lines)
        self.blocks = [0] * len(self.lines)
        self.kept = [*self.lines]
        self.headings: list[tuple[int, str]] = []
        self.table_headers: dict[int, str] = {}  # the first line of a table, by the numbers (from 1) of the lines below it
        self._mark(_parse_blocks(text))

    def list_runs(self) -> list[Run]:
        """One run for each line that has a digit after masking."""
        return [self._make_run(number, text, self.places[number]) for number, text in enumerate(self._mask_prose()) if _has_digit(text)]

    def list_code_runs(self) -> list[Run]:
        """The code in code blocks, without its comments."""
        return [
            self._make_run(number, _subtract(self.lines[number], self.kept[number]), "code")
            for number, place in enumerate(self.places)
            if place == "comment" and _has_digit(self.lines[number])
        ]

    def _make_run(self, number: int, text: str, place: Place) -> Run:
        position = bisect_right(self.headings, number, key=lambda heading: heading[0])
        section = self.headings[position - 1][1] if position else ""
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
                self.table_headers |= dict.fromkeys(range(first + 2, last + 1), self.lines[first])
            elif token.type in ("fence", "code_block"):
                self._place_code(token, first, last, block)
            elif token.type in ("inline", "html_block"):
                for number in range(first, last):
                    self.blocks[number] = block

    def _place(self, first: int, last: int, place: Place, block: int) -> None:
        for number in range(first, last):
            self.places[number], self.blocks[number] = place, block

    def _place_code(self, token: Token, first: int, last: int, block: int) -> None:
        """In a block of code only comments are kept; in a block of plain text, such as the output of a program, everything."""
        language = token.info.strip().split()[0].casefold() if token.info.strip() else ""
        if token.type == "fence":
            first, last = first + 1, last - bool(_FENCE.match(self.lines[last - 1]) and last - 1 > first)
        plain = token.type == "fence" and language in _PLAIN_LANGUAGES
        if not plain:
            self.kept[first:last] = mask_code(self.lines[first:last], language or "python")
        self._place(first, last, "output" if plain else "comment", block)


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _subtract(line: str, kept: str) -> str:
    """The line with the kept part masked."""
    return "".join(" " if left != " " else character for character, left in zip(line, kept, strict=True))


def _parse_blocks(text: str) -> list[Token]:
    """The blocks of the document. Markup inside a line is not parsed, so that a hostile line costs no more than a plain one."""
    from markdown_it import MarkdownIt  # imported only to read a document: the import takes longer than checking a claim

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.disable(["inline", "text_join"])
    return parser.parse(text)


def _expect_fewer(name: str, number: int, most: int, what: str) -> None:
    if number > most:
        raise InputError(f"{name}: has more than {most:,} {what}, which is data, not a document", "Check only the part that has claims.")


def read_document(text: str, name: str) -> Document:
    """The runs, numbers and bindings of a Markdown document; messages name it `name`.

    Raises ConfigError for a faulty binding, InputError for a document that is too large.
    """
    _expect_fewer(name, text.count("\n"), _MAX_LINES, "lines")
    markdown = Markdown(text)
    runs, code_runs = markdown.list_runs(), markdown.list_code_runs()
    _expect_fewer(name, sum(len(_DIGITS.findall(run.text)) for run in (*runs, *code_runs)), MAX_NUMBERS, "numbers")
    numbers = add_headings((number for run in runs for number in find_numbers(run)), markdown.table_headers)
    return Document(
        name=name,
        text=text,
        runs=tuple(runs),
        numbers=tuple(numbers),
        bindings=tuple(find_bindings(markdown.list_prose(), numbers, name)),
        code_numbers=tuple(number for run in code_runs for number in find_numbers(run)),
    )


# --- comments and docstrings in code blocks: what the author says about the code ---


# What starts a comment, by the language of a code block. In any other language, except plain text, it is #.
_MARKS = {
    **dict.fromkeys(
        ("c", "cpp", "c++", "cuda", "java", "javascript", "js", "ts", "typescript", "go", "rust", "rs", "swift", "kotlin"), "//"
    ),
    **dict.fromkeys(("sql", "lua", "haskell"), "--"),
    **dict.fromkeys(("matlab", "latex", "tex"), "%"),
    **dict.fromkeys(("json", "mermaid", "html", "xml", "csv"), ""),
}
_PLAIN_LANGUAGES = frozenset({"", "text", "txt", "plain", "plaintext", "console", "output", "none", "markdown", "md"})
_PYTHON = frozenset({"python", "py", "python3", "pycon", "ipython"})


def mask_code(lines: list[str], language: str) -> list[str]:
    """The lines of a code block with everything masked except comments and, in Python, docstrings."""
    mark = _MARKS.get(language, "#")
    kept, quote = [], ""
    for line in lines:
        text, quote = _keep_line(line, mark, quote, docstrings=language in _PYTHON)
        kept.append(text)
    return kept


def _keep_line(line: str, mark: str, quote: str, *, docstrings: bool) -> tuple[str, str]:
    """One line with its code masked, and the triple quote that is open at its end."""
    kept, position = [], 0
    while position < len(line):
        if quote:
            end = line.find(quote, position)
            stop = len(line) if end < 0 else end
            kept.append(line[position:stop])
            if end >= 0:
                kept.append("   ")
                quote, stop = "", end + 3
            position = stop
        elif docstrings and line[position : position + 3] in ('"""', "'''"):
            is_statement = not line[:position].strip(" \trRuU")
            opening = line[position : position + 3]
            if not is_statement:  # a string value, not a docstring
                end = line.find(opening, position + 3)
                stop = len(line) if end < 0 else end + 3
                kept.append(" " * (stop - position))
                position = stop
            else:
                kept.append("   ")
                quote, position = opening, position + 3
        elif line[position] in "\"'":
            stop = _skip_string(line, position)
            kept.append(" " * (stop - position))
            position = stop
        elif mark and line.startswith(mark, position) and (mark != "#" or position == 0 or line[position - 1] in " \t;"):
            kept.append(" " * len(mark) + line[position + len(mark) :])
            break
        else:
            kept.append(" ")
            position += 1
    return "".join(kept), quote


def _skip_string(line: str, start: int) -> int:
    """The position after the string that begins at `start`. A quote without an end is an apostrophe."""
    position = start + 1
    while position < len(line):
        if line[position] == "\\":
            position += 1
        elif line[position] == line[start]:
            return position + 1
        position += 1
    return start + 1
