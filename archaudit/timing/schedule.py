"""How a model is timed: warming it up, and the order in which two models run."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from statistics import median
from typing import Literal, NamedTuple, Protocol


class Clock(Protocol):
    """A monotonic clock in seconds: `time.perf_counter`, or a fake one in tests."""

    def __call__(self) -> float:
        """The seconds since a fixed moment."""


# --- interleaved rounds -----------------------------------------------------------------------------------------------

Side = Literal["before", "after", "again"]
MEASUREMENT_SIDES: tuple[Side, ...] = ("before", "after", "again")
"""The sides of a round. `again` is the model before once more: the A/A comparison, which shows the noise."""

# With fewer rounds it is unknown how much rounds differ; more change little.
MIN_ROUNDS, _MAX_ROUNDS = 6, 20
# Seconds. A shorter block may be dominated by a single interrupt.
_BLOCK_S = 0.02
_MAX_PASSES = 25


class Plan(NamedTuple):
    """The number of rounds, and of passes in each block of a round."""

    rounds: int
    passes: int


def draw_order(rounds: int, seed: int) -> tuple[tuple[Side, ...], ...]:
    """The six blocks of each round. Each round is a palindrome, so that a linear drift affects all sides alike. Deterministic by seed."""
    draw = random.Random(seed)
    order = []
    for _ in range(rounds):
        first = draw.sample(MEASUREMENT_SIDES, len(MEASUREMENT_SIDES))
        order.append((*first, *reversed(first)))
    return tuple(order)


def plan_rounds(before_s: float, after_s: float, limit_s: float) -> Plan:
    """As many rounds as fit into `limit_s` seconds for passes of these durations, but at least MIN_ROUNDS."""
    shortest = max(min(before_s, after_s), 1e-9)
    passes = min(_MAX_PASSES, max(1, math.ceil(_BLOCK_S / shortest)))
    round_s = 2 * passes * (2 * before_s + after_s)
    return Plan(max(MIN_ROUNDS, min(_MAX_ROUNDS, int(limit_s / max(round_s, 1e-9)))), passes)


# --- warming up: in the first passes allocators, caches and autotuners settle -----------------------------------------

# Two windows of this many passes are compared: one delayed pass does not change a median of three.
_WINDOW = 3
# Autotuners change a pass by tens of per cent; the ordinary noise of a median of three is a few per cent.
_TOLERANCE = 0.05
_MIN_PASSES, _MAX_WARMUP_PASSES = 2, 50
# Even where passes are so short that more fit into the minimum time.
_MAX_SHORT_PASSES = 5000


class WarmUp(NamedTuple):
    """The seconds of each warm-up pass, and whether they were stable at the end."""

    samples_s: tuple[float, ...]
    stable: bool

    @property
    def pass_s(self) -> float:
        """The duration of a pass at the end of the warm-up."""
        return estimate_pass_s(self.samples_s)


def estimate_pass_s(samples: Sequence[float]) -> float:
    """The duration of a pass: the median of the last warm-up passes, without the first one where there is another."""
    return median((samples[1:] or samples)[-_WINDOW:])


def warm_up(run: Callable[[], float], limit_s: float, min_s: float = 0.0) -> WarmUp:
    """Calls `run`, which makes one pass and returns its seconds, until two windows of passes agree, or `limit_s` seconds have passed.

    A pass that takes more than a third of `limit_s` runs only twice: warming up does not matter for such a slow one. Passes continue for at
    least `min_s` seconds, since the clocks of a device follow its load after some tenths of a second. The first pass counts in neither
    duration.
    """
    samples: list[float] = []
    spent, most = 0.0, _MAX_WARMUP_PASSES
    while len(samples) < most:
        samples.append(run())
        if len(samples) < _MIN_PASSES:
            continue
        spent += samples[-1]
        if spent < min_s:
            most = min(len(samples) + _MAX_WARMUP_PASSES, _MAX_SHORT_PASSES)
        if len(samples) >= 2 * _WINDOW and spent >= min_s and _is_stable(samples):
            return WarmUp(tuple(samples), True)
        if spent >= limit_s or samples[-1] > limit_s / 3:
            break
    stable = len(samples) < 2 * _WINDOW and abs(samples[-1] - samples[-2]) <= _TOLERANCE * samples[-1]
    return WarmUp(tuple(samples), stable)


def _is_stable(samples: list[float]) -> bool:
    earlier, later = median(samples[-2 * _WINDOW : -_WINDOW]), median(samples[-_WINDOW:])
    return abs(later - earlier) <= _TOLERANCE * later
