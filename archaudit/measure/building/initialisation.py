"""How an initialising call is written: the function of `torch.nn.init` or the operator, with the arguments that its values follow from."""

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

from archaudit.measure.dispatch import DispatchMode
from archaudit.measure.structure.params import INIT_NOTE, storage_key
from archaudit.measure.structure.tree import walk_tree

# The same values under one name, however they were made.
SAME = {
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
_USUAL: dict[str, dict[str, float]] = {"normal_": {"mean": 0.0, "std": 1.0}, "uniform_": {"a": 0.0, "b": 1.0}}
# Arguments that say nothing about values: sizes, tensor options, and the tensor itself.
NOT_TOLD = frozenset(
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


def write_call(name: str, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], init: FrameType | None) -> str:
    """`zeros_()`, `fill_(0.5)`, `normal_(mean=0, std=0.02)`, `kaiming_normal_(...) = normal_(mean=0, std=0.0417)`.

    `init` is the frame of the function of `torch.nn.init` that called the operator, if one did.
    """
    effect = write_operator(name, operator, args, kwargs)
    if init is None:
        return effect
    code = init.f_code
    function = code.co_name.removeprefix("_no_grad_")
    if function in ("zeros_", "ones_", "constant_", "normal_", "uniform_"):
        return effect
    names = [argument for argument in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if argument not in NOT_TOLD]
    given = {argument: init.f_locals.get(argument) for argument in names}
    text = f"{function}({write_arguments(given)})"
    return f"{text} = {effect}" if name in ("normal_", "uniform_") and function != "trunc_normal_" else text


def write_operator(name: str, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The operator with its numbers, in the words of `torch.nn.init` where it says the same."""
    given = {argument.name: value for argument, value in zip(operator._schema.arguments, args, strict=False)} | kwargs
    told = {key: value for key, value in given.items() if key not in NOT_TOLD and _is_told(value)}
    value = told.get("value", told.get("fill_value", told.get("s")))
    known = SAME.get(name, name)
    if known == "zero_" or (known == "fill_" and value == 0):
        return "zeros_()"
    if known == "fill_" or name in ("ones", "ones_like", "new_ones"):
        return "ones_()" if value is None or value == 1 else f"fill_({_write_value(value)})"
    if known in _USUAL:
        renamed = {{"from": "a", "to": "b"}.get(key, key): value for key, value in told.items()}
        return f"{known}({write_arguments({**_USUAL[known], **renamed})})"
    return f"{known}({', '.join(map(_write_value, told.values()))})"


def _is_told(value: Any) -> bool:
    """Numbers, flags and words; not tensors, nor lists of them."""
    return isinstance(value, bool | int | float | str) or (isinstance(value, list | tuple) and all(map(_is_told, value)))


def write_arguments(given: dict[str, Any]) -> str:
    """`mean=0, std=0.02`."""
    return ", ".join(f"{name}={_write_value(value)}" for name, value in given.items())


def _write_value(value: Any) -> str:
    """Floats to six digits: the last bits of a computed deviation differ between platforms."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_write_value, value))}]"
    return repr(value) if isinstance(value, bool | int | str | type(None)) else type(value).__name__


# --- how parameters are initialised: the last initialising operator of each, read from a tape of the construction ---


_TORCH_FOLDER = str(Path(torch.__file__).parent)
# Functions that set a tensor: torch's, and those of libraries that bring their own.
_INIT_FILES = tuple(
    str(Path(*parts)) for parts in (("torch", "nn", "init.py"), ("timm", "layers", "weight_init.py"), ("transformers", "initialization.py"))
)
# Where the layers of torch are defined, and what it does to them: initialisation from there is the default.
_LAYER_FOLDERS = tuple(
    str(Path(_TORCH_FOLDER, *parts)) for parts in (("nn", "modules"), ("nn", "utils"), ("nn", "quantized"), ("ao", "nn"))
)
# Passes other people's functions on (`model.apply(fn)`), so a frame of it says nothing about who initialises.
_MACHINERY = nn.Module.apply.__code__.co_filename
_OWN_FOLDER = str(Path(__file__).parent)
# Frames of torch.device contexts, overrides and dispatch lie between the operator and who called it.
_MOST_FRAMES = 40

# What replaces all values (anything else that writes in place works on the values that were there).
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
_WITHOUT_VALUES = frozenset(("empty", "empty_strided", "empty_like", "new_empty", "empty_permuted", "new_empty_strided"))
_COPYING = frozenset(("clone", "_to_copy", "lift_fresh", "detach", "alias"))
# Functions of `torch.nn.init` that return at once for tensors without values, so that no operator tells of them.
_SILENT = ("_no_grad_trunc_normal_", "orthogonal_", "dirac_", "sparse_")
# A chain of arithmetic on a parameter is told by its last few steps.
_MOST_STEPS = 4


@dataclass(slots=True)
class _Caller:
    """Who called an operator: whether a layer of torch, for its own default; and the function of `torch.nn.init`, if any."""

    is_default: bool
    init: FrameType | None


class InitialisationTape:
    """What was done to each tensor's memory while a model was built."""

    def __init__(self) -> None:
        self._steps: dict[int, list[str]] = {}
        self._held: list[StorageWeakRef] = []  # keeps addresses from being given to other tensors, not the memory behind them
        self._written: dict[Any, int | str | None] = {}
        self._latest: tuple[FrameType, list[str]] | None = None

    def record(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Notes an operator that made a tensor or wrote into one."""
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
        whole = storage_key(target) == 0 or target.numel() * target.element_size() >= target.untyped_storage().nbytes()
        if caller.is_default:
            if whole and name in _OVERWRITING:
                steps.clear()
            return
        text = write_call(name, operator, args, kwargs, caller.init)
        if caller.init is not None and self._latest is not None and self._latest[0] is caller.init and self._latest[1] is steps and steps:
            steps[-1] = text  # one of several operators that one function of torch.nn.init runs
            return
        self._latest = (caller.init, steps) if caller.init is not None else None
        if whole and name in _OVERWRITING:
            steps.clear()
        steps.append(text if whole else f"{text} in a part")
        del steps[:-_MOST_STEPS]

    def record_function(self, text: str, target: torch.Tensor) -> None:
        """Notes a call that sets a whole tensor, whatever operators it ran or did not run."""
        self._list_steps(target)[:] = [] if _find_caller().is_default else [text]
        self._latest = None

    def _record_new(self, name: str, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: torch.Tensor) -> None:
        if name in _WITHOUT_VALUES:
            return
        given = next((value for value in args if isinstance(value, torch.Tensor)), None)
        steps = list(self._steps.get(storage_key(given), ())) if given is not None and name not in SAME else []
        if name not in _COPYING:
            caller = _find_caller()
            if caller.is_default:
                return
            steps.append(write_call(name, operator, args, kwargs, caller.init))
        if steps:
            self._list_steps(result)[:] = steps[-_MOST_STEPS:]

    def _list_steps(self, tensor: torch.Tensor) -> list[str]:
        key = storage_key(tensor)
        if key not in self._steps:
            self._steps[key] = []
            if key:
                self._held.append(StorageWeakRef(tensor.untyped_storage()))
        return self._steps[key]

    def carry_over(self, original: torch.Tensor, copy: torch.Tensor) -> None:
        """`copy` stands for `original` from now on."""
        steps = self._steps.get(storage_key(original))
        if steps:
            self._list_steps(copy)[:] = steps

    def label(self, model: nn.Module) -> None:
        """Writes on each parameter what initialised it, as an attribute, which copies of it keep."""
        self._latest = None
        for module in walk_tree(model).modules:
            for parameter in list(module._parameters.values()):
                steps = self._steps.get(storage_key(parameter)) if parameter is not None and not is_lazy(parameter) else None
                if steps and parameter is not None:
                    parameter.__dict__[INIT_NOTE] = ", ".join(steps)


class _ConstructionMode(DispatchMode):
    """Shows every operator of the constructor to the tape after running it."""

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
    """While open, what happens to tensors goes to the tape."""
    tape = InitialisationTape()
    originals = {name: getattr(nn.init, name) for name in _SILENT}
    try:
        for name, original in originals.items():
            setattr(nn.init, name, _tell_call(tape, original))
        with _ConstructionMode(tape):
            yield tape
    finally:
        for name, original in originals.items():
            setattr(nn.init, name, original)


def _tell_call(tape: InitialisationTape, original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def told(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        target = bound.arguments.get("tensor")
        if isinstance(target, torch.Tensor):
            arguments = {name: value for name, value in bound.arguments.items() if name not in NOT_TOLD}
            tape.record_function(f"{original.__name__.removeprefix('_no_grad_')}({write_arguments(arguments)})", target)
        return result

    return told


def _find_caller() -> _Caller:
    """Walks up from the operator to the first frame that is neither torch's machinery nor ours."""
    frame: FrameType | None = sys._getframe(2)
    init: FrameType | None = None
    for _ in range(_MOST_FRAMES):
        if frame is None:
            break
        file = frame.f_code.co_filename
        if file.endswith(_INIT_FILES):
            init = frame  # the outermost: what the user called
        elif file.startswith(_LAYER_FOLDERS) and file != _MACHINERY:
            return _Caller(is_default=True, init=init)
        elif not file.startswith((_TORCH_FOLDER, _OWN_FOLDER)):
            break
        frame = frame.f_back
    return _Caller(is_default=False, init=init)


def _find_written(operator: Any) -> int | str | None:
    """The argument that an operator writes into: its position, or its name where it is given by name; None for one that writes nowhere."""
    for number, argument in enumerate(operator._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            name: str = argument.name
            return name if argument.kwarg_only else number
    return None
