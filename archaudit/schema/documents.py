"""What is found in a document: runs of text, numbers, and the bindings written beside them. Immutable, in reading order."""

from __future__ import annotations

from typing import Any, Literal

from archaudit.schema import Record

Place = Literal["text", "heading", "table", "output", "comment", "code"]


class Run(Record, frozen=True, kw_only=True):
    """A stretch of one line in which to look for numbers.

    `text` is as long as the line, what is no statement in it (links, tags, code around a comment) blanked; `whole` is the line as it is.
    It begins at `column` of `line`, both from 1. `section` is the heading above; `place` the kind of text it stands in; `block` numbers
    the paragraph, table or code block.
    """

    text: str
    whole: str
    place: Place
    section: str
    line: int
    column: int
    block: int


class Number(Record, frozen=True, kw_only=True):
    """A number, range, size (`3x3`) or shape that a document states, as it is written there.

    `role` is its side of an arrow, `256 → 128`; `noun` the words behind it, which may say what it counts;
    `heading` the head of its column in a table, `row_heading` that of its row; `unit` its unit where that stands elsewhere: in one of those
    heads, or behind the arrow.
    """

    text: str
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


class Binding(Record, frozen=True, kw_only=True):
    """A comment that says what the number before it is about: `<!-- claim: params before -->`, as the keys of a claim's table."""

    text: str
    line: int
    column: int
    table: dict[str, Any]


class Document(Record, frozen=True, kw_only=True):
    """A document as read: its text, its runs, the numbers in them and the bindings beside them.

    `code_numbers` are those in code itself, which states nothing: a claim may be about one, but none has to be.
    """

    name: str
    text: str
    runs: tuple[Run, ...]
    numbers: tuple[Number, ...]
    bindings: tuple[Binding, ...]
    code_numbers: tuple[Number, ...] = ()


class Coverage(Record, frozen=True, kw_only=True):
    """Which numbers of a document are bound to a claim, exempt, or neither."""

    bound: tuple[Number, ...]
    exempt: tuple[Number, ...]
    uncovered: tuple[Number, ...]

    @property
    def total(self) -> int:
        """How many numbers the document has."""
        return len(self.bound) + len(self.exempt) + len(self.uncovered)
