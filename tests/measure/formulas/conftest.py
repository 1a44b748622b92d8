"""A dispatch mode that counts every operator, so that formulas receive the arguments that torch passes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from archaudit.measure.formulas import Work, count_operator


@dataclass
class Seen:
    """The operators that a function ran, by name, with the cost of each."""

    works: list[tuple[str, Work]] = field(default_factory=list)

    @property
    def macs(self) -> int:
        assert not self.unknown, self.unknown
        return sum(work.macs for _, work in self.works)

    @property
    def unknown(self) -> dict[str, str | None]:
        return {name: work.note for name, work in self.works if work.status == "unknown"}

    @property
    def counted(self) -> list[str]:
        return [name for name, work in self.works if work.status == "counted"]

    def of(self, name: str) -> Work:
        (work,) = [work for seen, work in self.works if seen == name]
        return work


class CountingMode(TorchDispatchMode):
    supports_higher_order_operators = True

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name if hasattr(func, "_schema") else f"higher_order::{func.name()}"
        self.seen.works.append((name, count_operator(func, args, kwargs or {}, out)))
        return out


def count(function: Callable[[], object], device: str = "meta", inference: bool = False) -> Seen:
    """Runs `function` on `device` without gradients and counts the operators that it ran."""
    seen = Seen()
    # no device context on the CPU: torch takes no fused path under one
    place = contextlib.nullcontext() if device == "cpu" else torch.device(device)
    with place, torch.inference_mode() if inference else torch.no_grad(), CountingMode(seen):
        function()
    return seen


@pytest.fixture(name="count")
def count_fixture() -> Callable[..., Seen]:
    return count
