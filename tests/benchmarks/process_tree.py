"""What a command costs with all its descendants, also those that nobody waits for: read from /proc while it runs (Linux)."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

# Memory and processor time only grow, so the last reading of each process is its total, short of one interval.
_INTERVAL_S = 0.02
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Wall seconds; processor seconds of all processes together; the peak memory of the largest; and why it failed (empty: it did not)."""

    wall_s: float
    processor_s: float
    peak_bytes: int
    problem: str = ""


def measure_command(command: list[str], limit_s: float = 600) -> Cost:
    """Runs a command and reads what it and its descendants cost. It is ended after `limit_s` seconds."""
    start = time.perf_counter()
    processor_s: dict[int, float] = {}
    peaks: dict[int, int] = {}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        known = {process.pid}
        while process.poll() is None and time.perf_counter() - start < limit_s:
            known |= _list_children(known)
            for pid in known:
                _read(pid, processor_s, peaks)
            time.sleep(_INTERVAL_S)
        problem = ""
        if process.returncode is None:
            process.kill()
            process.wait()
            problem = f"more than {limit_s:g} s"
        elif process.returncode:
            errors.seek(0)
            lines = [line for line in errors.read().splitlines() if line.strip()]
            problem = lines[-1].split(":")[0].strip() if lines else f"exit status {process.returncode}"
    return Cost(time.perf_counter() - start, sum(processor_s.values()), max(peaks.values(), default=0), problem)


def _list_children(known: set[int]) -> set[int]:
    """The processes whose parent is known. A process that outlives its parent stays known."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in known:
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if int(fields[1]) in known:
                found.add(int(entry.name))
    return found


def _read(pid: int, processor_s: dict[int, float], peaks: dict[int, int]) -> None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has ended
        return
    processor_s[pid] = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    peak = next((line for line in lines if line.startswith("VmHWM:")), None)
    if peak is not None:
        peaks[pid] = int(peak.split()[1]) * 1024
