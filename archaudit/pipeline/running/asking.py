"""Asking a worker, and insisting on the kind of answer."""

from __future__ import annotations

from typing import TypeVar

from archaudit.errors import WorkerError
from archaudit.worker import Request, Worker

T = TypeVar("T")


def expect(worker: Worker, kind: type[T]) -> T:
    """The reply, which is to be of this kind. Raises what the worker met."""
    reply = worker.receive()
    if not isinstance(reply, kind):
        raise WorkerError(f"the worker answered {type(reply).__name__} where {kind.__name__} was due")
    return reply


def ask(worker: Worker, request: Request, kind: type[T]) -> T:
    """Hands a request over and waits for the reply, which is to be of this kind. Raises what the worker met."""
    worker.send(request)
    return expect(worker, kind)
