"""What goes into a model and what comes out: keywords, nested inputs, integers, outputs that are no tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models.assembly import Model, floats, linear
from archaudit.conformance.models.structure import Prediction


def _tower(returned: Any) -> nn.Module:
    """A child whose output is packed by `returned`, and a parent that picks the tensor out again."""
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
    _tower_case("returns_tuple", "Outputs in a tuple, one of them nested.", lambda y: (y, (y.sum(), [y]))),
    _tower_case(
        "returns_dict", "Outputs in a dict, with an integer and a string among them.", lambda y: {"logits": y, "step": 3, "name": "x"}
    ),
    _tower_case("returns_dataclass", "Outputs in a dataclass that torch does not know.", Prediction),
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
        shows="All inputs by keyword, as language models are called.",
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
        shows="A boolean mask beside the data; masking multiplies nothing.",
        build=lambda: Model(lambda m, x, mask: m.layer(x).masked_fill(mask, 0.0), layer=linear(6, 4)),
        args=lambda: (torch.randn(3, 6), torch.zeros(3, 4, dtype=torch.bool)),
        params=6 * 4,
        macs=3 * 6 * 4,
        tags=("several inputs",),
    ),
)
