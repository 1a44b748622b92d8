"""The optimizer of a training step: a class of `torch.optim` by name, or any other class, with its arguments."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
from typing import Any

import torch
from torch import nn

from archaudit.errors import MeasureError, describe_error

# They run the model several times in a step, or need sparse gradients.
_NOT_ONE_STEP = {"lbfgs": "it runs the model several times in each step", "sparseadam": "it takes sparse gradients only"}
# On CUDA they update all parameters together by default (`_default_to_fused_or_foreach`), which needs more memory.
_TOGETHER_ON_CUDA = frozenset(
    ("adadelta", "adagrad", "adam", "adamax", "adamw", "asgd", "nadam", "radam", "rmsprop", "rprop", "sgd")
)  # fmt: skip


def list_optimizers() -> dict[str, type[torch.optim.Optimizer]]:
    """The optimizers of `torch.optim` that make one step from gradients, by their names in lower case."""
    classes = {name.lower(): value for name, value in vars(torch.optim).items() if inspect.isclass(value)}
    return {
        name: kind
        for name, kind in sorted(classes.items())
        if issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer and name not in _NOT_ONE_STEP
    }


def make_optimizers(text: str, model: nn.Module, device: str) -> list[torch.optim.Optimizer]:
    """The optimizer that `text` names (`adamw`, `sgd:momentum=0.9`, `package.module:Class`) for the parameters that require grad.

    Muon takes the matrices that are no embedding tables, and AdamW all other parameters, as its documentation says. Raises MeasureError,
    with what to do, for an unknown name or wrong arguments.
    """
    name, kind, arguments = _read(text)
    if device == "cuda" and name in _TOGETHER_ON_CUDA and not {"foreach", "fused"} & arguments.keys():
        arguments["foreach"] = True
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    others: list[nn.Parameter] = []
    if name == "muon":
        tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
        others = [parameter for parameter in parameters if parameter.dim() != 2 or id(parameter) in tables]
        excluded = set(map(id, others))
        parameters = [parameter for parameter in parameters if id(parameter) not in excluded]
    try:
        made = [kind(parameters, **arguments)] if parameters else []
    except Exception as error:
        hint = "Give its arguments after a colon: --optimizer sgd:momentum=0.9,nesterov=true."
        raise MeasureError(f"the optimizer {text} cannot be made: {describe_error(error)}", hint) from error
    return [*made, *(_make_others(others, device) if others else ())]


def _make_others(parameters: list[nn.Parameter], device: str) -> list[torch.optim.Optimizer]:
    """AdamW, for the parameters that Muon does not take."""
    return [torch.optim.AdamW(parameters, foreach=True if device == "cuda" else None)]


def _read(text: str) -> tuple[str, Any, dict[str, Any]]:
    known = list_optimizers()
    name, _, rest = text.partition(":")
    if name.lower() in known:
        return name.lower(), known[name.lower()], _read_arguments(text, rest)
    if name.lower() in _NOT_ONE_STEP:
        raise MeasureError(f"the step of {name} cannot be measured: {_NOT_ONE_STEP[name.lower()]}", _suggest(name, known))
    if "." in name or rest:
        class_name, _, arguments = rest.partition(":")
        try:
            kind = getattr(importlib.import_module(name), class_name)
        except (ImportError, AttributeError, ValueError) as error:
            raise MeasureError(f"the optimizer {text} is unknown: {describe_error(error)}", _suggest(name, known)) from error
        if not callable(kind):
            raise MeasureError(f"{name}:{class_name} is no optimizer", _suggest(name, known))
        return class_name, kind, _read_arguments(text, arguments)
    raise MeasureError(f"the optimizer {name!r} is unknown", _suggest(name, known))


def _suggest(name: str, known: dict[str, Any]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"{f'Did you mean {near[0]}? ' if near else ''}Known: {', '.join(known)}; or package.module:Class."


def _read_arguments(text: str, rest: str) -> dict[str, Any]:
    """`momentum=0.9,nesterov=true` as keyword arguments."""
    found: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, separator, value = part.partition("=")
        if not separator or not key.strip().isidentifier():
            raise MeasureError(f"the arguments of the optimizer {text} cannot be read", "Write name=value: sgd:momentum=0.9,nesterov=true.")
        try:
            found[key.strip()] = ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(value.lower(), value))
        except (ValueError, SyntaxError):
            found[key.strip()] = value
    return found


def list_states(optimizer: torch.optim.Optimizer) -> dict[torch.Tensor, list[torch.Tensor]]:
    """The tensors that the optimizer keeps for each parameter."""
    return {
        parameter: [value for value in state.values() if isinstance(value, torch.Tensor)]
        for parameter, state in optimizer.state.items()
        if isinstance(state, dict)
    }
