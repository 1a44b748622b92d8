"""Two laws of the same quantity: their difference, and the sizes from which one is cheaper."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from archaudit.scaling.expressions import compile_text, evaluate_code
from archaudit.scaling.reading import parse_expression

# Sizes are searched from 1 up to this; a crossover beyond it concerns nobody.
_LARGEST = 1 << 24
# Between two neighbouring sizes of the search, one crossover is found.
_STEPS_PER_DOUBLING = 8


class Crossing(NamedTuple):
    """From this size of the variable on, the cost after is smaller (`cheaper`), or larger."""

    size: int
    cheaper: bool


def subtract_laws(before: str, after: str) -> str:
    """After minus before, with equal terms cancelled."""
    return (parse_expression(after) - parse_expression(before)).format()


def find_crossings(before: str, after: str, variable: str, sizes: Mapping[str, int]) -> tuple[int, list[Crossing]]:
    """The sign of after minus before at size 1, and each size at which it changes, the other variables as in `sizes`.

    Between neighbouring sizes of a geometric row the difference is taken to change its sign at most once.
    """
    codes = compile_text(before), compile_text(after)

    def compare(size: int) -> int:
        values = [evaluate_code(code, {**sizes, variable: size}) for code in codes]
        return (values[1] > values[0]) - (values[1] < values[0])

    row = sorted({round(2 ** (step / _STEPS_PER_DOUBLING)) for step in range(24 * _STEPS_PER_DOUBLING + 1)})
    sign = first = compare(1)
    crossings: list[Crossing] = []
    for low, high in pairwise(row):
        now = compare(high)
        if now in (0, sign):
            continue
        if sign:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if compare(middle) == now else (middle, high)
            crossings.append(Crossing(high, now < 0))
        else:
            first = now
        sign = now
    return first, crossings
