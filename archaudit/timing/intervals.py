"""The ratio of two sides' medians, and how sure it is: a bootstrap over rounds, then over the samples within a round.

What rounds have in common (a clock that sank, a neighbour that woke up) meets both sides of a round, so rounds are drawn for both sides
together; what is left varies within a round, so samples are drawn again there. numpy is imported on first use: reading a report without
times does not wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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
