"""The structure of models: nesting, names, parameters of containers, unregistered modules, inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, linear, param

DEPTH = 240
HOSTILE_NAMES = ("a.b", "a", "x|y", "<b>&amp;</b>", "line\nbreak", "über 模型 🧱", "", " ", "weight", "a/b", "{{ 7 }}", "__init__")


@dataclass
class Prediction:
    """The output of a model that returns its own class."""

    logits: torch.Tensor
    loss: torch.Tensor | None = None


def nest(depth: int) -> nn.Module:
    """A Linear inside `depth` Sequentials."""
    module: nn.Module = linear(8, 8)
    for _ in range(depth):
        module = nn.Sequential(module)
    return module


def _hostile() -> nn.Module:
    """Children under names that `add_module` refuses; some models set them through `_modules`."""
    model = Model(_run_children)
    for name in HOSTILE_NAMES:
        model._modules[name] = linear(8, 8)
    model._modules["a"] = Model(lambda m, x: m.b(x), b=linear(8, 8))  # whose path a.b is the first child's name
    return model


def _run_children(model: nn.Module, x: torch.Tensor) -> Any:
    for child in model._modules.values():
        x = child(x) if child is not None else x
    return x


def _hidden_in_list() -> nn.Module:
    model = Model(lambda m, x: m.hidden[0](m.seen(x)), seen=linear(8, 8))
    model.__dict__["hidden"] = [linear(8, 8)]
    return model


def _method_call() -> nn.Module:
    inner = Model(lambda m, x: m.layer(x), layer=linear(16, 16))
    inner.__dict__["encode"] = inner.run
    return Model(lambda m, x: m.inner.encode(m.inner, x), inner=inner)


def _containers() -> nn.Module:
    model = Model(
        lambda m, x: m.named["out"](sum(layer(x) for layer in m.listed)),
        listed=nn.ModuleList([linear(8, 8) for _ in range(3)]),
        named=nn.ModuleDict({"out": linear(8, 4), "spare": linear(8, 2)}),
    )
    model.register_module("absent", None)
    return model


def _tower(returned: Any) -> nn.Module:
    """A parent that returns what its child returns: a layer's output, wrapped by `returned`."""
    child = Model(lambda m, x: returned(m.layer(x)), layer=linear(8, 8))
    return Model(lambda m, x: m.child(x), child=child)


def _tower_case(name: str, shows: str, returned: Any) -> Case:
    return Case(
        name=name,
        shows=shows,
        build=lambda: _tower(returned),
        args=floats(1, 8),
        params=8 * 8,
        macs=8 * 8,
        modules={"": (0, 8 * 8), "child": (0, 8 * 8), "child.layer": (8 * 8, 8 * 8)},
        tags=("outputs",),
    )


def _gated(model: Any, x: torch.Tensor, *, gate: torch.Tensor, scale: float = 1.0, memory: Any = None) -> Any:
    return model.layer(x) * model.gate(gate) * scale


CASES = (
    Case(
        name="nested_240_deep",
        shows="A layer inside 240 containers: it runs, but a few extra stack frames for each level are too many.",
        build=lambda: nest(DEPTH),
        args=floats(1, 8),
        params=8 * 8,
        macs=8 * 8,
        modules={"": (0, 8 * 8), ".".join(["0"] * DEPTH): (8 * 8, 8 * 8)},
        tags=("nesting",),
    ),
    Case(
        name="hostile_names",
        shows="Children named with dots, pipes, markup, a newline, unicode, and nothing at all.",
        build=_hostile,
        args=floats(1, 8),
        params=len(HOSTILE_NAMES) * 8 * 8,
        macs=len(HOSTILE_NAMES) * 8 * 8,
        modules={"x|y": (8 * 8, 8 * 8), "line\nbreak": (8 * 8, 8 * 8), "a/b": (8 * 8, 8 * 8)},
        tags=("names",),
    ),
    Case(
        name="direct_parameter_and_child",
        shows="A parameter of a module that has children too.",
        build=lambda: Model(lambda m, x: m.conv(x) + m.offset.mean(), offset=param(1, 16, 8, 8), conv=nn.Conv2d(3, 6, 3)),
        args=floats(1, 3, 8, 8),
        params=16 * 8 * 8 + (6 * 3 * 9 + 6),
        macs=(6 * 6) * 6 * 3 * 9,
        by_convention=((6 * 6) * (6 * 3 * 9 + 6),),
        modules={"": (16 * 8 * 8, 6 * 6 * 6 * 3 * 9), "conv": (6 * 3 * 9 + 6, 6 * 6 * 6 * 3 * 9)},
        tags=("direct parameter", "bias"),  # torchinfo#54, #142
    ),
    Case(
        name="parameter_list",
        shows="Parameters in a ParameterList belong to it, the work to the module that uses them.",
        build=lambda: Model(_chain, weights=nn.ParameterList([param(8, 8), param(8, 8), param(4, 8)])),
        args=floats(3, 8),
        params=8 * 8 + 8 * 8 + 4 * 8,
        macs=3 * (8 * 8 + 8 * 8 + 4 * 8),
        modules={"": (0, 3 * (2 * 8 * 8 + 4 * 8)), "weights": (2 * 8 * 8 + 4 * 8, 0)},
        tags=("direct parameter", "functional"),  # torchinfo#137
    ),
    Case(
        name="parameter_dict",
        shows="Parameters in a ParameterDict.",
        build=lambda: Model(
            lambda m, x: F.linear(x, m.table["weight"], m.table["bias"]),
            table=nn.ParameterDict({"weight": param(4, 8), "bias": param(4)}),
        ),
        args=floats(3, 8),
        params=4 * 8 + 4,
        macs=3 * 4 * 8,
        by_convention=(3 * (4 * 8 + 4),),
        modules={"table": (4 * 8 + 4, 0)},
        tags=("direct parameter", "functional", "bias"),
    ),
    Case(
        name="containers_never_called",
        shows="A ModuleList and a ModuleDict are not called themselves; one entry is never called, one child is None.",
        build=_containers,
        args=floats(5, 8),
        params=3 * 8 * 8 + 8 * 4 + 8 * 2,
        macs=5 * (3 * 8 * 8 + 8 * 4),
        modules={"listed": (0, 5 * 3 * 8 * 8), "named": (0, 5 * 8 * 4), "named.spare": (8 * 2, 0)},
        tags=("containers", "uncalled"),
    ),
    Case(
        name="unused_submodule",
        shows="A module that never runs has parameters and no work.",
        build=lambda: Model(lambda m, x: m.used(x), used=nn.Linear(16, 16), unused=nn.Linear(16, 100)),
        args=floats(1, 16),
        params=(16 * 16 + 16) + (16 * 100 + 100),
        macs=16 * 16,
        by_convention=(16 * 16 + 16,),
        modules={"used": (16 * 16 + 16, 16 * 16), "unused": (16 * 100 + 100, 0)},
        tags=("uncalled", "bias"),
    ),
    Case(
        name="child_forward_called",
        shows="A child run through its forward method, without torch's call hooks.",
        build=lambda: Model(lambda m, x: m.layer.forward(x), layer=linear(16, 16)),
        args=floats(1, 16),
        params=16 * 16,
        macs=16 * 16,
        tags=("forward",),  # fvcore#71
    ),
    Case(
        name="child_method_called",
        shows="A child run through a method other than forward; its own children are called as usual.",
        build=_method_call,
        args=floats(1, 16),
        params=16 * 16,
        macs=16 * 16,
        modules={"inner.layer": (16 * 16, 16 * 16)},
        tags=("forward",),
    ),
    Case(
        name="hidden_in_a_list",
        shows="A layer in a plain Python list adds no parameters to the model, but its work counts.",
        build=_hidden_in_list,
        args=floats(1, 8),
        params=8 * 8,
        macs=2 * 8 * 8,
        modules={"": (0, 2 * 8 * 8), "seen": (8 * 8, 8 * 8)},
        tags=("unregistered",),
    ),
    Case(
        name="no_parameters",
        shows="A model without parameters that multiplies its two inputs.",
        build=lambda: Model(lambda m, x, y: x @ y),
        args=lambda: (torch.randn(3, 5), torch.randn(5, 4)),
        params=0,
        macs=3 * 5 * 4,
        tags=("matmul", "several inputs"),
    ),
    # --- inputs and outputs
    _tower_case("returns_tuple", "Outputs in a nested tuple.", lambda y: (y, (y.sum(), [y]))),
    _tower_case(
        "returns_dict", "Outputs in a dict, with an integer and a string among them.", lambda y: {"logits": y, "step": 3, "name": "x"}
    ),
    _tower_case("returns_dataclass", "Outputs in a dataclass that is not registered as a pytree.", Prediction),
    _tower_case("returns_none", "A module that returns nothing.", lambda y: None),
    _tower_case("returns_number", "A module that returns a Python number.", lambda y: float(y.shape[0])),
    Case(
        name="several_inputs",
        shows="Two positional inputs of different sizes.",
        build=lambda: Model(lambda m, x, y: m.left(x) + m.right(y), left=linear(6, 4), right=linear(10, 4)),
        args=lambda: (torch.randn(3, 6), torch.randn(3, 10)),
        params=6 * 4 + 10 * 4,
        macs=3 * (6 * 4 + 10 * 4),
        modules={"left": (6 * 4, 3 * 6 * 4), "right": (10 * 4, 3 * 10 * 4)},
        tags=("several inputs",),
    ),
    Case(
        name="keyword_inputs",
        shows="One positional input, a keyword-only tensor, a number and None.",
        build=lambda: Model(_gated, layer=linear(6, 4), gate=linear(5, 4)),
        args=lambda: (torch.randn(3, 6),),
        kwargs=lambda: {"gate": torch.randn(3, 5), "scale": 0.5, "memory": None},
        params=6 * 4 + 5 * 4,
        macs=3 * (6 * 4 + 5 * 4),
        tags=("keyword input",),  # mmaction2#2822
    ),
    Case(
        name="keyword_inputs_only",
        shows="All inputs by keyword, as for language models.",
        build=lambda: Model(lambda m, *, input_ids: m.head(m.table(input_ids)), table=nn.Embedding(50, 8), head=linear(8, 4)),
        kwargs=lambda: {"input_ids": torch.zeros(2, 6, dtype=torch.long)},
        params=50 * 8 + 8 * 4,
        macs=2 * 6 * 8 * 4,
        tags=("keyword input", "integer input", "embedding"),
    ),
    Case(
        name="nested_inputs",
        shows="Inputs in lists and dicts.",
        build=lambda: Model(lambda m, batch: [m.layer(x) for x in batch["pyramid"]], layer=linear(6, 4)),
        args=lambda: ({"pyramid": [torch.randn(8, 6), torch.randn(4, 6), torch.randn(2, 6)], "name": "p"},),
        params=6 * 4,
        macs=(8 + 4 + 2) * 6 * 4,
        modules={"layer": (6 * 4, (8 + 4 + 2) * 6 * 4)},
        tags=("nested input", "reused"),
    ),
    Case(
        name="integer_input",
        shows="Token ids in, class scores out.",
        build=lambda: nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), linear(6 * 8, 4)),
        args=lambda: (torch.zeros(2, 6, dtype=torch.int32),),
        params=50 * 8 + 6 * 8 * 4,
        macs=2 * (6 * 8) * 4,
        modules={"0": (50 * 8, 0), "2": (6 * 8 * 4, 2 * 6 * 8 * 4)},
        tags=("integer input", "embedding"),
    ),
    Case(
        name="boolean_mask_input",
        shows="A boolean mask as a second input; masking is no multiply-accumulate.",
        build=lambda: Model(lambda m, x, mask: m.layer(x).masked_fill(mask, 0.0), layer=linear(6, 4)),
        args=lambda: (torch.randn(3, 6), torch.zeros(3, 4, dtype=torch.bool)),
        params=6 * 4,
        macs=3 * 6 * 4,
        tags=("several inputs",),
    ),
)


def _chain(model: Any, x: torch.Tensor) -> torch.Tensor:
    for weight in model.weights:
        x = F.linear(x, weight)
    return x
