"""Snapshots of a model, its inputs and the process, to find what a counter leaves changed.

A snapshot holds every module's class, mode, hooks, attributes, parameters and buffers (identity, bytes, grad), and the process's random
states, default dtype and device, grad mode, flags, global hooks, and the functions of torch that counters replace. Modules are found
through `_modules`, since torch's own iteration skips modules whose names contain dots.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module
from torch.nn.parameter import is_lazy

Snapshot = dict[str, Any]
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
_WATCHED_NAMESPACES: Mapping[str, Any] = {
    "torch": torch,
    "torch.nn.functional": F,
    "torch.Tensor": torch.Tensor,
    "torch.nn.Module": nn.Module,
}
_TORCH_FOLDER = str(Path(torch.__file__).parent)
_TENSOR_TABLES = ("_parameters", "_buffers")


def list_changes(before: Snapshot, after: Snapshot) -> list[str]:
    """The differences of two snapshots, one line each: `added ...`, `removed ...` or `changed ...`.

    A snapshot holds functions of torch only where they are not torch's own, so for them the words are `replaced` and `restored`.
    """
    added = [f"{'replaced' if key.startswith('function ') else 'added'} {key}" for key in after if key not in before]
    removed = [f"{'restored' if key.startswith('function ') else 'removed'} {key}" for key in before if key not in after]
    changed = [f"changed {key}" for key, value in before.items() if key in after and after[key] != value]
    return added + removed + changed


def snapshot_model(model: nn.Module) -> Snapshot:
    """The state of a model, without that of the process."""
    found: Snapshot = {}
    for path, module in _walk(model):
        where = "model" if not path else f"module {path!r}"
        found[f"{where}: class"] = type(module)
        found[f"{where}: training flag"] = module.training
        for name, value in _list_attributes(module).items():
            if name in _TENSOR_TABLES:
                found.update(
                    (f"{where}: {name[1:-1]} {key!r}", _describe_value(entry)) for key, entry in _get_entries(module, name).items()
                )
            elif name.endswith("_hooks") and isinstance(value, dict):
                found[f"{where}: {name}"] = [_Same(hook) for hook in value.values()]
            elif name != "training":
                found[f"{where}: attribute {name!r}"] = (
                    _describe_content(value) if isinstance(value, torch.Tensor) else _describe_value(value)
                )
    return found


def snapshot_inputs(inputs: Any) -> Snapshot:
    """The state of every tensor among a model's inputs."""
    from torch.utils import _pytree

    return {f"input {number}": _describe_value(leaf) for number, leaf in enumerate(_pytree.tree_leaves(inputs))}


def snapshot_process() -> Snapshot:
    """The state of the process that counters may change: random states, defaults, modes, flags, global hooks, replaced functions."""
    found: Snapshot = {f"process: {name}": read() for name, read in _PROCESS.items()}
    for name, value in vars(torch_module).items():
        if name.startswith("_global_") and isinstance(value, dict):
            found[f"process: {name[1:]} on all modules"] = [_Same(hook) for hook in value.values()]
    for owner, namespace in _WATCHED_NAMESPACES.items():
        found.update((f"function {owner}.{name}", _Same(value)) for name, value in vars(namespace).items() if _is_replacement(value))
    return found


@contextmanager
def seed_torch(seed: int = 0) -> Iterator[None]:
    """Runs a block with torch's CPU random generator seeded, then restores its state."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


@contextmanager
def restore_process() -> Iterator[None]:
    """Restores the process after a block, so that the next counter is not affected.

    Restores the random states, replaced functions of torch, global hooks, grad mode, default dtype and the attention fast path.
    """
    states = torch.get_rng_state(), random.getstate(), torch.is_grad_enabled(), torch.get_default_dtype()
    fast_path = torch.backends.mha.get_fastpath_enabled()
    functions = {owner: dict(vars(namespace)) for owner, namespace in _WATCHED_NAMESPACES.items()}
    hooks = {name: dict(value) for name, value in vars(torch_module).items() if name.startswith("_global_") and isinstance(value, dict)}
    try:
        yield
    finally:
        for owner, namespace in _WATCHED_NAMESPACES.items():
            for name in [name for name, value in vars(namespace).items() if _is_replacement(value) and name in functions[owner]]:
                setattr(namespace, name, functions[owner][name])
        for name, entries in hooks.items():
            table = vars(torch_module)[name]
            table.clear()
            table.update(entries)
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        torch.set_grad_enabled(states[2])
        torch.set_default_dtype(states[3])
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _walk(model: nn.Module) -> Iterator[tuple[tuple[str, ...], nn.Module]]:
    """Every module once, with its path as a tuple of names. Without recursion, since models may nest deeper than Python's stack."""
    pending: list[tuple[tuple[str, ...], nn.Module]] = [((), model)]
    seen: set[int] = set()
    while pending:
        path, module = pending.pop()
        if id(module) not in seen:
            seen.add(id(module))
            yield path, module
            children = _get_entries(module, "_modules").items()
            pending += [((*path, name), child) for name, child in children if isinstance(child, nn.Module)]


def _get_entries(module: nn.Module, table: str) -> dict[str, Any]:
    if isinstance(module, torch.jit.ScriptModule):  # keeps its tables in C++ and exposes them only through these methods
        if table == "_modules":
            return dict(module.named_children())
        return dict(module.named_parameters(recurse=False) if table == "_parameters" else module.named_buffers(recurse=False))
    entries: dict[str, Any] = vars(module)[table]
    return entries


def _list_attributes(module: nn.Module) -> dict[str, Any]:
    attributes = {name: value for name, value in vars(module).items() if name != "_modules"}
    return attributes | dict.fromkeys(_TENSOR_TABLES)


class _Same:
    """An object that is compared by identity, kept alive so that no other object gets its address."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    __hash__ = None  # type: ignore[assignment]


def _describe_value(value: Any) -> Any:
    """How a value is compared: plain values by value, tensors by identity and content, containers by item, anything else by identity."""
    if isinstance(value, torch.Tensor):
        return _describe_tensor(value)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list | tuple):
        return (type(value), [_describe_value(item) for item in value])
    if isinstance(value, dict):
        return (type(value), [(key, _describe_value(item)) for key, item in value.items()])
    return _Same(value)


def _describe_tensor(tensor: torch.Tensor) -> tuple[Any, ...]:
    identity = (_Same(tensor), type(tensor), tensor.requires_grad)
    if is_lazy(tensor):
        return identity
    grad = None if not tensor.is_leaf or tensor.grad is None else (_Same(tensor.grad), _digest(tensor.grad))
    return (*identity, *_describe_content(tensor), grad)


def _describe_content(tensor: torch.Tensor) -> tuple[Any, ...]:
    """A tensor's content without its identity, for plain attributes: the older weight norm makes a new tensor at each call."""
    return (tensor.dtype, tensor.device, tuple(tensor.shape), _digest(tensor))


def _is_replacement(value: Any) -> bool:
    """Whether this is a function defined outside torch. (Torch replaces some of its own functions on first use.)"""
    return isinstance(value, FunctionType) and not value.__code__.co_filename.startswith((_TORCH_FOLDER, "<"))


def _digest(tensor: torch.Tensor) -> str | None:
    """A digest of a tensor's bytes; None where it has none (meta) or they are not accessible (sparse, packed)."""
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized:
        return None
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(bytes(flat.tolist())).hexdigest()


def _numpy_state() -> Any:
    """NumPy's global random state; None where NumPy is not imported."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    name, keys, *rest = numpy.random.get_state()
    return (name, keys.tobytes(), *rest)


def _cuda_states() -> Any:
    cuda: Any = torch.cuda
    return [_digest(state) for state in cuda.get_rng_state_all()] if cuda.is_initialized() else None


_PROCESS: Mapping[str, Callable[[], Any]] = {
    "torch random state": lambda: _digest(torch.get_rng_state()),
    "CUDA random states": _cuda_states,
    "Python random state": random.getstate,
    "NumPy random state": _numpy_state,
    "default dtype": torch.get_default_dtype,
    "default device": lambda: torch.empty(0).device,  # torch 2.6 has no getter that works after a reset to None
    "grad mode": torch.is_grad_enabled,
    "inference mode": torch.is_inference_mode_enabled,
    "anomaly mode": torch.is_anomaly_enabled,
    "autocast": lambda: torch.is_autocast_enabled("cpu"),
    "deterministic algorithms": lambda: (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    ),
    "cuDNN flags": lambda: (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
    "attention fast path": torch.backends.mha.get_fastpath_enabled,
    "number of threads": torch.get_num_threads,
    "dispatch modes": lambda: torch._C._len_torch_dispatch_stack(),
    "function modes": lambda: torch._C._len_torch_function_stack(),
    "tracing state": lambda: torch._C._get_tracing_state() is not None,
    "recursion limit": sys.getrecursionlimit,
    "nn.Module.__call__": lambda: _Same(nn.Module.__call__),
}
