"""What raw times are worth: statistics, floors and verdicts on samples in seconds. Knows no torch, no model and no device.

`clocks` is where time comes from, `warming` when a model has warmed up, `order` in which order blocks are run, `intervals` the ratio of two
sides and how sure it is, `evidence` everything that one measurement says, `deciding` the rule, `roofline` what a layer's time is
spent on. All of it works on numbers, so that tests run on a clock of their own and on simulated noise.
"""

from __future__ import annotations

from archaudit.timing.deciding import Budget, Decision, decide, spell_share
from archaudit.timing.evidence import Evidence, Interval, bound_ratio, find_doubts, is_pair, weigh, weigh_pair
from archaudit.timing.roofline import Ceilings, Work, label_work
from archaudit.timing.schedule import LEAST_ROUNDS, MEASUREMENT_SIDES, Clock, Plan, WarmUp, draw_order, find_pass_s, plan_rounds, warm_up

__all__ = [
    "LEAST_ROUNDS",
    "MEASUREMENT_SIDES",
    "Budget",
    "Ceilings",
    "Clock",
    "Decision",
    "Evidence",
    "Interval",
    "Plan",
    "WarmUp",
    "Work",
    "bound_ratio",
    "decide",
    "draw_order",
    "find_doubts",
    "find_pass_s",
    "is_pair",
    "label_work",
    "plan_rounds",
    "spell_share",
    "warm_up",
    "weigh",
    "weigh_pair",
]
