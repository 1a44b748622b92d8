"""The parts of a document: runs of text, numbers, and bindings, in reading order."""

from __future__ import annotations

from typing import Any, Literal

from archaudit.schema import Record

Place = Literal["text", "heading", "table", "output", "comment", "code"]


class Run(Record, frozen=True, kw_only=True):
    """A part of one line that can have numbers.

    `whole` is the line; `text` has the same length, with everything masked that states no number (links, tags, code). It begins at `column`
    of `line`, both counted from 1. `section` is the heading above, `place` the kind of its block, and `block` the number of its paragraph,
    table or code block. In a cell of a table, `table`, `row` and `cell` are positions in `Document.tables`, its rows and their cells.
    `decimal_comma` says that a comma in a number is a decimal point.
    """

    text: str
    whole: str
    place: Place
    section: str
    line: int
    column: int
    block: int
    table: int = -1
    row: int = -1
    cell: int = -1
    decimal_comma: bool = False


class Table(Record, frozen=True, kw_only=True):
    """A table of a document: the texts of its headings and of the cells below, without markup. Spanning cells are repeated."""

    section: str
    line: int
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Number(Record, frozen=True, kw_only=True):
    """A number, range, size (`3x3`) or shape in a document. `text` is how it is written there, `reading` the form that can be parsed.

    `role` is its side of an arrow, `256 → 128`; `noun` are the words after it, which may say what it counts; `heading` and `row_heading`
    are the headings of its column and row in a table; `unit` is its unit if that is in a heading or after the arrow.
    """

    text: str
    reading: str
    kind: Literal["number", "range", "size", "shape"]
    run: Run
    column: int
    role: Literal["", "before", "after"] = ""
    noun: str = ""
    heading: str = ""
    row_heading: str = ""
    unit: str = ""

    @property
    def line(self) -> int:
        """The line of the document, from 1."""
        return self.run.line


class Ignored(Record, frozen=True, kw_only=True):
    """Digits of a document that are not read as a number, and the rule why: `parts of names`, `dates and versions`, or `unreadable`."""

    text: str
    rule: str
    line: int
    column: int


class Binding(Record, frozen=True, kw_only=True):
    """A comment that says what the number before it is about, `<!-- claim: params before -->`. `table` has the keys of a claim."""

    text: str
    line: int
    column: int
    table: dict[str, Any]


class Document(Record, frozen=True, kw_only=True):
    """A document: its text, its runs, the numbers in them, its tables and the bindings.

    `optional_numbers` are the numbers in code, and small numbers in words. A claim can be about one of them, but they need no claim.
    """

    name: str
    text: str
    runs: tuple[Run, ...]
    numbers: tuple[Number, ...]
    bindings: tuple[Binding, ...]
    optional_numbers: tuple[Number, ...] = ()
    tables: tuple[Table, ...] = ()
    title: str = ""
    ignored: tuple[Ignored, ...] = ()


class Coverage(Record, frozen=True, kw_only=True):
    """The numbers of a document that have a claim, are exempt, or are not covered; and the digits that are not read as numbers.

    `unreadable` are digits that no rule exempts; `by_rule` counts the others by rule.
    """

    bound: tuple[Number, ...]
    exempt: tuple[Number, ...]
    uncovered: tuple[Number, ...]
    unreadable: tuple[Ignored, ...] = ()
    by_rule: dict[str, int] = {}

    @property
    def total(self) -> int:
        """How many numbers the document has."""
        return len(self.bound) + len(self.exempt) + len(self.uncovered)
