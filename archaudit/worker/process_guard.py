"""Stops a model from changing the process that measures it: by a fork, another working folder, other signal handlers, or other builtins.

After a fork two processes would give two results; in another folder relative paths mean other files; a process that ignores signals
cannot be stopped; and with another `isinstance` or `len` nothing is counted right. A change is undone and reported.
Only constructors and forward passes are guarded against the first three: a Python module that makes such a change while it is imported
does it once, before anything is measured. Builtins are guarded from the import on.

The second half reads processes and memory from /proc. psutil would do the same at a cost: it lists descendants by reading every process of
the machine, 3.2 ms of CPU time for two workers where 124 processes run, against 0.06 ms here, twenty times a second, and it takes 8 ms to
import. It knows neither subreapers, nor death signals, nor the memory limit of a control group.
"""

from __future__ import annotations

import builtins
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from archaudit.errors import MeasureError

_HINT = "Move that out of the constructor and of forward, into the program that uses the model."
_forks: list[str] = []


def record_forks() -> None:
    """From now on, records the line that forks this process. Call it once. A pool of multiprocessing is not recorded: its processes run
    their tasks and end."""
    os.register_at_fork(before=_record_fork)


@contextmanager
def guard_process(name: str) -> Iterator[None]:
    """A block that builds and runs the model `name`. Restores the working folder and the signal handlers after it. Raises MeasureError if
    the block changed them or forked; an error that the block raises has priority."""
    folder, handlers, forks = _find_folder(), _read_handlers(), len(_forks)
    try:
        with guard_builtins(name):
            yield
    finally:
        other_folder, changed = _restore_folder(folder), _restore_handlers(handlers)
    if len(_forks) > forks:
        raise MeasureError(f"{name}: the model forks the process that measures it{_forks[forks]}", _HINT)
    if other_folder is not None:
        raise MeasureError(f"{name}: the model changes the working folder to {other_folder}", _HINT)
    if changed:
        raise MeasureError(f"{name}: the model changes the handlers of signals: {', '.join(changed)}", _HINT)


@contextmanager
def guard_builtins(name: str) -> Iterator[None]:
    """A block that runs code of the model `name`. Restores Python's builtins after it. Raises MeasureError if the block replaced one, in
    place of an error that the block raises, which such a change can cause."""
    before = dict(vars(builtins))
    try:
        yield
    finally:
        changed = [key for key, value in before.items() if key != "_" and vars(builtins).get(key) is not value]
        for key in changed:
            setattr(builtins, key, before[key])
        if changed:
            raise MeasureError(f"{name}: the model replaces Python's own {', '.join(changed)}, which archaudit counts with", _HINT)


def _find_folder() -> Path | None:
    """The current folder; None if it no longer exists."""
    try:
        return Path.cwd()
    except OSError:
        return None


def _record_fork() -> None:
    frames = [frame for frame in traceback.extract_stack(sys._getframe(1)) if frame.filename != __file__]
    if frames and "multiprocessing" in Path(frames[-1].filename).parts:
        return
    place = frames[-1] if frames else None
    _forks.append(f" ({Path(place.filename).name}:{place.lineno}: {place.line})" if place else "")


def _restore_folder(folder: Path | None) -> str | None:
    """Returns to `folder`. The folder that this process was in, if it was another one."""
    current = _find_folder()
    found = str(current) if current is not None else "a folder that no longer exists"
    if folder is None or current == folder:
        return None
    with suppress(OSError):  # it may no longer exist
        os.chdir(folder)
    return found


def _read_handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _restore_handlers(handlers: dict[int, Any]) -> list[str]:
    """Restores the handlers. The names of the signals that had another handler."""
    changed = [number for number, handler in _read_handlers().items() if handler is not handlers[number]]
    for number in changed:
        if handlers[number] is not None:  # None: Python did not set it and cannot restore it
            with suppress(ValueError, OSError):  # only the main thread can
                signal.signal(number, handlers[number])
    return [signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}" for number in changed]


# --- processes and memory, by Linux's /proc and prctl; on other systems these find and do nothing ---


_SET_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36
# Of the memory that is free at the start. The rest is for other programs, so that the machine does not start to swap.
_SHARE_OF_FREE = 0.85


def die_with_parent() -> None:
    """The system kills this process when its parent ends, for every kind of end."""
    _control_process(_SET_DEATH_SIGNAL, signal.SIGKILL)


def adopt_orphans() -> None:
    """Descendants whose parent ended become children of this process instead of process 1."""
    _control_process(_SET_CHILD_SUBREAPER, 1)


def _control_process(option: int, value: int) -> None:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def list_descendants(pid: int) -> list[int]:
    """All running descendants of a process, parents first."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        with suppress(OSError):
            for thread in Path(f"/proc/{current}/task").iterdir():
                children = [int(child) for child in (thread / "children").read_text().split()]
                found += children
                waiting += children
    return found


def read_resident_bytes(pid: int) -> int:
    """The resident memory of one process; 0 if it is gone or cannot be read."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def read_session(pid: int) -> int | None:
    """The session of a process; None if the process is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def read_memory_limit() -> int | None:
    """The memory limit in bytes for all workers together: most of what is free now, on the machine and in its control group. None if that
    is unknown."""
    free: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        free.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return int(min(free) * _SHARE_OF_FREE) if free else None
