"""What the reader of each format finds in a document, and questions that all readers have."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from archaudit.schema.documents import Run, Table

# Words of numbers, for the quick test whether a line can state one: "eighty million", "twelve-layer".
_NUMBER_WORD = re.compile(
    r"\b(?:million|billion|thousand|layers?|blocks?|stages?|heads?|branch(?:es)?|channels?|experts?)\b", re.IGNORECASE
)


class Layout(NamedTuple):
    """The runs of a document in reading order, those of code, the tables, the lines in which bindings can be, and the first heading."""

    runs: tuple[Run, ...]
    code_runs: tuple[Run, ...] = ()
    tables: tuple[Table, ...] = ()
    binding_lines: tuple[str, ...] = ()
    title: str = ""


def has_digit(text: str) -> bool:
    """Whether a text has a decimal digit."""
    return any(character.isdigit() for character in text)


def has_words(text: str) -> bool:
    """Whether a text can state a number, in digits or in words."""
    return has_digit(text) or _NUMBER_WORD.search(text) is not None


def find_section(headings: Sequence[tuple[int, str]], line: int) -> str:
    """The last heading at or above a line; empty if there is none. `headings` are lines, in order, with their titles."""
    position = bisect_right(headings, line, key=lambda heading: heading[0])
    return headings[position - 1][1] if position else ""


def mask(found: re.Match[str]) -> str:
    """Spaces in place of a match, so that columns do not change."""
    return " " * len(found[0])
