"""Which module and phase an operator of a training step belongs to.

Forward: the innermost running module. Backward: the module whose forward made the autograd node that runs. autograd numbers its nodes in
the order in which a thread makes them, so it is enough to record that number at each call and return of a module. A node that adds to a
parameter's gradient belongs to the module that owns the parameter.

An operator of the backward pass is recomputation if a checkpoint runs its part again, a module runs in it, or gradients are enabled in it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.utils import checkpoint as checkpoints

from archaudit.measure.module_tree import ModuleTree
from archaudit.schema import TrainingPhase


class StepPosition:
    """Where a training step is: its phase, the running modules, and the module of each autograd node. An observer of module calls.

    `amp` is the context of autocast that a recomputation enters if its first run was in it.
    """

    def __init__(self, tree: ModuleTree, device: str = "cpu") -> None:
        self.amp: Callable[[], AbstractContextManager[Any]] = nullcontext
        self._device = device
        self.phase: TrainingPhase = "forward"
        self._open: list[int] = []
        self._recomputed: list[int] = []  # the modules whose parts checkpoints run again now
        self._numbers = [0]
        self._modules = [0]
        self._owners = {
            id(parameter): position
            for position in reversed(range(len(tree)))  # a tied parameter belongs to its first owner
            for parameter in tree.modules[position]._parameters.values()
            if parameter is not None
        }

    # --- calls of modules

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The module at `position` starts."""
        self._open.append(position)
        self._mark(position)

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """The module at `position` returns."""
        self._open.pop()
        self._mark(self._find_running())
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """The module at `position` raised: a checkpoint stops its recomputation in that way."""
        self._open.pop()
        self._mark(self._find_running())

    def _mark(self, position: int) -> None:
        number = torch._C._autograd._get_sequence_nr()
        if self._numbers[-1] == number:
            self._modules[-1] = position
        else:
            self._numbers.append(number)
            self._modules.append(position)

    def _find_running(self) -> int:
        return self._open[-1] if self._open else self._recomputed[-1] if self._recomputed else 0

    # --- operators

    def locate(self) -> tuple[TrainingPhase, int]:
        """The phase and module of the operator that runs now."""
        if self.phase != "backward":
            return self.phase, self._find_running()
        if self._open or self._recomputed:
            return "recompute", self._find_running()
        node = torch._C._current_autograd_node()
        position = self._find_module(node) if node is not None else 0
        return ("recompute" if torch.is_grad_enabled() and node is not None else "backward"), position

    def _find_module(self, node: Any) -> int:
        variable = getattr(node, "variable", None)
        if isinstance(variable, torch.Tensor):
            return self._owners.get(id(variable), 0)
        return self._modules[bisect_right(self._numbers, node._sequence_nr()) - 1]

    def wrap_recomputed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The part of a checkpoint: in the backward pass, what it runs outside modules belongs to the module that runs now."""
        owner = self._find_running()
        amp = self.amp if torch.is_autocast_enabled(self._device) else nullcontext

        def run(*args: Any, **kwargs: Any) -> Any:
            if self.phase != "backward":
                return function(*args, **kwargs)
            self._recomputed.append(owner)
            self._mark(owner)
            try:
                with amp():  # torch does not turn autocast on again for a device that this machine does not have
                    return function(*args, **kwargs)
            finally:
                self._recomputed.pop()
                self._mark(self._find_running())

        return run


@contextmanager
def observe_checkpoints(position: StepPosition) -> Iterator[None]:
    """While open, `position` knows when a checkpoint of `torch.utils.checkpoint`, reentrant or not, runs its part again."""
    frames: Any = checkpoints._CheckpointFrame
    functions: Any = checkpoints.CheckpointFunction
    make_frame, run_forward = frames.__init__, functions.forward

    def make_observed_frame(frame: Any, recompute: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        make_frame(frame, position.wrap_recomputed(recompute), *args, **kwargs)

    def run_observed_forward(ctx: Any, function: Callable[..., Any], *args: Any) -> Any:
        return run_forward(ctx, position.wrap_recomputed(function), *args)

    frames.__init__ = make_observed_frame
    functions.forward = staticmethod(run_observed_forward)
    try:
        yield
    finally:
        frames.__init__ = make_frame
        functions.forward = staticmethod(run_forward)
