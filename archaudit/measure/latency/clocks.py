"""A clock around every call of a module: how time comes to modules on the CPU."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from archaudit.timing import Clock


class CallClock:
    """Adds up, by position in the tree, what each module spent in one pass in its own operators, and how often it was called.

    The clock's own microseconds a call fall to the module around the call.
    """

    def __init__(self, clock: Clock) -> None:
        self.own: dict[int, float] = {}
        self.calls: dict[int, int] = {}
        self._clock = clock
        self._started: list[float] = []
        self._inside: list[float] = []

    def clear(self) -> None:
        """Forgets the pass before."""
        self.own.clear()
        self.calls.clear()

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Starts the clock of one call."""
        self._inside.append(0.0)
        self._started.append(self._clock())

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Stops it; the result is passed on as it is."""
        spent = self._clock() - self._started.pop()
        self.own[position] = self.own.get(position, 0.0) + spent - self._inside.pop()
        self.calls[position] = self.calls.get(position, 0) + 1
        if self._inside:
            self._inside[-1] += spent
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Forgets a call that raised."""
        self._started.pop()
        self._inside.pop()


# --- cUDA events around every call of a module: how time comes to modules where the profiler may not see kernels ---


class Moment(Protocol):
    """A moment on the stream, as `torch.cuda.Event` is one."""

    def record(self) -> None:
        """Marks the moment."""

    def elapsed_time(self, later: Any) -> float:
        """Milliseconds to a later one; both have to have passed."""


class EventClock:
    """Marks the beginning and the end of each call on the stream, and adds up afterwards what each module spent by itself."""

    def __init__(self) -> None:
        self._calls: list[tuple[int, int, Moment, Moment]] = []
        self._open: list[tuple[int, Moment]] = []
        self.counts: dict[int, int] = {}

    def make_moment(self) -> Moment:
        """A moment that was not marked yet."""
        return torch.cuda.Event(enable_timing=True)

    def clear(self) -> None:
        """Forgets the pass before."""
        self._calls.clear()
        self.counts.clear()

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Marks the beginning of one call."""
        moment = self.make_moment()
        moment.record()
        self._open.append((position, moment))

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Marks its end; the result is passed on as it is."""
        end = self.make_moment()
        end.record()
        _, begin = self._open.pop()
        self._calls.append((position, self._open[-1][0] if self._open else -1, begin, end))
        self.counts[position] = self.counts.get(position, 0) + 1
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Forgets a call that raised."""
        self._open.pop()

    def read_own(self) -> dict[int, float]:
        """Seconds that each module of the pass spent by itself; the device has to have finished."""
        own: dict[int, float] = {}
        for position, around, begin, end in self._calls:
            spent = begin.elapsed_time(end) / 1e3
            own[position] = own.get(position, 0.0) + spent
            if around >= 0:
                own[around] = own.get(around, 0.0) - spent
        return own
