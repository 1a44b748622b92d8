"""Simulated noise of machines: relative times of the passes of a run, in the order in which they run."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from archaudit.timing import Evidence, compare_samples, draw_order

Noise = Callable[[np.random.Generator, NDArray[np.float64]], NDArray[np.float64]]


def quiet(draw, moments):
    """Half a per cent, as on a GPU with locked clocks."""
    return 1 + 0.005 * draw.standard_normal(moments.shape)


def heavy(draw, moments):
    """One-sided with tails so heavy that there is no mean: interrupts and page faults."""
    return 1 + 0.01 * np.abs(draw.standard_t(1.5, moments.shape))


def drifting(draw, moments):
    """Up to thirty per cent from beginning to end, and a random walk on top: a clock that drops as the machine heats up."""
    walk = np.cumsum(0.003 * draw.standard_normal(moments.size))
    trend = draw.uniform(0, 0.3) * moments / moments.size
    return (1 + trend + walk[moments.astype(int)]) * (1 + 0.005 * draw.standard_normal(moments.shape))


def bimodal(draw, moments):
    """Two modes a fifth apart, one of them for 5 to 50 % of the passes: a boost clock, a page that is or is not huge."""
    slow = draw.random(moments.shape) < draw.uniform(0.05, 0.5)
    return np.where(slow, 1.2, 1.0) * (1 + 0.01 * draw.standard_normal(moments.shape))


NOISES = {"quiet": quiet, "heavy": heavy, "drifting": drifting, "bimodal": bimodal}


def place_moments(rounds: int, passes: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """The moment of each sample of each side, one row for each round, as `compare_samples` takes them."""
    moments = {side: np.empty((rounds, 2 * passes)) for side in ("before", "after", "again")}
    moment = 0
    for number, blocks in enumerate(draw_order(rounds, seed)):
        filled = dict.fromkeys(moments, 0)
        for side in blocks:
            for _ in range(passes):
                moments[side][number, filled[side]] = moment
                filled[side] += 1
                moment += 1
    return moments


def simulate(noise: Noise, effect: float, seed: int, rounds: int = 8, passes: int = 1, resamples: int = 400) -> Evidence:
    """One measurement of a model that takes 10 ms, and of one that takes `effect` times as long."""
    draw = np.random.default_rng(seed)
    moments = place_moments(rounds, passes, seed)
    relative = noise(draw, np.stack([moments[side] for side in ("before", "after", "again")]))
    before, after, again = 0.010 * relative
    return compare_samples(before, effect * after, again, seed, resamples)


@pytest.fixture(params=NOISES)
def noise(request) -> Noise:
    return NOISES[request.param]
