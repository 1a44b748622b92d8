"""Everything that one measurement says: the ratio, the A/A pair and the floor that follows from it, and what is odd about the samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from statistics import median
from typing import NamedTuple

from archaudit.timing.intervals import RESAMPLES, Interval, Rounds, bound_ratio
from archaudit.timing.order import LEAST_ROUNDS

# A regression is seen when its whole interval is beyond 1. For that to be so nearly always (and not every other time), it has to be larger
# than the interval's two halves together: (2.58 + 3.8) / (2 x 2.58) of the width of a 99 % interval.
_POWER = 1.25
# Modes: both hold at least this share of the samples, and the gap between them is this many times what samples spread within them.
_LEAST_SHARE, _GAP = 0.15, 4.0
# Drift: the last third differs from the first by more than this.
_DRIFT = 0.05


class Evidence(NamedTuple):
    """One measurement. `ratio` is after by before, `again` before by itself; `floor` the smallest regression that can be seen, as a share.

    `change_s` is the difference of the medians in seconds, `rounds` how many there were, `oddities` what makes the samples
    untrustworthy in words.
    """

    ratio: Interval
    again: Interval
    floor: float
    change_s: float
    rounds: int
    oddities: tuple[str, ...] = ()


def weigh(before: Rounds, after: Rounds, again: Rounds, seed: int, resamples: int = RESAMPLES) -> Evidence:
    """What one measurement says: the samples of before, after and before again in seconds, a row for each round."""
    ratio = bound_ratio(before, after, seed, resamples)
    pair = bound_ratio(before, again, seed + 1, resamples)
    flat = [list(chain.from_iterable(side)) for side in (before, after, again)]
    return Evidence(
        ratio=ratio,
        again=pair,
        floor=find_floor(pair, ratio),
        change_s=median(flat[1]) - median(flat[0]),
        rounds=len(before),
        oddities=tuple(dict.fromkeys(text for side in (flat[0], flat[1]) for text in find_oddities(side))),
    )


def find_floor(again: Interval, ratio: Interval) -> float:
    """The smallest regression that is seen nearly always, as a share of before.

    From the A/A pair: how wide its interval is, and how far it lies from 1 though nothing differs. And not smaller than what the width
    of the comparison's own interval allows, since the side after may be the noisier one.
    """
    return max(_POWER * again.width, again.high - 1, 1 / again.low - 1, _POWER * ratio.width)


def find_oddities(samples: Sequence[float]) -> list[str]:
    """Two modes, drift, or too few samples, in words."""
    found = []
    if len(samples) < 2 * LEAST_ROUNDS:
        found.append("too few samples")
        return found
    if has_two_modes(samples):
        found.append("two modes")
    third = len(samples) // 3
    first, last = median(samples[:third]), median(samples[-third:])
    if abs(last - first) > _DRIFT * min(first, last):
        found.append("drift")
    return found


def has_two_modes(samples: Sequence[float]) -> bool:
    """Whether the samples are in two heaps with a gap between them, each with a fair share."""
    ordered = sorted(samples)
    least = max(2, math.ceil(_LEAST_SHARE * len(ordered)))
    cuts = range(least, len(ordered) - least + 1)
    if not cuts:
        return False
    cut = max(cuts, key=lambda place: ordered[place] - ordered[place - 1])
    gap = ordered[cut] - ordered[cut - 1]
    spread = max(_spread(ordered[:cut]), _spread(ordered[cut:]))
    return gap > _GAP * spread and gap > 0.02 * ordered[0]


def _spread(ordered: Sequence[float]) -> float:
    """The median distance from the median."""
    middle = median(ordered)
    return median(abs(each - middle) for each in ordered)
