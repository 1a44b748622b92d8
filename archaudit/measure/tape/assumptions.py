"""What had to be assumed where a model asks a tensor without values for a value."""

from __future__ import annotations

import sys
from pathlib import Path

import torch


def answer_boolean(tensor: torch.Tensor, answer: bool, assumptions: list[str]) -> bool | None:
    """The answer for a boolean read from a meta tensor, logged with its place; None for a tensor that has values or is no boolean."""
    if tensor.device.type != "meta" or tensor.dtype != torch.bool:
        return None
    text = f"a boolean read from a tensor at {find_caller()} depends on values; it was answered both ways"
    if text not in assumptions:
        assumptions.append(text)
    return answer


def find_caller() -> str:
    """`file.py:12` of the innermost running line that is neither torch's nor ours."""
    frame = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.split(".")[0] not in ("torch", "archaudit", "contextlib", "functools") or module.startswith("archaudit.examples"):
            return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "an unknown place"
