"""One model over the commits of a repository: its metrics at each commit, and the first commit at which a condition holds.

Every profile is cached, so an interrupted run continues where it stopped.
"""

from __future__ import annotations

from archaudit.history.bisection import Condition, bisect, parse_condition
from archaudit.history.tracing import trace_history

__all__ = ["Condition", "bisect", "parse_condition", "trace_history"]
