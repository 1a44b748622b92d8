"""Protects a live model and the program that it belongs to: what a measurement changes there is restored.

The measurement runs a copy of the model. But a copy shares functions with its original (hooks, and what their closures hold), its class,
the globals of its code, and the process. Those are saved before, as far as Python can reach them, and restored afterwards: attributes of
modules and classes, lists, dicts and sets, tensors that an operator writes to, and settings of the process. A model of which a copy is not
independent is refused (`check_copy`).
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.module_tree import walk_tree
from archaudit.measure.other_counters.isolation import restore_model
from archaudit.measure.process_state import DispatchMode, forget_cached_tensors
from archaudit.measure.tape.memory import read_traits
from archaudit.measure.tensors import list_tensors_in, storage_key

_CONTAINERS = (list, dict, set)
_LIBRARIES = ("torch", "torchvision", "transformers", "timm", "diffusers", "numpy", "builtins")
# torch sets `forward` on the instances of these classes itself, and a copy has one of its own.
_COPIED_WHOLE = ("torch.jit.", "torch._dynamo.", "torch.export.")
# Functions that functions name, and so on: a program has no end.
_MOST_FUNCTIONS = 1_000


@contextmanager
def protect_live_model(model: nn.Module) -> Iterator[None]:
    """Restores the model, and the program around it, when the block ends. Raises MeasureError if a module has its own `forward`."""
    check_own_forwards(model)
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(_restored_process())
        packages = {type(module).__module__.partition(".")[0] for module in walk_tree(model).modules} - {"torch", "builtins"}
        stack.callback(forget_cached_tensors, packages)
        stack.enter_context(_restored_objects(model))
        stack.enter_context(restore_model(model))
        stack.enter_context(torch.enable_grad() if torch.is_grad_enabled() else torch.no_grad())
        written = _RestoreWrittenTensors()
        stack.callback(written.restore)
        stack.enter_context(written)
        yield


def check_own_forwards(model: nn.Module) -> None:
    """Raises MeasureError if an instance has its own `forward`. A copy has the same function, which can run the original model."""
    tree = walk_tree(model)
    for module, path in zip(tree.modules, tree.paths, strict=True):
        own = vars(module).get("forward")
        if (
            own is None
            or type(module).__module__.startswith(_COPIED_WHOLE)
            or (isinstance(own, MethodType) and isinstance(own.__func__, FunctionType) and not own.__func__.__closure__)
        ):
            continue
        raise MeasureError(
            f"{path or type(module).__name__} has its own forward, set on the instance: a copy would still run your model",
            "archaudit measures a copy, so that your model stays unchanged. Define forward in the class, or pass a reference instead.",
        )


# --- what Python can reach from the functions that a forward pass runs


@contextmanager
def _restored_objects(model: nn.Module) -> Iterator[None]:
    """Restores the classes of the modules, and the globals, closures and containers of their functions and hooks."""
    modules = walk_tree(model).modules
    classes = [(kind, dict(vars(kind))) for kind in dict.fromkeys(type(module) for module in modules) if not _is_from_library(kind)]
    functions = list(_list_functions(_list_entries(modules)))
    cells = [(cell, cell.cell_contents) for function in functions for cell in function.__closure__ or () if _is_filled(cell)]
    names = [
        (function.__globals__, name, function.__globals__[name])
        for function in functions
        for name in _list_names(function.__code__)
        if name in function.__globals__
    ]
    values = [*(value for _, value in cells), *(value for *_, value in names), *(each for _, own in classes for each in own.values())]
    containers = {id(value): (value, value.copy()) for value in values if type(value) in _CONTAINERS}
    try:
        yield
    finally:
        for kind, attributes in classes:
            _restore_class(kind, attributes)
        for cell, content in cells:
            cell.cell_contents = content
        for namespace, name, content in names:
            namespace[name] = content
        for container, contents in containers.values():
            if container != contents:
                container.clear()
                (container.extend if isinstance(container, list) else container.update)(contents)


def _list_entries(modules: Iterable[nn.Module]) -> Iterator[Any]:
    for module in modules:
        if not _is_from_library(type(module)):
            yield type(module).forward
        for name, value in vars(module).items():
            if name.endswith("_hooks") and isinstance(value, dict):
                yield from value.values()


def _list_functions(entries: Iterable[Any]) -> Iterator[FunctionType]:
    """The Python functions behind the entries, and those that they name."""
    seen: set[int] = set()
    waiting = list(entries)
    while waiting and len(seen) < _MOST_FUNCTIONS:
        entry = waiting.pop()
        while isinstance(entry, functools.partial | MethodType):
            entry = entry.func if isinstance(entry, functools.partial) else entry.__func__
        if not isinstance(entry, FunctionType) or id(entry) in seen or _is_from_library(entry):
            continue
        seen.add(id(entry))
        yield entry
        waiting += [cell.cell_contents for cell in entry.__closure__ or () if _is_filled(cell)]
        waiting += [entry.__globals__.get(name) for name in _list_names(entry.__code__)]


def _list_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _list_names(constant)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _is_from_library(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] in _LIBRARIES


def _restore_class(kind: type, attributes: dict[str, Any]) -> None:
    for name in set(vars(kind)) - set(attributes):
        delattr(kind, name)
    for name, value in attributes.items():
        if vars(kind).get(name) is not value:
            setattr(kind, name, value)


# --- tensors


class _RestoreWrittenTensors(DispatchMode):
    """Saves each tensor with values that an operator is about to write to, and that this mode did not see being made."""

    def __init__(self) -> None:
        super().__init__()
        self._saved: dict[int, tuple[torch.Tensor, torch.Tensor, int]] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        named = kwargs or {}
        traits = read_traits(func)
        written = [args[number] for number in traits.written_positions if number < len(args)]
        written += [named[name] for name in traits.written_names if name in named]
        for tensor in list_tensors_in(written):
            self._save(tensor)
        result = func(*args, **named)
        if not traits.is_view:
            given = {storage_key(tensor) for tensor in list_tensors_in(args, named)}
            self._made |= {storage_key(tensor) for tensor in list_tensors_in(result)} - given
        return result

    def _save(self, tensor: torch.Tensor) -> None:
        key = storage_key(tensor)
        if type(tensor) not in (torch.Tensor, nn.Parameter) or tensor.is_meta or not key or key in self._made or key in self._saved:
            return
        whole = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(tensor.untyped_storage())
        self._saved[key] = (whole, whole.clone(), tensor._version)

    def restore(self) -> None:
        """Writes the values of before."""
        with torch.no_grad():
            for tensor, values, _ in self._saved.values():
                tensor.copy_(values)
        self._saved.clear()


# --- the process


_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_default_device, torch.set_default_device),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (sys.gettrace, sys.settrace),
    (sys.getprofile, sys.setprofile),
)


@contextmanager
def _restored_process() -> Iterator[None]:
    """Restores settings of torch, the working folder, `sys.path`, environment variables and signal handlers."""
    settings = [(read, write, read()) for read, write in _SETTINGS]
    variables, search_path = dict(os.environ), list(sys.path)
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    folder: Path | None = None
    with suppress(OSError):
        folder = Path.cwd()
    try:
        yield
    finally:
        for read, write, value in settings:
            if read() != value:
                write(value)
        if sys.path != search_path:
            sys.path[:] = search_path
        if dict(os.environ) != variables:
            os.environ.clear()
            os.environ.update(variables)
        with suppress(OSError):  # it may no longer exist
            if folder is not None:
                os.chdir(folder)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                with suppress(ValueError, OSError):  # only the main thread can
                    signal.signal(number, handler)
