"""Clocks around every call of a module: the host's clock on the CPU, CUDA events where the profiler sees no kernels."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from archaudit.timing import Clock


class CallClock:
    """Sums up, by position in the tree, the time that each module spent in its own operators in one pass, and the number of its calls.

    The time that the clock itself takes, some microseconds for each call, counts for the calling module.
    """

    def __init__(self, clock: Clock) -> None:
        self.own: dict[int, float] = {}
        self.calls: dict[int, int] = {}
        self._clock = clock
        self._started: list[float] = []
        self._inside: list[float] = []

    def clear(self) -> None:
        """Drops the figures of the previous pass."""
        self.own.clear()
        self.calls.clear()

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Starts the clock of one call."""
        self._inside.append(0.0)
        self._started.append(self._clock())

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Stops the clock and returns the result unchanged."""
        spent = self._clock() - self._started.pop()
        self.own[position] = self.own.get(position, 0.0) + spent - self._inside.pop()
        self.calls[position] = self.calls.get(position, 0) + 1
        if self._inside:
            self._inside[-1] += spent
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Drops a call that raised."""
        self._started.pop()
        self._inside.pop()


# --- CUDA events ---


class StreamEvent(Protocol):
    """An event on a stream, such as `torch.cuda.Event`."""

    def record(self) -> None:
        """Records the event on the current stream."""

    def elapsed_time(self, later: Any) -> float:
        """Milliseconds to a later event, once the device has passed both."""


class EventClock:
    """Records an event at the beginning and the end of each call, and sums up afterwards the time that each module spent itself."""

    def __init__(self) -> None:
        self._calls: list[tuple[int, int, StreamEvent, StreamEvent]] = []
        self._open: list[tuple[int, StreamEvent]] = []
        self.counts: dict[int, int] = {}

    def make_event(self) -> StreamEvent:
        """A new event."""
        return torch.cuda.Event(enable_timing=True)

    def clear(self) -> None:
        """Drops the figures of the previous pass."""
        self._calls.clear()
        self.counts.clear()

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Records the beginning of one call."""
        event = self.make_event()
        event.record()
        self._open.append((position, event))

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Records its end and returns the result unchanged."""
        end = self.make_event()
        end.record()
        _, begin = self._open.pop()
        self._calls.append((position, self._open[-1][0] if self._open else -1, begin, end))
        self.counts[position] = self.counts.get(position, 0) + 1
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Drops a call that raised."""
        self._open.pop()

    def read_own(self) -> dict[int, float]:
        """Seconds that each module spent itself in the pass. The device has to be finished."""
        own: dict[int, float] = {}
        for position, caller, begin, end in self._calls:
            spent = begin.elapsed_time(end) / 1e3
            own[position] = own.get(position, 0.0) + spent
            if caller >= 0:
                own[caller] = own.get(caller, 0.0) - spent
        return own
