"""The ratio of two sides' medians, and how sure it is: a bootstrap over rounds, then over the samples within a round.

What rounds have in common (a clock that sank, a neighbour that woke up) meets both sides of a round, so rounds are drawn for both sides
together; what is left varies within a round, so samples are drawn again there. numpy is imported on first use: reading a report without
times does not wait for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from archaudit.schema import Latency
from archaudit.timing.schedule import LEAST_ROUNDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Samples in seconds, one row a round; every round of both sides has the same number.
Rounds = Sequence[Sequence[float]]

RESAMPLES = 1000
# Verdicts fail builds: one in a hundred is too often by itself, and two measurements have to agree.
CONFIDENCE = 0.99


class Interval(NamedTuple):
    """A ratio of medians with its confidence interval."""

    low: float
    middle: float
    high: float

    @property
    def width(self) -> float:
        """How far its ends are apart, as a ratio less one."""
        return self.high / self.low - 1


def bound_ratio(before: Rounds, after: Rounds, seed: int, resamples: int = RESAMPLES) -> Interval:
    """The median after by the median before, with its bootstrap interval. Raises ValueError without samples."""
    import numpy as np

    first, second = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if not first.size or not second.size or len(first) != len(second):
        raise ValueError("a ratio needs samples of both sides, round by round")
    generator = np.random.RandomState(seed % 2**32)  # its numbers are the same in every version of numpy, which reports rely on
    rounds = generator.randint(0, len(first), (resamples, len(first)), dtype=np.int64)
    ratios = _resample(second, rounds, generator) / _resample(first, rounds, generator)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(ratios, (tail, 1 - tail))
    middle = float(np.median(second) / np.median(first))
    return Interval(min(float(low), middle), middle, max(float(high), middle))


def _resample(samples: NDArray[np.float64], rounds: NDArray[np.int64], generator: np.random.RandomState) -> NDArray[np.float64]:
    """The median of each resample."""
    inside = generator.randint(0, samples.shape[1], (*rounds.shape, samples.shape[1]), dtype=rounds.dtype.type)
    drawn: Any = samples[rounds[:, :, None], inside].reshape(len(rounds), -1)
    drawn.sort(axis=1)
    middle = drawn.shape[1] // 2
    medians: NDArray[np.float64] = drawn[:, middle] if drawn.shape[1] % 2 else (drawn[:, middle - 1] + drawn[:, middle]) / 2
    return medians


# --- everything that one measurement says: the ratio, the A/A pair and the floor that follows from it, and what is odd about the samples --


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


# --- two recorded latencies, weighed: timed against each other in one run, or one now against one that was stored ---


# The states in which a clock is held down by heat or a fault; a power cap is how data-centre GPUs run under load, and meets both sides.
_DOUBTFUL = frozenset({"hardware slowdown", "software thermal", "hardware thermal", "power brake"})


def weigh_pair(before: Latency, after: Latency) -> tuple[Evidence, ...]:
    """One piece of evidence for each measurement of the pair; none where one side has no samples.

    Latencies of different runs are weighed too: the odd and the even samples before are the A/A pair, the two halves after are two
    measurements. What that is worth, `find_doubts` says.
    """
    pairing = after.pairing
    if pairing is None or not is_pair(before, after):
        return _weigh_apart(before, after)
    found, start = [], 0
    for number, rounds in enumerate(pairing.rounds):
        cut = slice(start, start + rounds)
        sides = [_split(samples, 2 * pairing.passes)[cut] for samples in (before.samples_s, after.samples_s, pairing.again_s)]
        found.append(weigh(sides[0], sides[1], sides[2], pairing.seed + number))
        start += rounds
    return tuple(found)


def is_pair(before: Latency, after: Latency) -> bool:
    """Whether the two were timed against each other: as many samples as the rounds say."""
    if after.pairing is None:
        return False
    expected = 2 * after.pairing.passes * sum(after.pairing.rounds)
    return {len(before.samples_s), len(after.samples_s), len(after.pairing.again_s)} == {expected}


def find_doubts(before: Latency | None, after: Latency | None) -> tuple[str, ...]:
    """Why the two times cannot be compared, or not be trusted; nothing where they can."""
    if before is None or after is None or not before.samples_s or not after.samples_s:
        return ("latency was not measured",)
    doubts = [f"other {what}: {first} before, {second} after" for what, first, second in _list_differences(before, after)]
    throttled = {reason for side in (before, after) for state in side.states for reason in state.throttled} & _DOUBTFUL
    if throttled:
        doubts.append(f"throttled: {', '.join(sorted(throttled))}")
    return tuple(doubts)


def _list_differences(before: Latency, after: Latency) -> list[tuple[str, str, str]]:
    """What has to be the same, and is not: the device, its driver, torch, and the settings."""
    compared: list[tuple[str, object, object]] = [("device", before.device, after.device)]
    if before.machine is not None and after.machine is not None:
        compared += [(name, getattr(before.machine, name), getattr(after.machine, name)) for name in ("driver", "torch", "cuda")]
    if before.settings is not None and after.settings is not None:
        names = before.settings.__struct_fields__
        compared += [(name.replace("_", " "), getattr(before.settings, name), getattr(after.settings, name)) for name in names]
    else:
        compared += [("method", before.method, after.method), ("threads", before.threads, after.threads)]
    return [(name, str(first), str(second)) for name, first, second in compared if first != second]


def _weigh_apart(before: Latency, after: Latency) -> tuple[Evidence, ...]:
    rounds = min(len(before.samples_s) // 2, len(after.samples_s) // 2)
    if rounds < 1:
        return ()
    evens, odds = before.samples_s[::2], before.samples_s[1::2]
    half = len(after.samples_s) // 2
    rounds = min(rounds, max(LEAST_ROUNDS, rounds // 2))
    first, again = _split_into(evens, rounds), _split_into(odds, rounds)
    return tuple(
        weigh(first, _split_into(part, rounds), again, number)
        for number, part in enumerate((after.samples_s[:half], after.samples_s[half:]))
    )


def _split(samples: Sequence[float], size: int) -> list[Sequence[float]]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def _split_into(samples: Sequence[float], rounds: int) -> list[Sequence[float]]:
    """So many rounds of the same size; what is left over at the end is left out."""
    return _split(samples, len(samples) // rounds)[:rounds]
