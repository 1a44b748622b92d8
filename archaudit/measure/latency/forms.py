"""Forms of the whole forward pass besides the eager one: a CUDA graph of it, replayed, and the compiled model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

# What torch asks for before a capture: the side stream's allocator and the libraries' workspaces have to settle.
_PASSES_BEFORE_CAPTURE = 3


def capture_graph(run: Callable[[], Any]) -> tuple[Callable[[], None] | None, str]:
    """A function that replays the CUDA graph of one pass, or None and why there is no graph.

    Source: torch's notes on CUDA graphs (warm up on a side stream, then capture).
    """
    try:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_PASSES_BEFORE_CAPTURE):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
    except RuntimeError as error:  # a model that waits for the device, or allocates on the CPU, cannot be captured
        torch.cuda.synchronize()
        return None, f"no CUDA graph could be captured: {first_line(error)}"
    return graph.replay, ""


def compile_model(model: nn.Module, run: Callable[[nn.Module], Any]) -> tuple[nn.Module | None, str]:
    """The compiled model after its first pass, or None and why it could not be compiled."""
    try:
        compiled: Any = torch.compile(model)
        run(compiled)
    except Exception as error:  # noqa: BLE001 - any part of the compiler may refuse a model; that is an answer, and the message is told
        return None, f"the model could not be compiled: {type(error).__name__}: {first_line(error)}"
    return compiled, ""


def first_line(error: BaseException) -> str:
    """What an error says, in one line that is not too long."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
