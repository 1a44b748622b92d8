"""Forms of the whole forward pass besides the eager one: a CUDA graph of it, replayed, and the compiled model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn

# What torch asks for before a capture: the side stream's allocator and the libraries' workspaces have to settle.
_PASSES_BEFORE_CAPTURE = 3
_LEAVING = ("_cuda_endAllocateToPool", "_cuda_endAllocateCurrentStreamToPool")


def capture_graph(run: Callable[[], Any]) -> tuple[Callable[[], None] | None, str]:
    """A function that replays the CUDA graph of one pass, or None and why there is no graph.

    A model that waits for the device (`.item()`, a copy to the CPU) cannot be captured. That is found out before, in a pass in which
    waiting is an error, since a capture that fails leaves traces in torch that have to be removed. Source: torch's notes on
    CUDA graphs (warm up on a side stream, then capture).
    """
    try:
        with torch.cuda.stream(_make_side_stream()):
            for _ in range(_PASSES_BEFORE_CAPTURE):
                run()
            with _waiting_forbidden():
                run()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with _undone_on_failure() as pool, torch.cuda.graph(graph, pool=pool):
            run()
    except Exception as error:  # noqa: BLE001 - a model may answer a refused operation with any error; it is told, and timed without a graph
        # where the capture as such fails, the reason is what failed inside of it
        return None, f"no CUDA graph could be captured: {first_line(error.__context__ or error)}"
    return graph.replay, ""


def _make_side_stream() -> Any:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    return side


@contextmanager
def _waiting_forbidden() -> Iterator[None]:
    """While open, an operation that waits for the device raises RuntimeError."""
    before = torch.cuda.get_sync_debug_mode()
    _set_debug_mode("error")
    try:
        yield
    finally:
        _set_debug_mode(before)


def _set_debug_mode(mode: int | str) -> None:
    with warnings.catch_warnings():  # torch warns that it may miss some operations
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode(mode)


@contextmanager
def _undone_on_failure() -> Iterator[Any]:
    """A pool of memory for a capture. When that fails, the process is as it was before.

    Without it torch stays on the stream of the capture, asks of every block of memory whether it belongs to the capture, and refuses to
    make random numbers (`Offset increment outside graph capture`). Later versions of torch do some of this themselves.
    """
    device, pool = torch.cuda.current_device(), torch.cuda.graph_pool_handle()
    generator = torch.cuda.default_generators[device]
    state = generator.graphsafe_get_state()
    try:
        with torch.cuda.stream(torch.cuda.current_stream()):  # goes back to it
            # the graph gets a state of its own, which is what a failed capture leaves unusable
            generator.graphsafe_set_state(generator.clone_state())
            yield pool
    except BaseException:
        _leave_pool(device, pool)
        for _ in range(2):  # the first launch may report what went wrong in the capture
            with suppress(RuntimeError):
                torch.zeros(1, device="cuda")
                torch.cuda.synchronize()
        raise
    finally:
        generator.graphsafe_set_state(state)


def _leave_pool(device: int, pool: Any) -> None:
    """No more memory comes from the pool, and what came is given back. The functions' names change from one torch to the next."""
    internal: Any = torch._C
    name = next((name for name in _LEAVING if hasattr(internal, name)), "")
    with suppress(AttributeError, TypeError, RuntimeError):  # where torch has left it already, it says so
        getattr(internal, name)(device, pool)
        internal._cuda_releasePool(device, pool)


def compile_model(model: nn.Module, warm: Callable[[nn.Module], Any]) -> tuple[nn.Module | None, str]:
    """The compiled model after `warm` has run it, or None and why it could not be compiled."""
    try:
        compiled: Any = torch.compile(model)
        warm(compiled)
    except Exception as error:  # noqa: BLE001 - any part of the compiler may refuse a model; that is an answer, and the message is told
        return None, f"the model could not be compiled: {type(error).__name__}: {first_line(error)}"
    return compiled, ""


def first_line(error: BaseException) -> str:
    """What an error says, in one line that is not too long."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
