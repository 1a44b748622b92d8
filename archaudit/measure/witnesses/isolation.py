"""What keeps a witness from doing harm: its failures become reasons, and what it touched is put back."""

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

from archaudit.measure.process_state import unchanged_globals
from archaudit.measure.structure.tensors import iterate_tensors_in
from archaudit.measure.structure.tree import walk_tree
from archaudit.measure.tape import plain_paths

# A reason stands in a table cell or one line of text; the longest messages of torch run over pages.
_LONGEST_MESSAGE = 160
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_CONTAINERS = frozenset({dict, OrderedDict, list, set})


class LeftOut(Exception):
    """A witness cannot say anything about this model; the message is the reason."""


@contextmanager
def guard_library() -> Iterator[None]:
    """Runs a witness's library: its warnings are dropped, and whatever it (or the model inside it) raises becomes LeftOut.

    The warnings are either the library's own, about its internals, or the model's, which the measuring run has already shown.
    KeyboardInterrupt and MemoryError pass through.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (LeftOut, MemoryError):
        raise
    # A third party's code walks over a user's model: nothing is known of what it may raise, and a second opinion that
    # cannot be had must never cost the first.
    except (Exception, SystemExit) as error:
        raise LeftOut(describe_failure(error)) from error


def describe_failure(error: BaseException) -> str:
    """The error's type and the first line of its message, shortened, without addresses in memory (they differ with every run)."""
    lines = str(error).strip().splitlines()
    message = _ADDRESS.sub("0x…", lines[0].strip()) if lines else ""
    if len(message) > _LONGEST_MESSAGE:
        message = message[: _LONGEST_MESSAGE - 1].rstrip() + "…"
    kind = type(error).__name__
    return f"{kind}: {message}" if message else kind


@contextmanager
def leave_as_found(model: nn.Module) -> Iterator[None]:
    """Puts every module of `model` back as it was: hooks, training flags, attributes, and the entries of its dicts, lists and sets.

    Inside, grad is off, and so is fused attention (a whole encoder layer would be one operator that neither witness knows). Random
    states and global settings are put back too. The contents of tensors are not copied: a model that writes into its buffers in
    eval mode has written into them.
    """
    found = [(module, vars(module).copy(), _copy_containers(module)) for module in walk_tree(model).modules]
    try:
        with unchanged_globals(), plain_paths(), torch.no_grad():
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


# --- one door into any model: plain positional tensors in, plain tensors out, since that is all that both witnesses can take ---


class Entry(nn.Module):
    """Calls `model` with the inputs it was made with: tensors come in as arguments, everything else is held constant.

    fvcore takes no keyword arguments and no output other than tensors; torchinfo's own parameters would swallow keyword arguments
    of the same names. The model is a child called `model`; `returned` counts the tensors that its last call gave back.
    """

    def __init__(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.training = False  # torchinfo gives the whole tree the flag of its root when it is done
        self.returned = 0
        self._leaves, self._structure = tree_flatten((args, dict(kwargs)))

    def clone_inputs(self) -> tuple[torch.Tensor, ...]:
        """The tensors among the inputs, in order; clones, since a model may write into them."""
        return tuple(leaf.detach().clone() for leaf in self._leaves if isinstance(leaf, torch.Tensor))

    def list_tensors(self) -> list[torch.Tensor]:
        """Every tensor that the run starts from: parameters, buffers and inputs."""
        return [*self.parameters(), *self.buffers(), *(leaf for leaf in self._leaves if isinstance(leaf, torch.Tensor))]

    def is_on_meta(self) -> bool:
        """Whether any of these tensors is on the meta device."""
        return any(tensor.is_meta for tensor in self.list_tensors())

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The model's output: every tensor in it, as a flat tuple."""
        given = iter(tensors)
        leaves = [next(given) if isinstance(leaf, torch.Tensor) else leaf for leaf in self._leaves]
        args, kwargs = tree_unflatten(leaves, self._structure)
        outputs = tuple(iterate_tensors_in(self.model(*args, **kwargs)))
        self.returned = len(outputs)
        return outputs
