"""The parent's side: starts workers, sends requests, and reports a worker that dies, hangs or takes too much memory."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

import msgspec

from archaudit.errors import WorkerError, WorkerKilledError
from archaudit.schema import Record
from archaudit.worker.messages import Failed, Progress, Reply, Request, receive_reply, send

if TYPE_CHECKING:
    from archaudit.worker.pool import Pool, WorkerExit

# Longer than measuring any model without values takes, and longer than a run of a small model with values.
DEFAULT_TIMEOUT_S = 900.0
# A longer time is as good as no limit. Sockets reject it above about 300 years.
_LONGEST_TIMEOUT_S = 10 * 365 * 86_400.0


class WorkerOptions(Record, frozen=True, kw_only=True):
    """How workers run.

    With `isolated` each has a process. `timeout_s` is the limit of a request, `memory_bytes` the limit of a worker (None: most of the free
    memory, for all of them together). `preload` are the modules to import before forking. `pythons` are the interpreters: none for this
    one, one for all sides, or one for each side.
    """

    isolated: bool = True
    timeout_s: float = DEFAULT_TIMEOUT_S
    memory_bytes: int | None = None
    preload: tuple[str, ...] = ("torch",)
    pythons: tuple[str, ...] = ()

    def choose_python(self, position: int) -> str | None:
        """The interpreter for the side at a position; None is this one."""
        if len(self.pythons) <= 1:
            return self.pythons[0] if self.pythons else None
        return self.pythons[position] if position < len(self.pythons) else None


class Worker(Protocol):
    """Something that answers requests: a process, or this process itself."""

    def send(self, request: Request) -> None:
        """Sends a request without waiting."""

    def receive(self) -> Reply:
        """Waits for the reply to the last request. Raises the worker's ArchauditError, or WorkerError if the worker is gone."""


class LocalWorker:
    """Answers in this process. For live models, and for debugging with `--no-isolation`."""

    def __init__(self, notify: Callable[[str], None]) -> None:
        from archaudit.worker.session import Session

        self._session = Session(notify=lambda progress: notify(progress.stage))
        self._request: Request | None = None

    def send(self, request: Request) -> None:
        """Keeps the request until `receive`."""
        self._request = request

    def receive(self) -> Reply:
        """Handles the request."""
        assert self._request is not None
        reply = self._session.handle(self._request)
        if isinstance(reply, Failed):
            raise reply.to_error()
        return reply


class ProcessWorker:
    """Talks to a worker process over a socket."""

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
        """Sends the request. If the worker is gone already, `receive` reports it."""
        with suppress(BrokenPipeError, ConnectionResetError):
            send(self._channel, request)

    def receive(self) -> Reply:
        """Waits for the reply, and passes progress on."""
        deadline = time.monotonic() + self._options.timeout_s
        while True:
            remaining = deadline - time.monotonic()
            self._channel.settimeout(None if remaining > _LONGEST_TIMEOUT_S else max(0.01, remaining))
            try:
                reply = receive_reply(self._channel)
            except TimeoutError:
                raise WorkerError(
                    f"{self.side}: no answer within {self._options.timeout_s:g} s while {self._describe_stage()}",
                    "Allow more time with --timeout SECONDS.",
                ) from None
            except ConnectionResetError:
                reply = None
            if reply is None:
                raise self._explain_exit(self._pool.wait_for_exit(self._number))
            if isinstance(reply, Failed):
                raise reply.to_error()
            if not isinstance(reply, Progress):
                return reply
            self._stage = reply.stage
            self._notify(reply.stage)

    def close(self) -> None:
        """Closes the socket, which ends the worker."""
        self._channel.close()

    def _describe_stage(self) -> str:
        module = self._pool.status_file.read(self._number)
        return f"{self._stage}, in {module}" if module else self._stage

    def _explain_exit(self, ended: WorkerExit | None) -> WorkerError:
        stage = self._describe_stage()
        if ended is not None and ended.exceeded == "memory":
            size = f"{ended.bytes / 2**30:.1f} GiB"
            return WorkerError(f"{self.side}: the worker took {size} of memory while {stage}", "Raise the limit with --memory SIZE.")
        if ended is not None and ended.exceeded == "output":
            size = f"{ended.bytes // 2**20} MiB"
            return WorkerError(f"{self.side}: the model printed more than {size} while {stage}", "Print less in the model.")
        # the kernel sends SIGKILL when memory is short
        kind = WorkerKilledError if ended is not None and ended.code < 0 and ended.code != -signal.SIGKILL else WorkerError
        return kind(f"{self.side}: the worker process died while {stage}{_describe_exit(ended)}")


def _describe_exit(ended: WorkerExit | None) -> str:
    if ended is None:
        return ""
    if ended.code >= 0:
        return f" (exit status {ended.code})"
    try:
        return f" (killed by {signal.Signals(-ended.code).name})"
    except ValueError:
        return f" (killed by signal {-ended.code})"


# What measuring imports, with torch's shape functions, which torch imports when the first operator needs them.
MEASURING_IMPORTS = ("archaudit.load.python_source", "archaudit.measure.recipe", "torch._dynamo", "torch._refs", "torch.utils._device")

Fork = Callable[[str, int | None], ProcessWorker]


@contextmanager
def start_workers(
    sides: Sequence[str],
    options: WorkerOptions,
    notify: Callable[[str], None] = lambda stage: None,
    pythons: Sequence[str | None] = (),
    fork: Fork | None = None,
) -> Iterator[list[Worker]]:
    """A worker for each of `sides` (their names are for messages), with the interpreters `pythons` if given, or forked from an open pool by
    `fork`. When the block ends, every process that was started is gone."""
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
    """A function that forks a worker for a side and a number of threads. All workers share one import of torch."""
    from archaudit.worker.pool import Pool  # not needed where saved profiles are compared

    with Pool(options.preload, options.memory_bytes, python) as pool, ExitStack() as stack:

        def fork(side: str, threads: int | None) -> ProcessWorker:
            worker = ProcessWorker(side, pool, options, notify, threads)
            stack.callback(worker.close)
            return worker

        yield fork


@contextmanager
def share_pool(options: WorkerOptions, notify: Callable[[str], None] = lambda stage: None) -> Iterator[Fork | None]:
    """A pool for many measurements, started with the first worker. What measuring imports is imported once, as well. None where workers
    are not processes."""
    if not can_isolate(options):
        yield None
        return
    preload = tuple(dict.fromkeys((*options.preload, *MEASURING_IMPORTS)))
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
    """Whether workers are processes: `isolated`, and a platform with fork, which is needed to share one import of torch."""
    return options.isolated and hasattr(os, "fork")
