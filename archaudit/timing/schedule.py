"""Where time comes from."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from statistics import median
from typing import Literal, NamedTuple, Protocol


class Clock(Protocol):
    """A monotonic clock in seconds: `time.perf_counter`, or a test's own."""

    def __call__(self) -> float:
        """The seconds since some moment that does not move."""


# --- the order in which two sides are timed: interleaved in palindromes, so that what drifts meets all sides alike ---


Side = Literal["before", "after", "again"]
MEASUREMENT_SIDES: tuple[Side, ...] = ("before", "after", "again")

# Fewer rounds say too little of how much rounds differ; more change little.
LEAST_ROUNDS, _MOST_ROUNDS = 6, 20
# A block shorter than this is at the mercy of a single interrupt.
_BLOCK_S = 0.02
_MOST_PASSES = 25


class Plan(NamedTuple):
    """How many rounds, and how many passes in each block of a round."""

    rounds: int
    passes: int


def draw_order(rounds: int, seed: int) -> tuple[tuple[Side, ...], ...]:
    """The blocks of each round, in order: six, a palindrome. The same seed gives the same order."""
    draw = random.Random(seed)
    order = []
    for _ in range(rounds):
        first = draw.sample(MEASUREMENT_SIDES, len(MEASUREMENT_SIDES))
        order.append((*first, *reversed(first)))
    return tuple(order)


def plan_rounds(before_s: float, after_s: float, limit_s: float) -> Plan:
    """As many rounds as fit into `limit_s` seconds when a pass takes so long, never fewer than the least that mean something."""
    shortest = max(min(before_s, after_s), 1e-9)
    passes = min(_MOST_PASSES, max(1, math.ceil(_BLOCK_S / shortest)))
    round_s = 2 * passes * (2 * before_s + after_s)
    return Plan(max(LEAST_ROUNDS, min(_MOST_ROUNDS, int(limit_s / max(round_s, 1e-9)))), passes)


# --- when a model has warmed up: allocators, caches and autotuners settle in the first passes, which say nothing of the later ones ---


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
