"""The worker's end: reads requests from a socket and answers them, until told to quit or the parent is gone."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable

from archaudit.worker.conduct import tell_forks
from archaudit.worker.messages import Failed, receive_request, send
from archaudit.worker.session import Session


def serve(channel: socket.socket, threads: int | None, announce: Callable[[str], None]) -> None:
    """Answers requests on `channel`; `announce` is told which module is running."""
    if threads is not None:
        from archaudit.measure.environment import limit_threads

        limit_threads(threads)
    session = Session(notify=lambda progress: send(channel, progress), announce=announce)
    while True:
        request = receive_request(channel)
        if request is None:
            return
        try:
            reply = session.handle(request)
        except MemoryError:
            reply = Failed("WorkerError", "the model needs more memory than there is")
        send(channel, reply)


def serve_and_exit(channel: socket.socket, threads: int | None, announce: Callable[[str], None]) -> None:
    """Serves, and ends the process. One that the model forks is no worker: what it would answer goes nowhere."""
    worker = os.getpid()
    os.register_at_fork(after_in_child=channel.close)
    tell_forks()
    code = 1
    try:
        serve(channel, threads, announce)
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        code = 0  # the parent is gone: nobody is left to tell
    except BaseException:  # noqa: BLE001 - a defect of ours: shown whole, and the parent sees the exit status
        if os.getpid() == worker:
            import traceback

            traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
