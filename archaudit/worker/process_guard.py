"""What a model may not do to the process that measures it: fork it, move it to another folder, take its signals.

Two processes that both go on would give two answers; paths that are relative to a folder lead elsewhere once it is left; a process that
ignores its signals does not stop when it is told to. Whatever is done is undone, and told. Only constructors and forward passes are held
to it: a module that does such things while it is imported does them once, before anything is measured.
"""

from __future__ import annotations

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

_HINT = "Leave that to the program around the model: take it out of the constructor and out of forward."
_forks: list[str] = []


def tell_forks() -> None:
    """From now on it is noted where this process is forked; for once in a process. A pool of multiprocessing's is none of it: its
    processes run what they are given, and end."""
    os.register_at_fork(before=_note_fork)


@contextmanager
def good_conduct(name: str) -> Iterator[None]:
    """While open, `name` is built and run. Raises MeasureError when that did to this process what it should not; what is raised inside
    goes first."""
    folder, handlers, forks = Path.cwd(), _read_handlers(), len(_forks)
    try:
        yield
    finally:
        left_for, taken = _return_to(folder), _put_back(handlers)
    if len(_forks) > forks:
        raise MeasureError(f"{name}: the model forks the process that measures it{_forks[forks]}", _HINT)
    if left_for is not None:
        raise MeasureError(f"{name}: the model changes the working folder, to {left_for}", _HINT)
    if taken:
        raise MeasureError(f"{name}: the model changes what happens at signals: {', '.join(taken)}", _HINT)


def _note_fork() -> None:
    frames = [frame for frame in traceback.extract_stack(sys._getframe(1)) if frame.filename != __file__]
    if frames and "multiprocessing" in Path(frames[-1].filename).parts:
        return
    place = frames[-1] if frames else None
    _forks.append(f" ({Path(place.filename).name}:{place.lineno}: {place.line})" if place else "")


def _return_to(folder: Path) -> str | None:
    """Back to `folder`; where this process was instead, if it was elsewhere."""
    try:
        found = str(Path.cwd())
    except OSError:
        found = "one that is gone"
    if found == str(folder):
        return None
    with suppress(OSError):  # it may be gone by now
        os.chdir(folder)
    return found


def _read_handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _put_back(handlers: dict[int, Any]) -> list[str]:
    """The handlers as they were; the names of those signals that had another one."""
    changed = [number for number, handler in _read_handlers().items() if handler is not handlers[number]]
    for number in changed:
        if handlers[number] is not None:  # else it was not Python that set it, and Python cannot set it again
            with suppress(ValueError, OSError):  # only the main thread may
                signal.signal(number, handlers[number])
    return [signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}" for number in changed]


# --- what the system knows of processes: who descends from whom, how large they are, who dies with whom. Where it is not Linux, nothing ---


_SET_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36
# Of the memory that is free at the start: what is left keeps the machine from thrashing.
_SHARE_OF_FREE = 0.85


def die_with_parent() -> None:
    """This process is killed when the one that forked it ends, however that ends."""
    _control_process(_SET_DEATH_SIGNAL, signal.SIGKILL)


def adopt_orphans() -> None:
    """Descendants whose parent ended become children of this process instead of the system's first."""
    _control_process(_SET_CHILD_SUBREAPER, 1)


def _control_process(option: int, value: int) -> None:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def list_descendants(pid: int) -> list[int]:
    """All living processes that descend from `pid`, parents first."""
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
    """The resident size of one process; 0 when it is gone or cannot be looked at."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def read_session(pid: int) -> int | None:
    """The session of a process, None when it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def read_memory_limit() -> int | None:
    """How many bytes workers may take together: most of what is free now, for the machine and for its control group; None if unknown."""
    free: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        free.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return int(min(free) * _SHARE_OF_FREE) if free else None
