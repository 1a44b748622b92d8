"""Where time comes from."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """A monotonic clock in seconds: `time.perf_counter`, or a test's own."""

    def __call__(self) -> float:
        """The seconds since some moment that does not move."""
