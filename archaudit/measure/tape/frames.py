"""Knowing which module is running: a frame for each call of a module, however it was called.

`nn.Module.__call__` is replaced for the time of the run, so that forward hooks (which old-style `weight_norm` computes its weight in)
count as part of their module; `forward` is replaced on each instance too, for children whose `.forward()` is called directly.
Both are put back in `finally`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from torch import nn

from archaudit.measure.structure.tree import ModuleTree

_ABSENT = object()
_announced: list[Callable[[str], None]] = []


def announce_calls(announce: Callable[[str], None]) -> None:
    """From now on `announce` is told the path and class of the module that is running, whatever follows its calls."""
    _announced[:] = [announce]


class CallObserver(Protocol):
    """What is told of each call: `enter_call` before the module runs, then either `leave_call` or `fail_call`."""

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The module at `position` is about to run on these arguments."""

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """It returned `result`; what this returns is what the caller gets."""

    def fail_call(self, position: int, error: BaseException) -> None:
        """It raised `error`."""


class _Follower:
    """The stack of modules that are running, on the one thread that is followed."""

    def __init__(self, tree: ModuleTree, observer: CallObserver) -> None:
        self.tree = tree
        self.observer = observer
        self.stack: list[int] = []
        self.in_forward: list[bool] = []
        self.thread = threading.get_ident()
        self.elsewhere: set[int] = set()

    def run(self, position: int, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, in_forward: bool) -> Any:
        self.observer.enter_call(position, args, kwargs)
        self.stack.append(position)
        self.in_forward.append(in_forward)
        self._announce()
        try:
            result = target(*args, **kwargs)
        except BaseException as error:
            self.observer.fail_call(position, error)
            raise
        finally:
            self.stack.pop()
            self.in_forward.pop()
        self._announce()
        return self.observer.leave_call(position, args, kwargs, result)

    def _announce(self) -> None:
        if _announced and self.stack:
            position = self.stack[-1]
            _announced[0](f"{self.tree.paths[position] or 'forward'} ({type(self.tree.modules[position]).__name__})")

    def wrap_forward(self, position: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(forward)
        def followed_forward(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self.thread:
                self.elsewhere.add(position)
                return forward(*args, **kwargs)
            if self.stack and self.stack[-1] == position and not self.in_forward[-1]:
                self.in_forward[-1] = True  # reached through __call__, which opened the frame
                return forward(*args, **kwargs)
            return self.run(position, forward, args, kwargs, in_forward=True)

        return followed_forward


@contextmanager
def follow_calls(tree: ModuleTree, observer: CallObserver) -> Iterator[set[int]]:
    """While open, `observer` is told of every call of a module of `tree` on this thread; gives the set of those called on others."""
    follower = _Follower(tree, observer)
    original_call = nn.Module.__call__

    def followed_call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        position = tree.positions.get(id(module))
        if position is None:
            return original_call(module, *args, **kwargs)
        if threading.get_ident() != follower.thread:
            follower.elsewhere.add(position)
            return original_call(module, *args, **kwargs)
        return follower.run(position, _call_target(module, original_call), args, kwargs, in_forward=False)

    replaced: list[tuple[nn.Module, object]] = []
    try:
        for position, module in enumerate(tree.modules):
            if not _is_script(module):
                replaced.append((module, module.__dict__.get("forward", _ABSENT)))
                module.__dict__["forward"] = follower.wrap_forward(position, module.forward)
        nn.Module.__call__ = followed_call  # type: ignore[method-assign]
        yield follower.elsewhere
    finally:
        nn.Module.__call__ = original_call  # type: ignore[method-assign]
        for module, previous in replaced:
            if previous is _ABSENT:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = previous


def _call_target(module: nn.Module, original_call: Callable[..., Any]) -> Callable[..., Any]:
    """What runs for a call of `module`: a compiled module is unwrapped, since its generated code hides the modules inside."""
    original = module._modules.get("_orig_mod") if type(module).__name__ == "OptimizedModule" else None
    if original is not None:
        return original
    return functools.partial(original_call, module)


def _is_script(module: nn.Module) -> bool:
    """Whether the module runs in TorchScript's interpreter, where its parts cannot be followed (nor attributes set)."""
    return type(module).__module__.startswith("torch.jit") or type(module).__name__ in ("RecursiveScriptModule", "TopLevelTracedModule")
