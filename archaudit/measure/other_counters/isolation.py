"""Isolates the other counters: their errors become reasons, and the model that they ran on is restored."""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from archaudit.errors import read_message
from archaudit.measure.building.copying import copy_with_values
from archaudit.measure.module_tree import walk_tree
from archaudit.measure.process_state import unchanged_globals, without_fusion
from archaudit.measure.tensors import iterate_tensors_in, list_tensors_within

# A reason has to fit in a table cell or a line; torch has messages of several pages.
_LONGEST_MESSAGE = 160
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_CONTAINERS = frozenset({dict, OrderedDict, list, set})


class CounterSkippedError(Exception):
    """A counter cannot count this model; the message is the reason."""


@contextmanager
def guard_library() -> Iterator[None]:
    """Drops the warnings of a counter's library and turns its errors, and those of the model inside it, into CounterSkippedError.

    The warnings concern the library's internals, or archaudit's own run has shown them already. KeyboardInterrupt and MemoryError pass
    through.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (CounterSkippedError, MemoryError, KeyboardInterrupt):
        raise
    # A third-party library walks over a user's model, so it may raise anything. A missing second count must not cost the first one.
    except BaseException as error:
        raise CounterSkippedError(describe_failure(error)) from error


def describe_failure(error: BaseException) -> str:
    """The error's type and the first line of its message, shortened, without memory addresses (they differ in every run)."""
    lines = read_message(error).strip().splitlines()
    message = _ADDRESS.sub("0x…", lines[0].strip()) if lines else ""
    if len(message) > _LONGEST_MESSAGE:
        message = message[: _LONGEST_MESSAGE - 1].rstrip() + "…"
    kind = type(error).__name__
    return f"{kind}: {message}" if message else kind


@contextmanager
def restore_model(model: nn.Module) -> Iterator[None]:
    """Restores every module of `model` on exit: hooks, training flags, attributes, and the entries of its dicts, lists and sets.

    While open, grad is off, and so is fused attention (neither counter knows the operator of a whole encoder layer). Random states and
    global settings are restored too. The contents of tensors are not: a model that writes into its buffers in eval mode changes them.
    """
    found = [(module, vars(module).copy(), _copy_containers(module)) for module in walk_tree(model).modules]
    try:
        with unchanged_globals(), without_fusion(), torch.no_grad():
            yield
    finally:
        for module, attributes, containers in found:
            vars(module).clear()
            vars(module).update(attributes)
            for container, contents in containers:
                container.clear()
                (container.extend if isinstance(container, list) else container.update)(contents)


def _copy_containers(module: nn.Module) -> list[tuple[Any, Any]]:
    return [(value, value.copy()) for value in vars(module).values() if type(value) in _CONTAINERS]


# --- an adapter for any model: both other counters accept positional tensors as input and tensors as output only ---


class FlatModel(nn.Module):
    """Calls `model` with positional tensors in place of those in `args` and `kwargs`; all other arguments stay constant.

    fvcore accepts no keyword arguments and no outputs other than tensors, and keyword arguments may have the names of torchinfo's own
    parameters. The model is the child `model`; `returned` is the number of tensors that the last call returned.
    """

    def __init__(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.training = False  # torchinfo sets the flag of the root on the whole tree at the end
        self.returned = 0
        self._leaves, self._structure = tree_flatten((args, dict(kwargs)))
        self._given = list(self._leaves)

    def clone_inputs(self) -> tuple[torch.Tensor, ...]:
        """Clones of the tensors among the inputs, in order; clones, because a model may write into its inputs.

        Objects that hold tensors (a cache of keys and values) are copied for the next call.
        """
        self._leaves = [
            leaf if isinstance(leaf, torch.Tensor) or not list_tensors_within(leaf) else copy_with_values(leaf) for leaf in self._given
        ]
        return tuple(leaf.detach().clone() for leaf in self._leaves if isinstance(leaf, torch.Tensor))

    def list_tensors(self) -> list[torch.Tensor]:
        """All parameters, buffers and input tensors."""
        return [*self.parameters(), *self.buffers(), *(leaf for leaf in self._leaves if isinstance(leaf, torch.Tensor))]

    def is_on_meta(self) -> bool:
        """Whether any of these tensors is on the meta device."""
        return any(tensor.is_meta for tensor in self.list_tensors())

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The tensors in the model's output, as a flat tuple."""
        given = iter(tensors)
        leaves = [next(given) if isinstance(leaf, torch.Tensor) else leaf for leaf in self._leaves]
        args, kwargs = tree_unflatten(leaves, self._structure)
        outputs = tuple(iterate_tensors_in(self.model(*args, **kwargs)))
        self.returned = len(outputs)
        return outputs
