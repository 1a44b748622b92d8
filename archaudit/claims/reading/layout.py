"""What a reader finds in a document, whatever its format."""

from __future__ import annotations

import re
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
