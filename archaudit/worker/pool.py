"""The parent's side of the supervisor, the process that forks workers: starts it, requests workers, and receives how each exited."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
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
from archaudit.worker.status_file import make_status_file

# The length of every request, so that two requests in a row are not read as one.
REQUEST_BYTES = 1024
_LONGEST_SIDE = 120  # characters of a side's name, which must fit into a request
COMPILED_FOLDER = "archaudit-compiled-"
_EXIT_TIMEOUT_S = 2.0  # for the supervisor to end, or to report how a worker exited
_PROBE_TIMEOUT_S = 120.0
_PROBE = """
import importlib.util, sys
import archaudit
from archaudit.schema import FORMAT_VERSION
import archaudit.worker.supervise
print(FORMAT_VERSION, archaudit.__version__, importlib.util.find_spec("torch") is not None)
"""


class WorkerExit(Record, frozen=True, kw_only=True):
    """How a worker exited: `code` is its exit status or minus its signal. One that `exceeded` a limit (`memory`, `output`) was killed at
    `bytes`."""

    number: int
    code: int
    exceeded: str | None = None
    bytes: int = 0


class Pool:
    """Starts the supervisor on entry. On exit, the supervisor and all its descendants are gone."""

    def __init__(self, preload: Sequence[str], memory_bytes: int | None, python: str | None = None) -> None:
        if python is not None:
            _check_python(python)
        self.status_file = make_status_file()
        self._preload = tuple(preload)
        self._memory_bytes = memory_bytes
        self._python = python
        self._control, self._theirs = socket.socketpair()
        self._process: subprocess.Popen[bytes] | None = None
        self._compiled: str | None = None
        self._forked = 0
        self._lock = threading.Lock()  # several threads can use one pool
        self._received = b""
        self._exits: dict[int, WorkerExit] = {}

    def __enter__(self) -> Pool:
        self._compiled = _make_compiler_folder()
        options = {
            "compiled": self._compiled,
            "control": self._theirs.fileno(),
            "status_file": self.status_file.descriptor,
            "preload": self._preload,
            "worker_memory": self._memory_bytes,
            "total_memory": read_memory_limit() if self._memory_bytes is None else None,
        }
        # -P: without the current folder in sys.path, so that a user's random.py does not shadow Python's
        self._process = subprocess.Popen(
            [self._python or sys.executable, "-P", "-m", "archaudit.worker", json.dumps(options)],
            stdin=subprocess.DEVNULL,
            pass_fds=[self._theirs.fileno(), self.status_file.descriptor],
            env=_make_environment(self._python, self._compiled),
            start_new_session=True,
        )
        self._theirs.close()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process is not None
        self._control.close()  # the supervisor ends when the socket is closed
        try:
            self._process.wait(timeout=_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, 9)
            self._process.wait()
        self.status_file.close()
        if self._compiled is not None:
            shutil.rmtree(self._compiled, ignore_errors=True)

    def fork(self, side: str, channel: socket.socket, threads: int | None) -> int:
        """Requests a worker at the other end of `channel`, and returns its number for `wait_for_exit`. It may not have started yet."""
        with self._lock:
            number = self._forked
            self._forked += 1
            data = json.dumps({"number": number, "side": side[:_LONGEST_SIDE], "threads": threads}).encode()
            with suppress(BrokenPipeError, ConnectionResetError):  # noticed when the parent waits for the reply
                socket.send_fds(self._control, [data.ljust(REQUEST_BYTES)], [channel.fileno()])
        return number

    def wait_for_exit(self, number: int) -> WorkerExit | None:
        """How the worker exited, after a short wait; None if that is not known."""
        deadline = time.monotonic() + _EXIT_TIMEOUT_S
        with self._lock:
            while number not in self._exits:
                ready, _, _ = select.select([self._control], [], [], max(0.0, deadline - time.monotonic()))
                data = b""
                with suppress(ConnectionResetError):  # the supervisor is gone, too
                    data = self._control.recv(1 << 16) if ready else b""
                if not data:
                    return None
                *lines, self._received = (self._received + data).split(b"\n")
                for ended in (msgspec.json.decode(line, type=WorkerExit) for line in lines):
                    self._exits[ended.number] = ended
            return self._exits[number]


def _make_compiler_folder() -> str | None:
    """A folder for what torch's compiler writes. By itself torch makes one in the temporary folder, and leaves it there."""
    return None if "TORCHINDUCTOR_CACHE_DIR" in os.environ else tempfile.mkdtemp(prefix=COMPILED_FOLDER)


def _make_environment(python: str | None, compiled: str | None) -> dict[str, str]:
    """The environment of the supervisor: this interpreter imports this archaudit, another one its own.

    The order of a set of texts depends on a seed that Python draws for each process. With the same one, a model that depends on such an
    order is the same model each time.
    """
    environment = {"PYTHONHASHSEED": "0", **({"TORCHINDUCTOR_CACHE_DIR": compiled} if compiled is not None else {}), **os.environ}
    if python is not None:
        return environment
    own_folder = str(Path(__file__).resolve().parents[2])
    search_path = os.pathsep.join(part for part in (own_folder, os.environ.get("PYTHONPATH", "")) if part)
    return {**environment, "PYTHONPATH": search_path}


def _check_python(python: str) -> None:
    """Raises WorkerError if another interpreter cannot run workers for this one."""
    hint = f"Install the same version there: {python} -m pip install archaudit."
    try:
        done = subprocess.run([python, "-P", "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkerError(f"{python} cannot be run: {error}", "--python takes the path of a Python interpreter.") from error
    if done.returncode != 0:
        message = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise WorkerError(f"{python} has no archaudit that this one can use: {message[:300]}", hint)
    version, release, has_torch = done.stdout.split()
    if int(version) != FORMAT_VERSION:
        raise WorkerError(f"{python} has archaudit {release} of format version {version}; this one has {FORMAT_VERSION}", hint)
    if has_torch != "True":
        raise WorkerError(f"{python} has no torch", hint)
