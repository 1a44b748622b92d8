"""How models are to be timed: apart from the timing itself, which few commands need."""

from __future__ import annotations

from archaudit.schema import LatencyBudget, Record, TimingSettings


class TimingOptions(Record, frozen=True, kw_only=True):
    """How models are to be timed: `seed` draws the order (None: a new one), `limit_s` is what one measurement of a pair may take.

    `budget` is what a second measurement may be needed for (None: the default one).
    """

    settings: TimingSettings = TimingSettings()
    seed: int | None = None
    limit_s: float = 15.0
    warmup_s: float = 3.0
    budget: LatencyBudget | None = None
