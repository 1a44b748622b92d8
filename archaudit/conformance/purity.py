"""What a counter left changed: a snapshot before, a snapshot after, and the differences in words.

Looked at: every module's class, mode, hooks, attributes, parameters and buffers (identity, bytes, grad), and the process's
random states, default dtype and device, grad mode, flags, hooks on all modules, and the functions of torch that counters like to replace.
Modules are found by walking `_modules`: torch's own walk loses modules whose names hold dots.
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
_WATCHED_FUNCTIONS: Mapping[str, Any] = {
    "torch": torch,
    "torch.nn.functional": F,
    "torch.Tensor": torch.Tensor,
    "torch.nn.Module": nn.Module,
}
_TORCH_FOLDER = str(Path(torch.__file__).parent)
_TENSOR_TABLES = ("_parameters", "_buffers")


def compare(before: Snapshot, after: Snapshot) -> list[str]:
    """What differs between two snapshots, one line each: `added ...`, `removed ...` or `changed ...`. Empty when nothing does.

    Functions of torch are in a snapshot only where they are not torch's own, so for them it is `replaced` or `put back`.
    """
    added = [f"{'replaced' if key.startswith('function ') else 'added'} {key}" for key in after if key not in before]
    removed = [f"{'put back' if key.startswith('function ') else 'removed'} {key}" for key in before if key not in after]
    changed = [f"changed {key}" for key, value in before.items() if key in after and after[key] != value]
    return added + removed + changed


def snapshot_model(model: nn.Module) -> Snapshot:
    """The state of a model alone; tensors by their bytes, so that it may also be compared with a snapshot of a copy of it."""
    found: Snapshot = {}
    for path, module in _walk(model):
        where = "model" if not path else f"module {path!r}"
        found[f"{where}: class"] = type(module)
        found[f"{where}: training flag"] = module.training
        for name, value in _attributes(module).items():
            if name in _TENSOR_TABLES:
                found.update((f"{where}: {name[1:-1]} {key!r}", _state(entry)) for key, entry in _entries(module, name).items())
            elif name.endswith("_hooks") and isinstance(value, dict):
                found[f"{where}: {name}"] = [_Same(hook) for hook in value.values()]
            elif name != "training":
                found[f"{where}: attribute {name!r}"] = _content(value) if isinstance(value, torch.Tensor) else _state(value)
    return found


def snapshot_inputs(inputs: Any) -> Snapshot:
    """The state of every tensor among a model's inputs."""
    from torch.utils import _pytree

    return {f"input {number}": _state(leaf) for number, leaf in enumerate(_pytree.tree_leaves(inputs))}


def snapshot_process() -> Snapshot:
    """The state of the process that counters may touch: random states, defaults, modes, flags, global hooks, replaced functions."""
    found: Snapshot = {f"process: {name}": read() for name, read in _PROCESS.items()}
    for name, value in vars(torch_module).items():
        if name.startswith("_global_") and isinstance(value, dict):
            found[f"process: {name[1:]} on all modules"] = [_Same(hook) for hook in value.values()]
    for owner, namespace in _WATCHED_FUNCTIONS.items():
        found.update((f"function {owner}.{name}", _Same(value)) for name, value in vars(namespace).items() if _is_foreign(value))
    return found


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Run a block with torch's CPU random state seeded, and put that state back afterwards."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


@contextmanager
def contained() -> Iterator[None]:
    """Put back what a block does to the process, so that what one counter leaves behind does not count against the next.

    Random states, functions of torch that were replaced, hooks on all modules, grad mode, default dtype and the attention fast path.
    """
    states = torch.get_rng_state(), random.getstate(), torch.is_grad_enabled(), torch.get_default_dtype()
    fast_path = torch.backends.mha.get_fastpath_enabled()
    functions = {owner: dict(vars(namespace)) for owner, namespace in _WATCHED_FUNCTIONS.items()}
    hooks = {name: dict(value) for name, value in vars(torch_module).items() if name.startswith("_global_") and isinstance(value, dict)}
    try:
        yield
    finally:
        for owner, namespace in _WATCHED_FUNCTIONS.items():
            for name in [name for name, value in vars(namespace).items() if _is_foreign(value) and name in functions[owner]]:
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
    """Every module once, with its path as a tuple of names; no recursion, since models nest deeper than Python's stack."""
    pending: list[tuple[tuple[str, ...], nn.Module]] = [((), model)]
    seen: set[int] = set()
    while pending:
        path, module = pending.pop()
        if id(module) not in seen:
            seen.add(id(module))
            yield path, module
            children = _entries(module, "_modules").items()
            pending += [((*path, name), child) for name, child in children if isinstance(child, nn.Module)]


def _entries(module: nn.Module, table: str) -> dict[str, Any]:
    if isinstance(module, torch.jit.ScriptModule):  # keeps its tables in C++ and shows them through torch's own walks only
        if table == "_modules":
            return dict(module.named_children())
        return dict(module.named_parameters(recurse=False) if table == "_parameters" else module.named_buffers(recurse=False))
    entries: dict[str, Any] = vars(module)[table]
    return entries


def _attributes(module: nn.Module) -> dict[str, Any]:
    attributes = {name: value for name, value in vars(module).items() if name != "_modules"}
    return attributes | dict.fromkeys(_TENSOR_TABLES)


class _Same:
    """An object that is compared by identity, held so that no other can take its place in memory."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    __hash__ = None  # type: ignore[assignment]


def _state(value: Any) -> Any:
    """What to compare a value by: plain values as they are, tensors by all that counts, containers by items, the rest by identity."""
    if isinstance(value, torch.Tensor):
        return _tensor_state(value)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list | tuple):
        return (type(value), [_state(item) for item in value])
    if isinstance(value, dict):
        return (type(value), [(key, _state(item)) for key, item in value.items()])
    return _Same(value)


def _tensor_state(tensor: torch.Tensor) -> tuple[Any, ...]:
    identity = (_Same(tensor), type(tensor), tensor.requires_grad)
    if is_lazy(tensor):
        return identity
    grad = None if not tensor.is_leaf or tensor.grad is None else (_Same(tensor.grad), _digest(tensor.grad))
    return (*identity, *_content(tensor), grad)


def _content(tensor: torch.Tensor) -> tuple[Any, ...]:
    """A tensor's value alone: all that is compared of a plain attribute, which older hooks make anew at each call."""
    return (tensor.dtype, tensor.device, tuple(tensor.shape), _digest(tensor))


def _is_foreign(value: Any) -> bool:
    """Whether this is a function written outside torch. (Torch replaces some of its own when parts of it are first used.)"""
    return isinstance(value, FunctionType) and not value.__code__.co_filename.startswith((_TORCH_FOLDER, "<"))


def _digest(tensor: torch.Tensor) -> str | None:
    """A digest of a tensor's bytes; None where it has none (meta) or does not show them (sparse, packed)."""
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized:
        return None
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(bytes(flat.tolist())).hexdigest()


def _numpy_state() -> Any:
    """NumPy's global random state; None where NumPy was never imported."""
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
    "default device": lambda: torch.empty(0).device,  # torch 2.6 cannot be asked for it once it was set back to none
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
