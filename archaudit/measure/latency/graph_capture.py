"""Forms of the forward pass other than eager: the replay of a CUDA graph, and the compiled model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn

from archaudit.errors import read_message

# The warm-up that torch requires before a capture: it fills the side stream's allocator and the workspaces of the libraries.
_PASSES_BEFORE_CAPTURE = 3
# Names of the same function in different versions of torch.
_END_ALLOCATION_NAMES = ("_cuda_endAllocateToPool", "_cuda_endAllocateCurrentStreamToPool")


def capture_graph(run: Callable[[], Any]) -> tuple[Callable[[], None] | None, str]:
    """A function that replays the CUDA graph of one pass, or None and the reason.

    A model that waits for the device (`.item()`, a copy to the CPU) cannot be captured. A pass before the capture, in which waiting is an
    error, finds that out, because a failed capture leaves state in torch that has to be removed. Source: torch's notes on CUDA graphs
    (warm up on a side stream, then capture).
    """
    try:
        with torch.cuda.stream(_make_side_stream()):
            for _ in range(_PASSES_BEFORE_CAPTURE):
                run()
            with _forbid_synchronization():
                run()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with _restore_on_failure() as pool, torch.cuda.graph(graph, pool=pool):
            run()
    except Exception as error:  # noqa: BLE001 - the model may turn the error into any other
        # if the capture itself fails, the reason is the error inside it
        return None, f"no CUDA graph could be captured: {first_line(error.__context__ or error)}"
    return graph.replay, ""


def _make_side_stream() -> Any:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    return side


@contextmanager
def _forbid_synchronization() -> Iterator[None]:
    """While open, an operation that waits for the device raises RuntimeError."""
    before = torch.cuda.get_sync_debug_mode()
    _set_debug_mode("error")
    try:
        yield
    finally:
        _set_debug_mode(before)


def _set_debug_mode(mode: int | str) -> None:
    with warnings.catch_warnings():  # torch warns that it does not detect every operation
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode(mode)


@contextmanager
def _restore_on_failure() -> Iterator[Any]:
    """Yields a memory pool for a capture, and restores the state of torch if the capture fails.

    Otherwise torch stays on the capture's stream, checks for every block of memory whether it belongs to the capture, and cannot generate
    random numbers (`Offset increment outside graph capture`). Later versions of torch do a part of this themselves.
    """
    device, pool = torch.cuda.current_device(), torch.cuda.graph_pool_handle()
    generator = torch.cuda.default_generators[device]
    state = generator.graphsafe_get_state()
    try:
        with torch.cuda.stream(torch.cuda.current_stream()):  # returns to the current stream
            # the graph gets its own state, because a failed capture makes it unusable
            generator.graphsafe_set_state(generator.clone_state())
            yield pool
    except BaseException:
        _release_pool(device, pool)
        for _ in range(2):  # the first launch may raise the error of the capture
            with suppress(RuntimeError):
                torch.zeros(1, device="cuda")
                torch.cuda.synchronize()
        raise
    finally:
        generator.graphsafe_set_state(state)


def _release_pool(device: int, pool: Any) -> None:
    """Ends allocation from the pool and releases its memory. The names of the functions differ between versions of torch."""
    internal: Any = torch._C
    name = next((name for name in _END_ALLOCATION_NAMES if hasattr(internal, name)), "")
    with suppress(AttributeError, TypeError, RuntimeError):  # torch raises if it has ended it already
        getattr(internal, name)(device, pool)
        internal._cuda_releasePool(device, pool)


def compile_model(model: nn.Module, warm: Callable[[nn.Module], Any]) -> tuple[nn.Module | None, str]:
    """The compiled model, after `warm` has run it, or None and the reason."""
    try:
        compiled: Any = torch.compile(model)
        warm(compiled)
    except Exception as error:  # noqa: BLE001 - the compiler may raise anything; the message is reported
        return None, f"the model could not be compiled: {type(error).__name__}: {first_line(error)}"
    return compiled, ""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, shortened; its type if there is no message."""
    lines = read_message(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
