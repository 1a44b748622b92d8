"""What the system knows of processes: who descends from whom, how large they are, who dies with whom. Where it is not Linux, nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

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
