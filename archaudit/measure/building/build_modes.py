"""The ways to build a recipe's model: on meta, deferred, fake, real, and without a device that is missing on this machine.

Each function returns the model and a factory of the context in which it has to run.
"""

from __future__ import annotations

import copy
import logging
import re
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from archaudit.errors import LoadError, describe_error
from archaudit.measure.building.copying import check_copy, copy_to_meta, copy_with_values, empty_like_meta, is_on_meta
from archaudit.measure.building.initialisation import InitialisationTape, record_initialisation
from archaudit.schema import Recipe

Built = tuple[nn.Module, Callable[[], AbstractContextManager[Any]]]


def build_on_meta(recipe: Recipe) -> Built:
    """Runs the constructor, and later forward, under the meta device."""
    with torch.device("meta"):
        model = _build_labelled(recipe)
    if recipe.instance:
        return _cast(check_copy(model, copy_to_meta(model)), recipe), _use_meta
    return _cast(model if is_on_meta(model) else copy_to_meta(model), recipe), _use_meta


def build_deferred(recipe: Recipe) -> Built:
    """Runs the constructor on real tensors. Parameters become meta tensors when they are registered, all other tensors afterwards."""
    with record_initialisation() as tape:
        with _parameters_to_meta(tape):
            model = _build_module(recipe)
        tape.label_parameters(model)
    copied = copy_to_meta(model)
    return _cast(check_copy(model, copied) if recipe.instance else copied, recipe), _use_meta


def build_fake(recipe: Recipe) -> Built:
    """Runs the constructor, and later forward, on fake CPU tensors."""
    from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with _without_logs(mode):
        model = _build_labelled(recipe)
    if recipe.instance:
        with FakeCopyMode(mode):
            model = check_copy(model, copy.deepcopy(model))
    with mode:
        model = _cast(model, recipe)
    return model, lambda: _without_logs(mode)


def build_real(recipe: Recipe, seed: int = 0) -> Built:
    """Builds the model with values on the CPU. A live model is copied, so that it stays unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # random weights, but the same ones each time
        model = _build_module(recipe)
    if recipe.instance:
        model = check_copy(model, copy_with_values(model))
    return _cast(model, recipe), lambda: _seeded(seed)


def copy_inputs_to_meta(inputs: Any) -> Any:
    """The inputs with every tensor on the meta device."""
    return copy_to_meta(inputs, "the input")


def _cast(model: nn.Module, recipe: Recipe) -> nn.Module:
    """The model with its floating-point tensors in the dtype of the recipe, if that names one. Complex and integer tensors stay."""
    if recipe.dtype is None:
        return model
    dtype = getattr(torch, recipe.dtype)
    model._apply(lambda tensor: tensor.to(dtype) if not is_lazy(tensor) and tensor.is_floating_point() else tensor)
    return model


def _build_module(recipe: Recipe) -> nn.Module:
    model = recipe.build()
    if not isinstance(model, nn.Module):
        raise LoadError(
            f"{recipe.reference} returned a {type(model).__name__}, not an nn.Module", "Name a class or a function that returns the model."
        )
    return model


def _build_labelled(recipe: Recipe) -> nn.Module:
    """The model with labels that say what initialised its parameters; a live model has none."""
    if recipe.instance:
        return _build_module(recipe)
    with record_initialisation() as tape:
        model = _build_module(recipe)
    tape.label_parameters(model)
    return model


def _use_meta() -> AbstractContextManager[Any]:
    return torch.device("meta")


@contextmanager
def _without_logs(mode: AbstractContextManager[Any]) -> Iterator[None]:
    """Opens the fake mode. Torch logs each error of an operator there with its traceback before anyone can catch it; archaudit reports the
    error itself, once."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    logger.addFilter(_has_no_traceback)
    try:
        with mode, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")  # torch itself accesses it
            yield
    finally:
        logger.removeFilter(_has_no_traceback)


def _has_no_traceback(record: logging.LogRecord) -> bool:
    return record.exc_info is None


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _parameters_to_meta(tape: InitialisationTape) -> Iterator[None]:
    """While open, a parameter becomes an empty meta parameter when a module registers it. Tied parameters become one meta parameter."""
    original = nn.Module.register_parameter
    copies: dict[int, tuple[weakref.ref[nn.Parameter], torch.Tensor]] = {}

    def register_on_meta(module: nn.Module, name: str, parameter: Any) -> None:
        if parameter is None or parameter.device.type == "meta":
            original(module, name, parameter)
            return
        known = copies.get(id(parameter))
        if known is None or known[0]() is not parameter:
            known = copies[id(parameter)] = (weakref.ref(parameter), empty_like_meta(parameter))
            tape.copy_steps(parameter, known[1])
        original(module, name, known[1])  # type: ignore[arg-type]

    nn.Module.register_parameter = register_on_meta  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = original  # type: ignore[method-assign]


# --- models that name a missing device (`.cuda()`, `device="cuda"`): the device of a tensor changes no count, so it is ignored ---


# The messages of a torch that was built without the device's library, or that runs without its driver or the device.
_MISSING_DEVICE = re.compile(
    r"not compiled with (CUDA|XPU)|NVIDIA driver|No (CUDA|HIP) GPUs|CUDA driver|accelerator device when none|"
    r"support for mps devices|MPS backend"
)
_AVAILABLE = ("cpu", "meta")
# Methods that only move a tensor to a device; `to` can also change the dtype.
_DEVICE_METHODS = frozenset(getattr(torch.Tensor, name) for name in ("cuda", "xpu", "pin_memory") if hasattr(torch.Tensor, name))


def needs_missing_device(error: BaseException | None) -> bool:
    """Whether the cause of `error` is a device that this machine does not have."""
    return error is not None and _MISSING_DEVICE.search(describe_error(error, with_type=False)) is not None


def build_without_device(build: Callable[[Recipe], Built], built_on: str, run_on: str) -> Callable[[Recipe], Built]:
    """`build` with missing devices replaced: by `built_on` in the constructor, by `run_on` in forward."""

    def build_with_replacement(recipe: Recipe) -> Built:
        with _ReplaceMissingDevice(built_on):
            model, context = build(recipe)

        @contextmanager
        def replace_in_forward() -> Iterator[None]:
            with context(), _ReplaceMissingDevice(run_on):
                yield

        return model, replace_in_forward

    return build_with_replacement


class _ReplaceMissingDevice(TorchFunctionMode):
    """While open, tensors stay on the CPU or meta even if a call names another device."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = torch.device(device)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _DEVICE_METHODS:
            return args[0]
        named = dict(kwargs or {})
        if "device" in named and _is_missing(named["device"]):
            named["device"] = args[0].device if func is torch.Tensor.to else self._device
        if func is torch.Tensor.to:
            args = tuple(args[0].device if place and _is_missing(given) else given for place, given in enumerate(args))
        return func(*args, **named)


def _is_missing(device: Any) -> bool:
    """Whether `device`, in a form that torch accepts (a number is a GPU), is neither the CPU nor meta."""
    if isinstance(device, bool):
        return False
    if isinstance(device, int):  # some versions of torch cannot name the device of a number if there is none
        return True
    return isinstance(device, str | torch.device) and torch.device(device).type not in _AVAILABLE
