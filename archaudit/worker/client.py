"""The parent's end: starts workers, sends requests, and turns whatever becomes of a worker into a message."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from archaudit.errors import WorkerError
from archaudit.schema import Record
from archaudit.worker.messages import Failed, Progress, Reply, Request, receive_reply, send

# Longer than any model that can be measured without values takes; a real run of a small one neither.
DEFAULT_TIMEOUT_S = 900.0
_GRACE_S = 2.0


class WorkerOptions(Record, frozen=True, kw_only=True):
    """How workers are run: whether in processes of their own, how long a request may take, what to import before forking."""

    isolated: bool = True
    timeout_s: float = DEFAULT_TIMEOUT_S
    preload: tuple[str, ...] = ("torch",)


class Worker(Protocol):
    """Something that answers requests: a process, or this process itself."""

    def send(self, request: Request) -> None:
        """Hands a request over without waiting."""

    def receive(self) -> Reply:
        """Waits for the reply to the request sent last. Raises the worker's ArchauditError, or WorkerError when it is gone."""


class LocalWorker:
    """Answers in this process. For live models, and for debugging with `--no-isolation`."""

    def __init__(self, notify: Callable[[str], None]) -> None:
        from archaudit.worker.session import Session

        self._session = Session(notify=lambda progress: notify(progress.stage))
        self._request: Request | None = None

    def send(self, request: Request) -> None:
        """Keeps the request until the reply is asked for."""
        self._request = request

    def receive(self) -> Reply:
        """Does the work."""
        assert self._request is not None
        reply = self._session.handle(self._request)
        if isinstance(reply, Failed):
            raise reply.to_error()
        return reply


class ProcessWorker:
    """Talks to a worker process over a socket."""

    def __init__(self, side: str, channel: socket.socket, timeout_s: float, notify: Callable[[str], None]) -> None:
        self.side = side
        self._channel = channel
        self._timeout_s = timeout_s
        self._notify = notify
        self._stage = "starting"
        self.ended: Callable[[], str] = lambda: ""

    def send(self, request: Request) -> None:
        """Hands the request over; a worker that is gone already is found out when the reply is awaited."""
        try:
            send(self._channel, request)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> Reply:
        """Waits for the reply, passing progress on."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            self._channel.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                reply = receive_reply(self._channel)
            except TimeoutError:
                raise WorkerError(
                    f"{self.side}: no answer within {self._timeout_s:g} s while {self._stage}", "Allow more time with --timeout SECONDS."
                ) from None
            except ConnectionResetError:
                reply = None
            if reply is None:
                raise WorkerError(f"{self.side}: the process that measured it died while {self._stage}{self.ended()}")
            if isinstance(reply, Failed):
                raise reply.to_error()
            if not isinstance(reply, Progress):
                return reply
            self._stage = reply.stage
            self._notify(reply.stage)


@contextmanager
def start_workers(
    sides: Sequence[str], options: WorkerOptions, notify: Callable[[str], None] = lambda stage: None
) -> Iterator[list[Worker]]:
    """A worker for each of `sides` (their names are for messages). When the block ends, every process that was started is gone."""
    if not options.isolated or not hasattr(os, "fork"):  # without fork there is no way to share one import of torch
        yield [LocalWorker(notify) for _ in sides]
        return
    pairs = [socket.socketpair() for _ in sides]
    status_read, status_write = os.pipe()
    process = _spawn([theirs.fileno() for _, theirs in pairs], status_write, options)
    os.close(status_write)
    for _, theirs in pairs:
        theirs.close()
    workers = [ProcessWorker(side, ours, options.timeout_s, notify) for side, (ours, _) in zip(sides, pairs, strict=True)]
    for number, worker in enumerate(workers):
        worker.ended = lambda number=number: _describe_end(process, status_read, number)  # type: ignore[misc]
    try:
        yield list(workers)
    finally:
        for ours, _ in pairs:
            ours.close()
        _stop(process)
        os.close(status_read)


def _spawn(descriptors: list[int], status: int, options: WorkerOptions) -> subprocess.Popen[bytes]:
    order = {
        "channels": descriptors,
        "status": status,
        "preload": options.preload,
        "threads": max(1, (os.cpu_count() or 1) // len(descriptors)) if len(descriptors) > 1 else None,
    }
    own_folder = str(Path(__file__).resolve().parents[2])
    search_path = os.pathsep.join(part for part in (own_folder, os.environ.get("PYTHONPATH", "")) if part)
    # -P: the current folder is not searched, so that a user's random.py does not stand in for Python's
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "archaudit.worker", json.dumps(order)],
        stdin=subprocess.DEVNULL,
        pass_fds=[*descriptors, status],
        env={**os.environ, "PYTHONPATH": search_path},
        start_new_session=True,
    )


def _describe_end(process: subprocess.Popen[bytes], status_read: int, number: int) -> str:
    """` (killed by SIGSEGV)`, ` (exit status 3)`, or nothing when it is not known in time."""
    deadline = time.monotonic() + _GRACE_S
    os.set_blocking(status_read, False)
    text = b""
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            text += os.read(status_read, 4096)
        for line in text.decode().splitlines():
            who, code = line.split()
            if int(who) == number:
                return _name_status(int(code))
        ended = process.poll()
        if ended is not None:
            return _name_status(ended)
        time.sleep(0.02)
    return ""


def _name_status(code: int) -> str:
    if code >= 0:
        return f" (exit status {code})"
    try:
        return f" (killed by {signal.Signals(-code).name})"
    except ValueError:
        return f" (killed by signal {-code})"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Waits a moment for the closed sockets to end the workers; then ends the whole process group."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=0.2)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
