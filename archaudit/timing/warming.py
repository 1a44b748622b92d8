"""When a model has warmed up: allocators, caches and autotuners settle in the first passes, which say nothing of the later ones."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import NamedTuple

# Two windows of this many passes are compared; a pass that lands on a scheduler's tick does not move a median of three.
_WINDOW = 3
# Autotuners change a pass by tens of per cent; ordinary noise of a median of three is a few.
_TOLERANCE = 0.05
_LEAST, _MOST = 2, 50


class WarmUp(NamedTuple):
    """The seconds of each warm-up pass, and whether they had become stable when warming up ended."""

    samples_s: tuple[float, ...]
    stable: bool

    @property
    def pass_s(self) -> float:
        """What a pass took at the end."""
        return median(self.samples_s[-_WINDOW:])


def warm_up(run: Callable[[], float], limit_s: float) -> WarmUp:
    """Calls `run`, which makes one pass and returns its seconds, until two windows of passes agree, or `limit_s` are spent.

    A pass that alone takes more than a third of `limit_s` is made twice only: what is slow is not moved by what warms up.
    """
    samples: list[float] = []
    while len(samples) < _MOST:
        samples.append(run())
        if len(samples) < _LEAST:
            continue
        if len(samples) >= 2 * _WINDOW and _agree(samples):
            return WarmUp(tuple(samples), True)
        if sum(samples) >= limit_s or samples[-1] > limit_s / 3:
            break
    return WarmUp(tuple(samples), abs(samples[-1] - samples[-2]) <= _TOLERANCE * samples[-1] if len(samples) < 2 * _WINDOW else False)


def _agree(samples: list[float]) -> bool:
    earlier, later = median(samples[-2 * _WINDOW : -_WINDOW]), median(samples[-_WINDOW:])
    return abs(later - earlier) <= _TOLERANCE * later
