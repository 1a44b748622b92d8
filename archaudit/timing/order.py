"""The order in which two sides are timed: interleaved in palindromes, so that what drifts meets all sides alike.

A round is before, after and before *again* in some order, then the same backwards: A B A' A' B A. The order of each round is drawn at
random with a recorded seed, so that nothing that comes in beats can favour a side. The two blocks of the same model, A and A', are the A/A
pair: whatever differs between them is noise.
"""

from __future__ import annotations

import math
import random
from typing import Literal, NamedTuple

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
