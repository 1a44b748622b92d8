"""When a model has warmed up: allocators, caches and autotuners settle in the first passes, which say nothing of the later ones.

The first pass of all loads libraries and kernels, for seconds on a device that was just started: it counts for nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

# Two windows of this many passes are compared; a pass that lands on a scheduler's tick does not move a median of three.
_WINDOW = 3
# Autotuners change a pass by tens of per cent; ordinary noise of a median of three is a few.
_TOLERANCE = 0.05
_LEAST, _MOST = 2, 50
# However short passes are: `least_s` of empty ones are too many to be told of.
_MOST_SHORT = 5000


class WarmUp(NamedTuple):
    """The seconds of each warm-up pass, and whether they had become stable when warming up ended."""

    samples_s: tuple[float, ...]
    stable: bool

    @property
    def pass_s(self) -> float:
        """What a pass took at the end."""
        return find_pass_s(self.samples_s)


def find_pass_s(samples: Sequence[float]) -> float:
    """What a pass takes, by the passes that warmed up: the last ones, the first of all never among them if there is another."""
    return median((samples[1:] or samples)[-_WINDOW:])


def warm_up(run: Callable[[], float], limit_s: float, least_s: float = 0.0) -> WarmUp:
    """Calls `run`, which makes one pass and returns its seconds, until two windows of passes agree, or `limit_s` seconds are spent.

    A pass that alone takes more than a third of `limit_s` is made twice only: what is slow is not moved by what warms up. Passes that are
    short are made for `least_s` seconds: a device's clocks follow its load only after some tenths of a second. The first pass is in none
    of these times.
    """
    samples: list[float] = []
    spent, most = 0.0, _MOST
    while len(samples) < most:
        samples.append(run())
        if len(samples) < _LEAST:
            continue
        spent += samples[-1]
        if spent < least_s:
            most = min(len(samples) + _MOST, _MOST_SHORT)
        if len(samples) >= 2 * _WINDOW and spent >= least_s and _agree(samples):
            return WarmUp(tuple(samples), True)
        if spent >= limit_s or samples[-1] > limit_s / 3:
            break
    return WarmUp(tuple(samples), abs(samples[-1] - samples[-2]) <= _TOLERANCE * samples[-1] if len(samples) < 2 * _WINDOW else False)


def _agree(samples: list[float]) -> bool:
    earlier, later = median(samples[-2 * _WINDOW : -_WINDOW]), median(samples[-_WINDOW:])
    return abs(later - earlier) <= _TOLERANCE * later
