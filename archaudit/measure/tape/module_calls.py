"""Observes the calls of modules: which module is running, however it was called.

While the observation is open, `nn.Module.__call__` is replaced, so that forward hooks count as part of their module (old-style
`weight_norm` computes its weight in one). `forward` of each instance is replaced too, for children whose `.forward()` is called directly.
Both are restored afterwards.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from torch import nn

from archaudit.measure.module_tree import ModuleTree, is_script
from archaudit.measure.tape.exported_calls import observe_graph

_ABSENT = object()
_reporters: list[Callable[[str], None]] = []


def report_running_module(report: Callable[[str], None]) -> None:
    """Calls `report` from now on with the path and class of the running module, in every observation of calls."""
    _reporters[:] = [report]


class CallObserver(Protocol):
    """Receives each call: `enter_call` before the module runs, then either `leave_call` or `fail_call`."""

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The module at `position` is about to run on these arguments."""

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """The module returned `result`; the caller gets what this method returns."""

    def fail_call(self, position: int, error: BaseException) -> None:
        """The module raised `error`."""


class _CallStack:
    """The modules that are running on the observed thread, outermost first."""

    def __init__(self, tree: ModuleTree, observer: CallObserver) -> None:
        self.tree = tree
        self.observer = observer
        self.stack: list[int] = []
        self.in_forward: list[bool] = []
        self.thread = threading.get_ident()
        self.on_other_threads: set[int] = set()

    def run(self, position: int, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, in_forward: bool) -> Any:
        self.observer.enter_call(position, args, kwargs)
        self.stack.append(position)
        self.in_forward.append(in_forward)
        self._report()
        try:
            result = target(*args, **kwargs)
        except BaseException as error:
            self.observer.fail_call(position, error)
            raise
        finally:
            self.stack.pop()
            self.in_forward.pop()
        self._report()
        return self.observer.leave_call(position, args, kwargs, result)

    def _report(self) -> None:
        if _reporters and self.stack:
            position = self.stack[-1]
            _reporters[0](f"{self.tree.paths[position] or 'forward'} ({type(self.tree.modules[position]).__name__})")

    def wrap_forward(self, position: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(forward)
        def observed_forward(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self.thread:
                self.on_other_threads.add(position)
                return forward(*args, **kwargs)
            if self.stack and self.stack[-1] == position and not self.in_forward[-1]:
                self.in_forward[-1] = True  # called by __call__, which has pushed the module already
                return forward(*args, **kwargs)
            return self.run(position, forward, args, kwargs, in_forward=True)

        return observed_forward


@contextmanager
def observe_calls(tree: ModuleTree, observer: CallObserver) -> Iterator[set[int]]:
    """While open, `observer` receives every call of a module of `tree` on this thread. Yields the modules called on other threads."""
    calls = _CallStack(tree, observer)
    original_call = nn.Module.__call__

    def observed_call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        position = tree.positions.get(id(module))
        if position is None:
            return original_call(module, *args, **kwargs)
        if threading.get_ident() != calls.thread:
            calls.on_other_threads.add(position)
            return original_call(module, *args, **kwargs)
        return calls.run(position, _find_target(module, original_call), args, kwargs, in_forward=False)

    replaced: list[tuple[nn.Module, object]] = []
    try:
        for position, module in enumerate(tree.modules):
            if not is_script(module):
                replaced.append((module, module.__dict__.get("forward", _ABSENT)))
                forward = observe_graph(module, tree, observer) or module.forward
                module.__dict__["forward"] = calls.wrap_forward(position, forward)
        nn.Module.__call__ = observed_call  # type: ignore[method-assign]
        yield calls.on_other_threads
    finally:
        nn.Module.__call__ = original_call  # type: ignore[method-assign]
        for module, previous in replaced:
            if previous is _ABSENT:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = previous


def _find_target(module: nn.Module, original_call: Callable[..., Any]) -> Callable[..., Any]:
    """The function that runs `module`. A compiled module is unwrapped, because its generated code hides the modules inside."""
    original = module._modules.get("_orig_mod") if type(module).__name__ == "OptimizedModule" else None
    if original is not None:
        return original
    return functools.partial(original_call, module)
