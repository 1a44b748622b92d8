"""Statistics and decisions on measured times, in seconds. Knows no torch, no model and no device.

`schedule` is how models are timed (warm-up, interleaved rounds), `evidence` what the samples say (ratio, interval, anomalies), `decision`
the rule, `roofline` what bounds a layer's time. Everything works on numbers, so tests use a fake clock and simulated noise.
"""

from __future__ import annotations

from archaudit.timing.decision import Budget, Decision, decide, format_share
from archaudit.timing.evidence import Evidence, Interval, are_interleaved, compare_latencies, compare_samples, estimate_ratio, find_problems
from archaudit.timing.roofline import Bottleneck, Ceilings, Work, find_bottleneck
from archaudit.timing.schedule import MEASUREMENT_SIDES, MIN_ROUNDS, Clock, Plan, WarmUp, draw_order, estimate_pass_s, plan_rounds, warm_up

__all__ = [
    "MEASUREMENT_SIDES",
    "MIN_ROUNDS",
    "Bottleneck",
    "Budget",
    "Ceilings",
    "Clock",
    "Decision",
    "Evidence",
    "Interval",
    "Plan",
    "WarmUp",
    "Work",
    "are_interleaved",
    "compare_latencies",
    "compare_samples",
    "decide",
    "draw_order",
    "estimate_pass_s",
    "estimate_ratio",
    "find_bottleneck",
    "find_problems",
    "format_share",
    "plan_rounds",
    "warm_up",
]
