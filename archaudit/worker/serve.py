"""The worker's end: reads requests from a socket and answers them, until told to quit or the parent is gone."""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
from contextlib import suppress

from archaudit.worker.messages import Failed, Quit, receive_request, send
from archaudit.worker.session import Session


def serve(channel: socket.socket, threads: int | None) -> None:
    """Answers requests on `channel`. What the user's code prints goes to standard error, so that standard output stays the report's."""
    sys.stdout.flush()
    os.dup2(2, 1)
    if threads is not None:
        from archaudit.measure.environment import limit_threads

        limit_threads(threads)
    session = Session(notify=lambda progress: send(channel, progress))
    while True:
        request = receive_request(channel)
        if request is None or isinstance(request, Quit):
            return
        try:
            reply = session.handle(request)
        except MemoryError:
            reply = Failed("WorkerError", "the model needs more memory than there is")
        send(channel, reply)


def main(arguments: list[str]) -> None:
    """`python -m archaudit.worker '{"channels": [fd, ...], "status": fd, "preload": [...], "threads": n}'`.

    Imports what is to be preloaded, forks a worker for each channel, and reports how each ended on the status descriptor.
    Nothing is torn down: a worker has nothing worth it, and unloading torch takes most of a second.
    """
    order = json.loads(arguments[0])
    for name in order["preload"]:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001, S112 - the model that needs it will meet the same error, and tell it with its reference
            continue
    channels = [socket.socket(fileno=descriptor) for descriptor in order["channels"]]
    if len(channels) == 1:
        _serve_and_exit(channels[0], order["threads"])
    children: dict[int, int] = {}
    for number, channel in enumerate(channels):
        child = os.fork()
        if child == 0:
            for other in channels:
                if other is not channel:
                    other.close()
            _serve_and_exit(channel, order["threads"])
        children[child] = number
    for channel in channels:
        channel.close()
    while children:
        child, status = os.wait()
        number = children.pop(child)
        with suppress(BrokenPipeError):  # the parent is gone: nobody is left to tell
            os.write(order["status"], f"{number} {os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _serve_and_exit(channel: socket.socket, threads: int | None) -> None:
    code = 1
    try:
        serve(channel, threads)
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        code = 0  # the parent is gone: nobody is left to tell
    except BaseException:  # noqa: BLE001 - a defect of ours: shown whole, and the parent sees the exit status
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
