"""Building a recipe's model on each rung of the ladder. Each way returns the model and the context to run it in."""

from __future__ import annotations

import copy
import logging
import warnings
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

from archaudit.errors import LoadError
from archaudit.measure.building.copying import copy_to_meta, empty_like_meta, is_on_meta
from archaudit.measure.building.initialisation import InitialisationTape, record_initialisation
from archaudit.measure.building.missing_device import Built
from archaudit.schema import Recipe


def build_on_meta(recipe: Recipe) -> Built:
    """The constructor and forward both run under the meta device."""
    with torch.device("meta"):
        model = _build_labelled(recipe)
    return (copy_to_meta(model) if recipe.instance or not is_on_meta(model) else model), _on_meta


def build_deferred(recipe: Recipe) -> Built:
    """The constructor runs on real tensors; parameters turn to meta as they are registered, everything else afterwards."""
    with record_initialisation() as tape:
        with _parameters_to_meta(tape):
            model = _build_module(recipe)
        tape.label(model)
    return copy_to_meta(model), _on_meta


def build_fake(recipe: Recipe) -> Built:
    """The constructor and forward both run on fake CPU tensors."""
    from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with _unlogged(mode):
        model = _build_labelled(recipe)
    if recipe.instance:
        with FakeCopyMode(mode):
            model = copy.deepcopy(model)
    return model, lambda: _unlogged(mode)


def build_real(recipe: Recipe) -> Built:
    """Everything for real, on the CPU. A model that existed before is copied, so that it stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # random weights, but the same ones each time
        model = _build_module(recipe)
    if recipe.instance:
        model = copy.deepcopy(model)
    return model, _seeded


def build_copied(inputs: Any) -> Any:
    """Inputs with every tensor on the meta device."""
    return copy_to_meta(inputs, "the input")


def _build_module(recipe: Recipe) -> nn.Module:
    model = recipe.build()
    if not isinstance(model, nn.Module):
        raise LoadError(f"{recipe.reference} made a {type(model).__name__}, not an nn.Module")
    return model


def _build_labelled(recipe: Recipe) -> nn.Module:
    """The model, its parameters labelled with what initialised them, unless it was there before."""
    if recipe.instance:
        return _build_module(recipe)
    with record_initialisation() as tape:
        model = _build_module(recipe)
    tape.label(model)
    return model


def _on_meta() -> AbstractContextManager[Any]:
    return torch.device("meta")


@contextmanager
def _unlogged(mode: AbstractContextManager[Any]) -> Iterator[None]:
    """Opens the fake mode. Torch logs what an operator raises there with its whole traceback, before anybody can catch it; a model that
    raises is told of once, by whoever runs it."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    logger.addFilter(_is_no_traceback)
    try:
        with mode, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")  # torch asks for it itself
            yield
    finally:
        logger.removeFilter(_is_no_traceback)


def _is_no_traceback(record: logging.LogRecord) -> bool:
    return record.exc_info is None


@contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@contextmanager
def _parameters_to_meta(tape: InitialisationTape) -> Iterator[None]:
    """While open, a parameter becomes an empty meta parameter when a module registers it; one real parameter always the same one."""
    original = nn.Module.register_parameter
    copies: dict[int, tuple[weakref.ref[nn.Parameter], torch.Tensor]] = {}

    def register_on_meta(module: nn.Module, name: str, parameter: Any) -> None:
        if parameter is None or parameter.device.type == "meta":
            original(module, name, parameter)
            return
        known = copies.get(id(parameter))
        if known is None or known[0]() is not parameter:
            known = copies[id(parameter)] = (weakref.ref(parameter), empty_like_meta(parameter))
            tape.carry_over(parameter, known[1])
        original(module, name, known[1])  # type: ignore[arg-type]

    nn.Module.register_parameter = register_on_meta  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = original  # type: ignore[method-assign]
