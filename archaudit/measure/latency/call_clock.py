"""A clock around every call of a module: how time comes to modules on the CPU."""

from __future__ import annotations

from typing import Any

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
