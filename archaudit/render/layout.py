"""Tables and paragraphs of plain text within a width: which columns fit, which texts are shortened, where lines break.

Widths are terminal cells. Texts have no invisible characters (`formatting.make_visible`), so a character takes one cell, two if it is wide,
and none if it combines with the one before.

rich.table does not draw these tables. It cannot drop columns by importance, put a heading over a group of columns, shorten a text in the
middle, or print notes between rows. It is slow, too: the 48 layer rows of the built-in example took it 115 to 145 ms, and 14 to 22 ms here,
and importing it took another 90 to 130 ms (three runs on two busy cores). A comparison may take no longer than importing torch.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from archaudit.render.formatting import ELLIPSIS

GAP = 2
# A number stays on one line with its per cent sign.
_WORD = re.compile(r"\S+(?: %(?!\w)\S*)?")
# More combining characters than this on one character are not text.
_MOST_CHARACTERS_PER_CELL = 4


class TextColumn(NamedTuple):
    """A column with all its cells. Neighbouring columns of one `group` have its name as a common heading.

    `rank` is the order in which columns are dropped if room is short: the highest first, 0 never. A column with `least` may be narrowed to
    that width, with its texts shortened in the middle; others keep their width.
    """

    heading: str
    cells: tuple[str, ...]
    rank: int = 0
    right: bool = False
    least: int = 0
    group: str = ""

    @property
    def width(self) -> int:
        # A column without a heading has only the name of its group above it.
        return max(map(measure_text, (self.heading or self.group, *self.cells)))

    @property
    def narrowest(self) -> int:
        return max(measure_text(self.heading), min(self.least, self.width)) if self.least else self.width


def measure_text(text: str) -> int:
    """The number of terminal cells of a text."""
    return len(text) if text.isascii() else sum(map(_measure_character, text))


def _measure_character(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fits(columns: Sequence[TextColumn], width: int) -> bool:
    """Whether the columns fit if each is as narrow as it may be."""
    return sum(column.narrowest for column in columns) + GAP * (len(columns) - 1) <= width


def choose_columns(columns: Sequence[TextColumn], width: int) -> list[TextColumn]:
    """The columns that fit: those with the highest rank are dropped first, those of rank 0 stay."""
    kept = list(columns)
    while not fits(kept, width) and (rank := max(column.rank for column in kept)) > 0:
        kept = [column for column in kept if column.rank != rank]
    return kept


def format_columns(columns: Sequence[TextColumn], width: int) -> tuple[list[str], list[str]]:
    """The lines of the headings, and the lines of the rows."""
    widths = _narrow_columns(columns, width)
    rows = list(zip(*(column.cells for column in columns), strict=True))
    headings = [_join(columns, widths, [column.heading for column in columns])]
    if any(column.group for column in columns):
        headings.insert(0, _name_groups(columns, widths))
    return headings, [_join(columns, widths, row) for row in rows]


def _join(columns: Sequence[TextColumn], widths: Sequence[int], cells: Sequence[str]) -> str:
    padded = [_pad(cell, size, column.right) for cell, size, column in zip(cells, widths, columns, strict=True)]
    return (" " * GAP).join(padded)


def _name_groups(columns: Sequence[TextColumn], widths: Sequence[int]) -> str:
    """`params ────────────  FLOPs ──────────` above the columns that belong together."""
    parts = []
    for name, members in groupby(zip(columns, widths, strict=True), key=lambda member: member[0].group):
        sizes = [size for _, size in members]
        span = sum(sizes) + GAP * (len(sizes) - 1)
        label = shorten(name, span)
        rule = "─" * (span - measure_text(label) - 1)
        parts.append(f"{label} {rule}".ljust(span)[:span] if name else " " * span)
    return (" " * GAP).join(parts)


def _narrow_columns(columns: Sequence[TextColumn], width: int) -> list[int]:
    """The widths of the columns. If they do not fit, the widest that may be narrowed are cut to one common width."""
    widths = [column.width for column in columns]
    narrowest = [column.narrowest for column in columns]
    excess = sum(widths) + GAP * (len(columns) - 1) - width
    while excess > 0:
        room = [position for position, size in enumerate(widths) if size > narrowest[position]]
        if not room:
            break
        largest = max(widths[position] for position in room)
        level = [position for position in room if widths[position] == largest]
        # down to the next lower width or limit, all at once: a cell can have a million characters
        floor = max((size for size in (*(widths[position] for position in room), *narrowest) if size < largest), default=0)
        step = min(largest - floor, excess // len(level))
        for position in level if step else level[-1:]:
            cut = max(step, 1)
            widths[position] -= cut
            excess -= cut
    return widths


def _pad(text: str, width: int, right: bool) -> str:
    text = shorten(text, width)
    space = " " * (width - measure_text(text))
    return space + text if right else text + space


def shorten(text: str, width: int) -> str:
    """The text within a width: its beginning and its end, with an ellipsis between them."""
    if measure_text(text) <= width:
        return text
    if width <= 1:
        return ELLIPSIS[:width]
    head = _take(text, (width - 1) // 2)
    tail = _take(text[::-1], width - 1 - measure_text(head))[::-1]
    return head + ELLIPSIS + tail


def _take(text: Iterable[str], width: int) -> str:
    taken: list[str] = []
    for character in text:
        width -= _measure_character(character)
        if width < 0:
            break
        taken.append(character)
    return "".join(taken)


def wrap(text: str, width: int, hanging: str = "") -> Iterator[str]:
    """The lines of a text. All have its indent, from the second line on with `hanging` added; a word longer than a line is broken."""
    line = text[: len(text) - len(text.lstrip())]
    indent = line + hanging
    for word in _WORD.findall(text):
        start = 0
        while start < len(word):
            # only what can fit: copying the rest of a long word for each line takes quadratic time
            rest = word[start : start + _MOST_CHARACTERS_PER_CELL * max(1, width) + 1]
            is_whole = start + len(rest) == len(word)
            joined = f"{line} {rest}" if line.strip() else line + rest
            if is_whole and measure_text(joined) <= width:
                line, start = joined, len(word)
            elif line.strip():
                yield line
                line = indent
            else:
                piece = _take(rest, max(1, width - measure_text(line))) or rest[0]
                yield line + piece
                line, start = indent, start + len(piece)
    if line.strip():
        yield line
