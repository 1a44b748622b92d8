"""What the samples of two models say: the ratio of their medians with a confidence interval, what is detectable, and anomalies.

The interval is a bootstrap, over rounds and then over the samples within a round. What rounds have in common (a clock that drops, another
process that starts) affects both sides of a round, so the same rounds are drawn for both sides; the rest varies within a round, so samples
are drawn again there. numpy is imported on first use: reading a report without times does not wait for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from archaudit.schema import Latency
from archaudit.timing.schedule import MIN_ROUNDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Rounds = Sequence[Sequence[float]]
"""Samples in seconds, one row for each round; all rounds of both sides have the same number of samples."""

# --- the ratio of two sides -------------------------------------------------------------------------------------------

RESAMPLES = 1000
# A failed verdict breaks a build. One wrong in a hundred would be too many, but two measurements must agree.
CONFIDENCE = 0.99


class Interval(NamedTuple):
    """A ratio of medians with its confidence interval."""

    low: float
    middle: float
    high: float

    @property
    def width(self) -> float:
        """The ratio of the ends, minus one."""
        return self.high / self.low - 1


def estimate_ratio(before: Rounds, after: Rounds, seed: int, resamples: int = RESAMPLES) -> Interval:
    """The median after divided by the median before, with its bootstrap interval. Raises ValueError without samples."""
    import numpy as np

    first, second = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if not first.size or not second.size or len(first) != len(second):
        raise ValueError("a ratio needs samples of both sides, round by round")
    generator = np.random.RandomState(seed % 2**32)  # gives the same numbers in every version of numpy, which saved reports rely on
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


# --- one measurement --------------------------------------------------------------------------------------------------

# A regression is detected when its whole interval is above 1. To be detected nearly always, and not every other time, it must be larger
# than both halves of the interval together: (2.58 + 3.8) / (2 x 2.58) of the width of a 99 % interval.
_POWER = 1.25
# Two modes: each has at least this share of the samples, and the gap between them is this many times the spread within them.
_MIN_MODE_SHARE, _GAP = 0.15, 4.0
# ... and at least this share of the fastest sample.
_MIN_GAP_SHARE = 0.02
# Drift: the medians of the first and the last third of the samples differ by more than this.
_DRIFT = 0.05


class Evidence(NamedTuple):
    """One measurement. `ratio` is after divided by before, `aa_ratio` before divided by itself (the A/A comparison).

    `min_detectable` is the smallest regression that is detected nearly always, as a share of before; `change_s` the difference of the
    medians in seconds; `rounds` the number of rounds; `anomalies` are reasons in words not to trust the samples.
    """

    ratio: Interval
    aa_ratio: Interval
    min_detectable: float
    change_s: float
    rounds: int
    anomalies: tuple[str, ...] = ()


def compare_samples(before: Rounds, after: Rounds, again: Rounds, seed: int, resamples: int = RESAMPLES) -> Evidence:
    """The evidence of one measurement: the samples of before, of after, and of before again."""
    ratio = estimate_ratio(before, after, seed, resamples)
    aa_ratio = estimate_ratio(before, again, seed + 1, resamples)
    flat_before, flat_after = list(chain.from_iterable(before)), list(chain.from_iterable(after))
    return Evidence(
        ratio=ratio,
        aa_ratio=aa_ratio,
        min_detectable=find_min_detectable(aa_ratio, ratio),
        change_s=median(flat_after) - median(flat_before),
        rounds=len(before),
        anomalies=tuple(dict.fromkeys((*find_anomalies(flat_before), *find_anomalies(flat_after)))),
    )


def find_min_detectable(aa_ratio: Interval, ratio: Interval) -> float:
    """The smallest regression that is detected nearly always, as a share of before.

    It follows from the A/A comparison: the width of its interval, and its distance from 1 although nothing differs. It is not smaller than
    the width of the comparison's own interval allows, since the side after may be the noisier one.
    """
    return max(_POWER * aa_ratio.width, aa_ratio.high - 1, 1 / aa_ratio.low - 1, _POWER * ratio.width)


def find_anomalies(samples: Sequence[float]) -> list[str]:
    """Too few samples, two modes, or drift, in words."""
    if len(samples) < 2 * MIN_ROUNDS:
        return ["too few samples"]
    found = []
    if has_two_modes(samples):
        found.append("two modes")
    third = len(samples) // 3
    first, last = median(samples[:third]), median(samples[-third:])
    if abs(last - first) > _DRIFT * min(first, last):
        found.append("drift")
    return found


def has_two_modes(samples: Sequence[float]) -> bool:
    """Whether the samples form two clusters with a gap between them, each with a fair share."""
    ordered = sorted(samples)
    fewest = max(2, math.ceil(_MIN_MODE_SHARE * len(ordered)))
    cuts = range(fewest, len(ordered) - fewest + 1)
    if not cuts:
        return False
    cut = max(cuts, key=lambda place: ordered[place] - ordered[place - 1])
    gap = ordered[cut] - ordered[cut - 1]
    spread = max(_find_spread(ordered[:cut]), _find_spread(ordered[cut:]))
    return gap > _GAP * spread and gap > _MIN_GAP_SHARE * ordered[0]


def _find_spread(ordered: Sequence[float]) -> float:
    """The median distance from the median."""
    middle = median(ordered)
    return median(abs(each - middle) for each in ordered)


# --- two recorded latencies -------------------------------------------------------------------------------------------

# Clocks lowered by heat or a fault. A power cap is not among them: data-centre GPUs run under it, and it affects both sides.
_THROTTLED = frozenset({"hardware slowdown", "software thermal", "hardware thermal", "power brake"})


def compare_latencies(before: Latency, after: Latency) -> tuple[Evidence, ...]:
    """The evidence of each measurement of two latencies; empty where one side has no samples.

    Latencies of different runs are compared too: the odd and the even samples before are the A/A comparison, and the two halves after are
    two measurements. Whether that may be trusted, `find_problems` says.
    """
    pairing = after.pairing
    if pairing is None or not are_interleaved(before, after):
        return _compare_separate_runs(before, after)
    found, start = [], 0
    for number, rounds in enumerate(pairing.rounds):
        part = slice(start, start + rounds)
        of_before, of_after, of_again = (
            _split(samples, 2 * pairing.passes)[part] for samples in (before.samples_s, after.samples_s, pairing.again_s)
        )
        found.append(compare_samples(of_before, of_after, of_again, pairing.seed + number))
        start += rounds
    return tuple(found)


def are_interleaved(before: Latency, after: Latency) -> bool:
    """Whether the two were timed in one interleaved run: both have as many samples as the run's rounds."""
    if after.pairing is None:
        return False
    expected = 2 * after.pairing.passes * sum(after.pairing.rounds)
    return {len(before.samples_s), len(after.samples_s), len(after.pairing.again_s)} == {expected}


def find_problems(before: Latency | None, after: Latency | None) -> tuple[str, ...]:
    """Why the two latencies cannot be compared or trusted; empty where they can."""
    if before is None or after is None or not before.samples_s or not after.samples_s:
        return ("latency was not measured",)
    problems = [f"different {what}: {first} before, {second} after" for what, first, second in _list_differences(before, after)]
    throttled = {reason for side in (before, after) for state in side.states for reason in state.throttled} & _THROTTLED
    if throttled:
        problems.append(f"throttled: {', '.join(sorted(throttled))}")
    return tuple(problems)


def _list_differences(before: Latency, after: Latency) -> list[tuple[str, str, str]]:
    """What must be equal and is not: the device, its driver, torch, and the settings."""
    compared: list[tuple[str, object, object]] = [("device", before.device, after.device)]
    if before.machine is not None and after.machine is not None:
        compared += [(name, getattr(before.machine, name), getattr(after.machine, name)) for name in ("driver", "torch", "cuda")]
    if before.settings is not None and after.settings is not None:
        names = before.settings.__struct_fields__
        compared += [(name.replace("_", " "), getattr(before.settings, name), getattr(after.settings, name)) for name in names]
    else:
        compared += [("method", before.method, after.method), ("threads", before.threads, after.threads)]
    return [(name, str(first), str(second)) for name, first, second in compared if first != second]


def _compare_separate_runs(before: Latency, after: Latency) -> tuple[Evidence, ...]:
    rounds = min(len(before.samples_s) // 2, len(after.samples_s) // 2)
    if rounds < 1:
        return ()
    evens, odds = before.samples_s[::2], before.samples_s[1::2]
    half = len(after.samples_s) // 2
    rounds = min(rounds, max(MIN_ROUNDS, rounds // 2))
    first, again = _split_into(evens, rounds), _split_into(odds, rounds)
    return tuple(
        compare_samples(first, _split_into(part, rounds), again, number)
        for number, part in enumerate((after.samples_s[:half], after.samples_s[half:]))
    )


def _split(samples: Sequence[float], size: int) -> list[Sequence[float]]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def _split_into(samples: Sequence[float], rounds: int) -> list[Sequence[float]]:
    """This many rounds of equal size; a remainder at the end is dropped."""
    return _split(samples, len(samples) // rounds)[:rounds]
