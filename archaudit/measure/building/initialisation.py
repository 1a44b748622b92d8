"""Records how parameters are initialised: the last operators that set the values of each while its model is built.

A call is written as the function of `torch.nn.init` or as the operator, with the arguments that determine the values.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.parameter import is_lazy

from archaudit.measure.module_tree import walk_tree
from archaudit.measure.process_state import DispatchMode
from archaudit.measure.tensors import COPY_NOTE, INIT_NOTE, name_parameters, storage_key

# One name for operators that produce the same values.
SYNONYMS = {
    "zeros": "zero_",
    "zeros_like": "zero_",
    "new_zeros": "zero_",
    "full": "fill_",
    "full_like": "fill_",
    "new_full": "fill_",
    "scalar_tensor": "fill_",
    "randn": "normal_",
    "randn_like": "normal_",
    "rand": "uniform_",
    "rand_like": "uniform_",
}
_DEFAULTS: dict[str, dict[str, float]] = {"normal_": {"mean": 0.0, "std": 1.0}, "uniform_": {"a": 0.0, "b": 1.0}}
# Arguments that do not determine values: sizes, tensor options, and the tensor itself.
NOT_VALUES = frozenset(
    (
        "size",
        "dtype",
        "layout",
        "device",
        "pin_memory",
        "memory_format",
        "generator",
        "tensor",
        "self",
        "non_blocking",
        "src",
        "out",
        "n",
        "m",
    )
)


def format_call(name: str, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], init: FrameType | None) -> str:
    """`zeros_()`, `fill_(0.5)`, `normal_(mean=0, std=0.02)`, `kaiming_normal_(...) = normal_(mean=0, std=0.0417)`.

    `init` is the frame of the function of `torch.nn.init` that called the operator, if there is one.
    """
    effect = format_operator(name, operator, args, kwargs)
    if init is None:
        return effect
    code = init.f_code
    function = code.co_name.removeprefix("_no_grad_")
    if function in ("zeros_", "ones_", "constant_", "normal_", "uniform_"):
        return effect
    names = [argument for argument in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if argument not in NOT_VALUES]
    given = {argument: init.f_locals.get(argument) for argument in names}
    text = f"{function}({format_arguments(given)})"
    return f"{text} = {effect}" if name in ("normal_", "uniform_") and function != "trunc_normal_" else text


def format_operator(name: str, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The operator with its numbers, under the name in `torch.nn.init` where there is one for the same values."""
    given = {argument.name: value for argument, value in zip(operator._schema.arguments, args, strict=False)} | kwargs
    values = {key: value for key, value in given.items() if key not in NOT_VALUES and _is_plain(value)}
    value = values.get("value", values.get("fill_value", values.get("s")))
    known = SYNONYMS.get(name, name)
    if known == "zero_" or (known == "fill_" and value == 0):
        return "zeros_()"
    if known == "fill_" or name in ("ones", "ones_like", "new_ones"):
        return "ones_()" if value is None or value == 1 else f"fill_({_format_value(value)})"
    if known in _DEFAULTS:
        renamed = {{"from": "a", "to": "b"}.get(key, key): value for key, value in values.items()}
        return f"{known}({format_arguments({**_DEFAULTS[known], **renamed})})"
    return f"{known}({', '.join(map(_format_value, values.values()))})"


def _is_plain(value: Any) -> bool:
    """Whether the value is a number, a bool or a string, or a list of these; tensors are not."""
    return isinstance(value, bool | int | float | str) or (isinstance(value, list | tuple) and all(map(_is_plain, value)))


def format_arguments(given: dict[str, Any]) -> str:
    """`mean=0, std=0.02`."""
    return ", ".join(f"{name}={_format_value(value)}" for name, value in given.items())


def _format_value(value: Any) -> str:
    """Floats have six digits: the last bits of a computed standard deviation differ between platforms."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_format_value, value))}]"
    return repr(value) if isinstance(value, bool | int | str | type(None)) else type(value).__name__


# --- the record of the operators that run while a model is built ---


_TORCH_FOLDER = str(Path(torch.__file__).parent)
# Files with functions that initialise a tensor: those of torch and of libraries that have their own.
_INIT_FILES = tuple(
    str(Path(*parts)) for parts in (("torch", "nn", "init.py"), ("timm", "layers", "weight_init.py"), ("transformers", "initialization.py"))
)
# Where torch defines and converts its layers: an initialisation called from there is the layer's default.
_LAYER_FOLDERS = tuple(
    str(Path(_TORCH_FOLDER, *parts)) for parts in (("nn", "modules"), ("nn", "utils"), ("nn", "quantized"), ("ao", "nn"))
)
# `model.apply(fn)` runs a function of the user, so its frame does not mean that a layer initialises itself.
_APPLY_FILE = nn.Module.apply.__code__.co_filename
_OWN_FOLDER = str(Path(__file__).parents[1])
# Frames of torch.device contexts, overrides and dispatch lie between the operator and its caller.
_MOST_FRAMES = 40

# Operators that replace all values. Any other in-place operator changes the values that are there.
_OVERWRITING = frozenset(
    (
        "zero_",
        "fill_",
        "copy_",
        "normal_",
        "uniform_",
        "random_",
        "exponential_",
        "cauchy_",
        "geometric_",
        "log_normal_",
        "bernoulli_",
        "eye",
    )
)
_EMPTY = frozenset(("empty", "empty_strided", "empty_like", "new_empty", "empty_permuted", "new_empty_strided"))
_COPYING = frozenset(("clone", "_to_copy", "lift_fresh", "detach", "alias"))
# Functions of `torch.nn.init` that run no operator for tensors without values.
_WITHOUT_OPERATORS = ("_no_grad_trunc_normal_", "orthogonal_", "dirac_", "sparse_")
# Of a chain of operators on a parameter, the last few are kept.
_MOST_STEPS = 4


@dataclass(slots=True)
class _Caller:
    """The caller of an operator: whether it is a layer of torch that sets its default, and the frame of the function of `torch.nn.init`."""

    is_default: bool
    init: FrameType | None


class InitialisationTape:
    """The operators that set each tensor's memory while a model was built."""

    def __init__(self) -> None:
        self._steps: dict[int, list[str]] = {}
        self._held: list[StorageWeakRef] = []  # reserves the addresses, not the memory behind them
        self._written: dict[Any, int | str | None] = {}
        self._latest: tuple[FrameType, list[str]] | None = None
        self._origins: dict[int, int] = {}  # memory whose values are a copy of other memory
        self._replaced: dict[int, int] = {}

    def record(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Records an operator that created a tensor or wrote into one."""
        if operator not in self._written:
            self._written[operator] = _find_written(operator)
        place = self._written[operator]
        name = operator._schema.name.removeprefix("aten::")
        if place is None:
            if isinstance(result, torch.Tensor) and all(value.alias_info is None for value in operator._schema.returns):
                self._record_new(name, operator, args, kwargs, result)
            return
        target = kwargs.get(place) if isinstance(place, str) else args[place] if place < len(args) else None
        if isinstance(target, torch.Tensor):
            self._record_write(name, target, operator, args, kwargs)

    def _record_write(self, name: str, target: torch.Tensor, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        steps = self._list_steps(target)
        caller = _find_caller()
        self._origins.pop(storage_key(target), None)
        if name == "copy_" and len(args) > 1 and isinstance(args[1], torch.Tensor) and args[1].shape == target.shape:
            self._record_origin(args[1], target)
        whole = storage_key(target) == 0 or target.numel() * target.element_size() >= target.untyped_storage().nbytes()
        if caller.is_default:
            if whole and name in _OVERWRITING:
                steps.clear()
            return
        text = format_call(name, operator, args, kwargs, caller.init)
        if caller.init is not None and self._latest is not None and self._latest[0] is caller.init and self._latest[1] is steps and steps:
            steps[-1] = text  # a further operator of the same function of torch.nn.init
            return
        self._latest = (caller.init, steps) if caller.init is not None else None
        if whole and name in _OVERWRITING:
            steps.clear()
        steps.append(text if whole else f"{text} in a part")
        del steps[:-_MOST_STEPS]

    def record_function(self, text: str, target: torch.Tensor) -> None:
        """Records a call that sets a whole tensor, in place of the operators that it ran."""
        self._list_steps(target)[:] = [] if _find_caller().is_default else [text]
        self._latest = None

    def _record_new(self, name: str, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: torch.Tensor) -> None:
        if name in _EMPTY:
            return
        given = next((value for value in args if isinstance(value, torch.Tensor)), None)
        steps = list(self._steps.get(storage_key(given), ())) if given is not None and name not in SYNONYMS else []
        if name in _COPYING and given is not None and given.shape == result.shape:
            self._record_origin(given, result)
        if name not in _COPYING:
            caller = _find_caller()
            if caller.is_default:
                return
            steps.append(format_call(name, operator, args, kwargs, caller.init))
        if steps:
            self._list_steps(result)[:] = steps[-_MOST_STEPS:]

    def _record_origin(self, original: torch.Tensor, copy: torch.Tensor) -> None:
        """Records that the values of `copy` are those of `original`."""
        key, source = storage_key(copy), storage_key(original)
        self._list_steps(copy), self._list_steps(original)  # both addresses stay reserved
        if key and source and key != source:
            self._origins[key] = self._origins.get(source, source)

    def _list_steps(self, tensor: torch.Tensor) -> list[str]:
        key = storage_key(tensor)
        if key not in self._steps:
            self._steps[key] = []
            if key:
                self._held.append(StorageWeakRef(tensor.untyped_storage()))
        return self._steps[key]

    def copy_steps(self, original: torch.Tensor, copy: torch.Tensor) -> None:
        """Gives `copy` the record of `original`, which it replaces."""
        steps, key = self._steps.get(storage_key(original)), storage_key(original)
        if steps:
            self._list_steps(copy)[:] = steps
        self._replaced[key] = storage_key(copy)
        if key in self._origins:
            self._origins[storage_key(copy)] = self._origins[key]

    def label_parameters(self, model: nn.Module) -> None:
        """Sets attributes on each parameter that say what initialised it, and of which other one it is a copy; copies of it keep them."""
        self._latest = None
        named = list(name_parameters(walk_tree(model)))
        names = {storage_key(tensor): name for name, tensor in reversed(named)}
        for name, held in named:
            origin = self._origins.get(storage_key(held), 0)
            known = names.get(self._replaced.get(origin, origin))
            if known is not None and known != name:
                held.__dict__[COPY_NOTE] = known
        for module in walk_tree(model).modules:
            for parameter in list(module._parameters.values()):
                steps = self._steps.get(storage_key(parameter)) if parameter is not None and not is_lazy(parameter) else None
                if steps and parameter is not None:
                    parameter.__dict__[INIT_NOTE] = ", ".join(steps)


class _ConstructionMode(DispatchMode):
    """Runs every operator of the constructor and records it."""

    def __init__(self, tape: InitialisationTape) -> None:
        super().__init__()
        self._tape = tape

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if isinstance(func, torch._ops.OpOverload):
            self._tape.record(func, args, kwargs, result)
        return result


@contextmanager
def record_initialisation() -> Iterator[InitialisationTape]:
    """While open, the operators that set tensors are recorded in the tape that this yields."""
    tape = InitialisationTape()
    originals = {name: getattr(nn.init, name) for name in _WITHOUT_OPERATORS}
    try:
        for name, original in originals.items():
            setattr(nn.init, name, _record_calls(tape, original))
        with _ConstructionMode(tape):
            yield tape
    finally:
        for name, original in originals.items():
            setattr(nn.init, name, original)


def _record_calls(tape: InitialisationTape, original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        target = bound.arguments.get("tensor")
        if isinstance(target, torch.Tensor):
            arguments = {name: value for name, value in bound.arguments.items() if name not in NOT_VALUES}
            tape.record_function(f"{original.__name__.removeprefix('_no_grad_')}({format_arguments(arguments)})", target)
        return result

    return recorded


def _find_caller() -> _Caller:
    """Walks up from the operator to the first frame outside torch's internals and archaudit."""
    frame: FrameType | None = sys._getframe(2)
    init: FrameType | None = None
    for _ in range(_MOST_FRAMES):
        if frame is None:
            break
        file = frame.f_code.co_filename
        if file.endswith(_INIT_FILES):
            init = frame  # the outermost one is the function that the user called
        elif file.startswith(_LAYER_FOLDERS) and file != _APPLY_FILE:
            return _Caller(is_default=True, init=init)
        elif not file.startswith((_TORCH_FOLDER, _OWN_FOLDER)):
            break
        frame = frame.f_back
    return _Caller(is_default=False, init=init)


def _find_written(operator: Any) -> int | str | None:
    """The argument that an operator writes into: its position, or its name if it is keyword-only; None if it writes into none."""
    for number, argument in enumerate(operator._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            name: str = argument.name
            return name if argument.kwarg_only else number
    return None
