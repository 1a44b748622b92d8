"""Markdown to runs of text: where each line stands (heading, paragraph, table, code block) and which section it is in.

The blocks are found by markdown-it-py; within a block the document's own lines are read, so that every number has its line and column.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from archaudit.claims.binding import find_bindings
from archaudit.claims.exclusions import blank_long_comments, blank_prose
from archaudit.claims.numbers import add_headings, find_numbers
from archaudit.errors import InputError
from archaudit.schema.documents import Document, Place, Run

if TYPE_CHECKING:
    from markdown_it.token import Token

_MOST_LINES = 100_000
MOST_NUMBERS = 20_000  # rows of digits; a long paper has some thousands, and each costs a look at what stands around it
_DIGITS = re.compile(r"\d+")
_FENCE = re.compile(r"^[\s>*+\d.-]*(?:`{3,}|~{3,})")
_HEADING_MARKS = re.compile(r"^\s*#{1,6}\s+|\s+#+\s*$|[*_`]+")


class Markdown:
    """The lines of a document, and what its blocks make of them."""

    def __init__(self, text: str) -> None:
        # only the line breaks that Markdown knows: a form feed or a Unicode separator is no new line for it
        self.lines = re.split(r"\r\n|\n|\r", text)
        self.places: list[Place] = ["text"] * len(self.lines)
        self.blocks = [0] * len(self.lines)
        self.kept = [*self.lines]
        self.headings: list[tuple[int, str]] = []
        self.table_headers: dict[int, str] = {}  # by the numbers, from 1, of the lines below them
        self._mark(_parse_blocks(text))

    def list_runs(self) -> list[Run]:
        """One run for each line that has a digit left in it."""
        return [self._make_run(number, text, self.places[number]) for number, text in enumerate(self._blank_prose()) if _has_digit(text)]

    def list_code_runs(self) -> list[Run]:
        """The code around the comments of code blocks."""
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
        """The lines without code, in which every HTML comment ends where it began: where bindings are looked for."""
        return blank_long_comments(
            ["" if place in ("comment", "output") else line for place, line in zip(self.places, self.kept, strict=True)]
        )

    def _blank_prose(self) -> list[str]:
        blanked = self.list_prose()
        return [
            blank_prose(blanked[number]) if place not in ("comment", "output") else self.kept[number]
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
        """A block of code keeps its comments; one of plain text, such as a program's output, all of it."""
        language = token.info.strip().split()[0].casefold() if token.info.strip() else ""
        if token.type == "fence":
            first, last = first + 1, last - bool(_FENCE.match(self.lines[last - 1]) and last - 1 > first)
        plain = token.type == "fence" and language in PLAIN
        if not plain:
            self.kept[first:last] = keep_commentary(self.lines[first:last], language or "python")
        self._place(first, last, "output" if plain else "comment", block)


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _subtract(line: str, kept: str) -> str:
    """The line with what was kept of it blanked."""
    return "".join(" " if left != " " else character for character, left in zip(line, kept, strict=True))


def _parse_blocks(text: str) -> list[Token]:
    """The document's blocks. What stands inside a line is not parsed: a hostile line costs what a plain one does."""
    from markdown_it import MarkdownIt  # only where a document is read: it takes longer to import than to check a claim

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.disable(["inline", "text_join"])
    return parser.parse(text)


def _expect_fewer(name: str, number: int, most: int, what: str) -> None:
    if number > most:
        raise InputError(f"{name}: has more than {most:,} {what}: that is data, not a document", "Name the part that states claims.")


def read_document(text: str, name: str) -> Document:
    """The runs, numbers and bindings of a Markdown document, which messages call `name`.

    Raises ConfigError for a faulty binding, InputError for a document of more numbers than anyone states.
    """
    _expect_fewer(name, text.count("\n"), _MOST_LINES, "lines")
    markdown = Markdown(text)
    runs, code_runs = markdown.list_runs(), markdown.list_code_runs()
    _expect_fewer(name, sum(len(_DIGITS.findall(run.text)) for run in (*runs, *code_runs)), MOST_NUMBERS, "numbers")
    numbers = add_headings((number for run in runs for number in find_numbers(run)), markdown.table_headers)
    return Document(
        name=name,
        text=text,
        runs=tuple(runs),
        numbers=tuple(numbers),
        bindings=tuple(find_bindings(markdown.list_prose(), numbers, name)),
        code_numbers=tuple(number for run in code_runs for number in find_numbers(run)),
    )


# --- comments and docstrings in code blocks: what the author says about the code, apart from the code itself ---


# What starts a comment, by the language a code block is marked with. What is not here, and not plain text, has comments with #.
_MARKS = {
    **dict.fromkeys(
        ("c", "cpp", "c++", "cuda", "java", "javascript", "js", "ts", "typescript", "go", "rust", "rs", "swift", "kotlin"), "//"
    ),
    **dict.fromkeys(("sql", "lua", "haskell"), "--"),
    **dict.fromkeys(("matlab", "latex", "tex"), "%"),
    **dict.fromkeys(("json", "mermaid", "html", "xml", "csv"), ""),
}
PLAIN = frozenset({"", "text", "txt", "plain", "plaintext", "console", "output", "none", "markdown", "md"})
_PYTHON = frozenset({"python", "py", "python3", "pycon", "ipython"})


def keep_commentary(lines: list[str], language: str) -> list[str]:
    """The lines of a code block with all but comments (and in Python docstrings) blanked."""
    mark = _MARKS.get(language, "#")
    kept, quote = [], ""
    for line in lines:
        text, quote = _keep_line(line, mark, quote, docstrings=language in _PYTHON)
        kept.append(text)
    return kept


def _keep_line(line: str, mark: str, quote: str, *, docstrings: bool) -> tuple[str, str]:
    """One line with only its commentary left, and the triple quote that is still open at its end."""
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
            if not is_statement:  # a value: text that the program uses, which says nothing
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
    """Behind the string that begins at `start`; a quote without an end is an apostrophe."""
    position = start + 1
    while position < len(line):
        if line[position] == "\\":
            position += 1
        elif line[position] == line[start]:
            return position + 1
        position += 1
    return start + 1
