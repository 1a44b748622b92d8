"""One model over the commits of a repository: its metrics, and the first commit at which a condition holds.

A loop over the pipeline. Every profile is kept, so that what was interrupted goes on where it was.
"""

from __future__ import annotations

from archaudit.history.bisecting import Condition, bisect, parse_condition
from archaudit.history.tracing import trace_history

__all__ = ["Condition", "bisect", "parse_condition", "trace_history"]
