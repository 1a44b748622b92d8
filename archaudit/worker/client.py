"""The parent's end: starts workers, sends requests, and turns whatever becomes of a worker into a message."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

import msgspec

from archaudit.errors import WorkerError
from archaudit.schema import Record
from archaudit.worker.messages import Failed, Progress, Reply, Request, receive_reply, send

if TYPE_CHECKING:
    from archaudit.worker.pool import End, Pool

# Longer than any model that can be measured without values takes; a real run of a small one neither.
DEFAULT_TIMEOUT_S = 900.0


class WorkerOptions(Record, frozen=True, kw_only=True):
    """How workers are run: whether in processes of their own, how long a request may take, how much memory one may take (None: all of them
    most of what is free), what to import before forking; and under which interpreters: this one, one for all sides, or one each."""

    isolated: bool = True
    timeout_s: float = DEFAULT_TIMEOUT_S
    memory_bytes: int | None = None
    preload: tuple[str, ...] = ("torch",)
    pythons: tuple[str, ...] = ()

    def choose_python(self, side: int) -> str | None:
        """The interpreter for a side by its place; None is this one."""
        if len(self.pythons) <= 1:
            return self.pythons[0] if self.pythons else None
        return self.pythons[side] if side < len(self.pythons) else None


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
    """Talks to a worker process over a socket. `number` is its place in the pool that it was forked in."""

    def __init__(self, side: str, pool: Pool, options: WorkerOptions, notify: Callable[[str], None], threads: int | None) -> None:
        self.side = side
        self._pool = pool
        self._options = options
        self._notify = notify
        self._stage = "starting"
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._number = pool.fork(side, theirs, threads)

    def send(self, request: Request) -> None:
        """Hands the request over; a worker that is gone already is found out when the reply is awaited."""
        try:
            send(self._channel, request)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> Reply:
        """Waits for the reply, passing progress on."""
        deadline = time.monotonic() + self._options.timeout_s
        while True:
            self._channel.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                reply = receive_reply(self._channel)
            except TimeoutError:
                raise WorkerError(
                    f"{self.side}: no answer within {self._options.timeout_s:g} s while {self._tell_place()}",
                    "Allow more time with --timeout SECONDS.",
                ) from None
            except ConnectionResetError:
                reply = None
            if reply is None:
                raise self._explain_end(self._pool.await_end(self._number))
            if isinstance(reply, Failed):
                raise reply.to_error()
            if not isinstance(reply, Progress):
                return reply
            self._stage = reply.stage
            self._notify(reply.stage)

    def close(self) -> None:
        """The worker is told by the closed socket that nothing more is wanted."""
        self._channel.close()

    def _tell_place(self) -> str:
        module = self._pool.board.read(self._number)
        return f"{self._stage}, in {module}" if module else self._stage

    def _explain_end(self, end: End | None) -> WorkerError:
        place = self._tell_place()
        if end is not None and end.why == "memory":
            size = f"{end.bytes / 2**30:.1f} GiB"
            return WorkerError(f"{self.side}: it took {size} of memory while {place}", "Allow more with --memory SIZE, if there is more.")
        if end is not None and end.why == "output":
            return WorkerError(f"{self.side}: it printed more than {end.bytes // 2**20} MiB while {place}", "Let the model print less.")
        return WorkerError(f"{self.side}: the process that measured it died while {place}{_name_status(end)}")


def _name_status(end: End | None) -> str:
    if end is None:
        return ""
    if end.code >= 0:
        return f" (exit status {end.code})"
    try:
        return f" (killed by {signal.Signals(-end.code).name})"
    except ValueError:
        return f" (killed by signal {-end.code})"


# What measuring imports, torch's own shape functions included, which it imports when the first operator asks for them.
IMPORTED_ANYWAY = ("archaudit.load.python_source", "archaudit.measure.recipe", "torch._dynamo", "torch._refs", "torch.utils._device")

Fork = Callable[[str, int | None], ProcessWorker]


@contextmanager
def start_workers(
    sides: Sequence[str],
    options: WorkerOptions,
    notify: Callable[[str], None] = lambda stage: None,
    pythons: Sequence[str | None] = (),
    fork: Fork | None = None,
) -> Iterator[list[Worker]]:
    """A worker for each of `sides` (their names are for messages), under the interpreters `pythons` where those are given, or from a pool
    that is open (`fork`). When the block ends, every process that was started is gone."""
    if not can_isolate(options):
        yield [LocalWorker(notify) for _ in sides]
        return
    interpreters = [pythons[number] if number < len(pythons) else None for number in range(len(sides))]
    threads = max(1, (os.cpu_count() or 1) // len(sides)) if len(sides) > 1 else None
    if fork is not None:
        workers = [fork(side, threads) for side in sides]
        try:
            yield list(workers)
        finally:
            for worker in workers:
                worker.close()
        return
    with ExitStack() as stack:
        forks = {python: stack.enter_context(start_pool(options, notify, python)) for python in dict.fromkeys(interpreters)}
        yield [forks[python](side, threads) for side, python in zip(sides, interpreters, strict=True)]


@contextmanager
def start_pool(options: WorkerOptions, notify: Callable[[str], None] = lambda stage: None, python: str | None = None) -> Iterator[Fork]:
    """A function from a side and a number of threads to a worker, to be called as often as wanted: torch is imported only once."""
    from archaudit.worker.pool import Pool  # where only saved profiles are compared, nothing of it is wanted

    with Pool(options.preload, options.memory_bytes, python) as pool, ExitStack() as stack:

        def fork(side: str, threads: int | None) -> ProcessWorker:
            worker = ProcessWorker(side, pool, options, notify, threads)
            stack.callback(worker.close)
            return worker

        yield fork


@contextmanager
def share_pool(options: WorkerOptions, notify: Callable[[str], None] = lambda stage: None) -> Iterator[Fork | None]:
    """The same for many measurements one after the other: a pool that is started when the first worker is wanted, if one ever is. What
    measuring imports is imported once, too. None where workers are no processes."""
    if not can_isolate(options):
        yield None
        return
    preload = tuple(dict.fromkeys((*options.preload, *IMPORTED_ANYWAY)))
    with ExitStack() as stack:
        started: list[Fork] = []
        lock = threading.Lock()

        def fork(side: str, threads: int | None) -> ProcessWorker:
            with lock:
                if not started:
                    pool = start_pool(msgspec.structs.replace(options, preload=preload), notify, options.choose_python(0))
                    started.append(stack.enter_context(pool))
            return started[0](side, threads)

        yield fork


def can_isolate(options: WorkerOptions) -> bool:
    """Whether workers are processes: asked for, and possible. Without fork there is no way to share one import of torch."""
    return options.isolated and hasattr(os, "fork")
