"""One process that forks workers, seen from the parent: it is started here, asked for workers, and tells how each of them ended."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec

from archaudit.errors import WorkerError
from archaudit.schema import FORMAT_VERSION, Record
from archaudit.worker.process_guard import read_memory_limit
from archaudit.worker.status_file import make_board

# A request's length: so that two that follow each other closely stay two.
REQUEST_BYTES = 1024
_LONGEST_SIDE = 120
_GRACE_S = 2.0
_LONGEST_PROBE_S = 120.0
_PROBE = """
import importlib.util, sys
import archaudit
from archaudit.schema import FORMAT_VERSION
import archaudit.worker.supervise
print(FORMAT_VERSION, archaudit.__version__, importlib.util.find_spec("torch") is not None)
"""


class End(Record, frozen=True, kw_only=True):
    """How a worker ended: its exit status (or minus its signal), and why it was killed (`memory`, `output`) at how many bytes."""

    number: int
    code: int
    why: str | None = None
    bytes: int = 0


class Pool:
    """Starts the forking process when it is entered; when it is left, that process and all that descend from it are gone."""

    def __init__(self, preload: Sequence[str], memory_bytes: int | None, python: str | None = None) -> None:
        if python is not None:
            _check_python(python)
        self.board = make_board()
        self._preload = tuple(preload)
        self._memory_bytes = memory_bytes
        self._python = python
        self._control, self._theirs = socket.socketpair()
        self._process: subprocess.Popen[bytes] | None = None
        self._forked = 0
        self._lock = threading.Lock()  # several threads may ask one pool
        self._heard = b""
        self._ends: dict[int, End] = {}

    def __enter__(self) -> Pool:
        order = {
            "control": self._theirs.fileno(),
            "board": self.board.descriptor,
            "preload": self._preload,
            "memory": self._memory_bytes,
            "memory_together": read_memory_limit() if self._memory_bytes is None else None,
        }
        # -P: the current folder is not searched, so that a user's random.py does not stand in for Python's
        self._process = subprocess.Popen(
            [self._python or sys.executable, "-P", "-m", "archaudit.worker", json.dumps(order)],
            stdin=subprocess.DEVNULL,
            pass_fds=[self._theirs.fileno(), self.board.descriptor],
            env=_make_environment(self._python),
            start_new_session=True,
        )
        self._theirs.close()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process is not None
        self._control.close()  # the sign to end everything
        try:
            self._process.wait(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, 9)
            self._process.wait()
        self.board.close()

    def fork(self, side: str, channel: socket.socket, threads: int | None) -> int:
        """Asks for a worker at the other end of `channel`; the number by which its end is asked for. It need not have started yet."""
        with self._lock:
            number = self._forked
            self._forked += 1
            data = json.dumps({"number": number, "side": side[:_LONGEST_SIDE], "threads": threads}).encode()
            with suppress(BrokenPipeError, ConnectionResetError):  # found out when the reply is awaited
                socket.send_fds(self._control, [data.ljust(REQUEST_BYTES)], [channel.fileno()])
        return number

    def await_end(self, number: int) -> End | None:
        """How the worker ended, waiting a moment for it; None when that is not known."""
        deadline = time.monotonic() + _GRACE_S
        with self._lock:
            while number not in self._ends:
                ready, _, _ = select.select([self._control], [], [], max(0.0, deadline - time.monotonic()))
                data = b""
                with suppress(ConnectionResetError):  # the forking process is gone, too
                    data = self._control.recv(1 << 16) if ready else b""
                if not data:
                    return None
                *lines, self._heard = (self._heard + data).split(b"\n")
                for end in (msgspec.json.decode(line, type=End) for line in lines):
                    self._ends[end.number] = end
            return self._ends[number]


def _make_environment(python: str | None) -> dict[str, str]:
    """This archaudit for this interpreter; another one has its own."""
    if python is not None:
        return dict(os.environ)
    own_folder = str(Path(__file__).resolve().parents[2])
    search_path = os.pathsep.join(part for part in (own_folder, os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, "PYTHONPATH": search_path}


def _check_python(python: str) -> None:
    """Raises WorkerError when another interpreter cannot measure for this one."""
    hint = f"Install there what is here: {python} -m pip install archaudit."
    try:
        done = subprocess.run([python, "-P", "-c", _PROBE], capture_output=True, text=True, timeout=_LONGEST_PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkerError(f"{python} cannot be run: {error}", "--python takes the path of a Python interpreter.") from error
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise WorkerError(f"{python} has no archaudit that fits this one: {said[:300]}", hint)
    version, release, has_torch = done.stdout.split()
    if int(version) != FORMAT_VERSION:
        raise WorkerError(f"{python} has archaudit {release} of format version {version}; this one has {FORMAT_VERSION}", hint)
    if has_torch != "True":
        raise WorkerError(f"{python} has no torch", hint)
