"""Which number of a document belongs to which claim.

A claim of a TOML file names its number by the figure as written, and where that stands more than once by `source` (its section's heading,
or `section 6` for a heading that begins with 6) and `near` (a text on the same line). It takes every such number; several claims with the
same names take them in turn. A binding in the document is about the number before it. Numbers in code are no statements and not counted.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from archaudit.claims.records import Binding, Coverage, Document, Number
from archaudit.schema import Check

_NOUNS = re.compile(r"(?:params|parameters)$", re.IGNORECASE)
_NUMBERED_SECTION = re.compile(r"section\s+([\d.]+)", re.IGNORECASE)


class Located(NamedTuple):
    """The claims with the numbers that each is about, and what of the document is covered."""

    numbers: dict[str, tuple[Number, ...]]
    coverage: Coverage


def locate(document: Document, checks: Sequence[Check], bound: Iterable[tuple[Binding, Check]]) -> Located:
    """Where in the document each claim stands, by its id; a claim that stands nowhere has no numbers."""
    stated = {(number.line, number.column): number for number in document.numbers}
    at = stated | {(number.line, number.column): number for number in document.code_numbers}
    numbers: dict[str, tuple[Number, ...]] = {check.id: () for check in checks}
    taken: dict[tuple[int, int], Check] = {}
    for binding, check in bound:
        place = (binding.line, binding.column)
        numbers[check.id] = (at[place],)
        taken[place] = check
    by_figure: dict[str, list[Number]] = defaultdict(list)
    for place, number in at.items():
        if place not in taken:
            by_figure[normalise(number.text)].append(number)
    inline = {check.id for _, check in bound}
    for group in _group(check for check in checks if check.id not in inline):
        candidates = [number for number in by_figure[normalise(group[0].written or group[0].expected)] if _stands_at(group[0], number)]
        free = [number for number in candidates if (number.line, number.column) not in taken]
        free = [number for number in free if (number.line, number.column) in stated] or free  # code only where no sentence says it
        for position, check in enumerate(group):
            mine = free if len(group) == 1 else free[position : position + 1] if position < len(group) - 1 else free[position:]
            numbers[check.id] = tuple(mine)
            taken.update({(number.line, number.column): check for number in mine})
    return Located(numbers, _cover(document, taken))


def normalise(figure: str) -> str:
    """A figure without the differences in writing that are none: spaces, `×` for `x`, the noun behind a count."""
    text = _NOUNS.sub("", "".join(figure.split())).casefold().replace("×", "x").replace("–", "-").replace("—", "-").replace("−", "-")
    return text.replace("≈", "~").replace("percent", "%").replace("times", "x")


def _group(checks: Iterable[Check]) -> list[list[Check]]:
    """Claims that name their number alike, together; those that say more about where it stands first."""
    groups: dict[tuple[str, str | None, str | None], list[Check]] = defaultdict(list)
    for check in checks:
        groups[normalise(check.written or check.expected), check.source, check.near].append(check)
    return [group for _, group in sorted(groups.items(), key=lambda item: (item[0][2] is None, item[0][1] is None))]


def _stands_at(check: Check, number: Number) -> bool:
    if check.near is not None and check.near not in number.run.whole:
        return False
    if check.source is None:
        return True
    heading, source = number.run.section.casefold(), check.source.casefold()
    numbered = _NUMBERED_SECTION.fullmatch(source)
    if numbered:
        return re.match(rf"{re.escape(numbered[1].rstrip('.'))}(?![\d.]*\d)", heading) is not None or source in heading
    return source in heading or source == f"line {number.line}"


def _cover(document: Document, taken: dict[tuple[int, int], Check]) -> Coverage:
    bound, exempt, uncovered = [], [], []
    for number in document.numbers:
        check = taken.get((number.line, number.column))
        if check is None:
            uncovered.append(number)
        elif check.exempt is not None:
            exempt.append(number)
        else:
            bound.append(number)
    return Coverage(bound=tuple(bound), exempt=tuple(exempt), uncovered=tuple(uncovered))
