"""Running models that are nested deeper than the interpreter's default limits allow."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Up to here the default recursion limit (1,000) holds: each level of modules takes about six Python frames while it is followed.
_SHALLOW = 60
_FRAMES_PER_LEVEL = 12
# Python frames of C-calling code take up to about 100 KiB of stack a level; address space is reserved, memory only touched when used.
_STACK_BYTES = 1 << 29


def run_deep(function: Callable[[], T], depth: int) -> T:
    """Calls `function` with room for `depth` nested modules: on a thread with a large stack and a raised recursion limit when needed.

    Whatever it raises is raised here. The recursion limit and the stack size for new threads are put back.
    """
    if depth <= _SHALLOW:
        return function()
    result: list[T] = []
    failure: list[BaseException] = []

    def call() -> None:
        try:
            result.append(function())
        except BaseException as error:  # noqa: BLE001 - handed to the calling thread and raised there
            failure.append(error)

    limit, stack_bytes = sys.getrecursionlimit(), threading.stack_size(_STACK_BYTES)
    sys.setrecursionlimit(max(limit, 1000 + _FRAMES_PER_LEVEL * depth))
    try:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(stack_bytes)
        sys.setrecursionlimit(limit)
    if failure:
        raise failure[0]
    return result[0]
