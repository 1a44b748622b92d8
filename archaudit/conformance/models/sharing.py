"""Reused, tied and aliased modules: a parameter counts once, its work at each use."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, linear, param, tokens


def _aliased() -> nn.Module:
    shared = linear(16, 16)
    return Model(lambda m, x: m.second(m.first(x)), first=shared, second=shared)


def _tied_language_model() -> nn.Module:
    model = Model(lambda m, ids: m.lm_head(m.tok_emb(ids)), tok_emb=nn.Embedding(100, 16), lm_head=linear(16, 100))
    model.lm_head.weight = model.tok_emb.weight
    return model


def _autoencoder() -> nn.Module:
    return Model(lambda m, x: F.linear(m.encode(x), m.encode.weight.t()), encode=linear(16, 4))


def _weight_tied_bias_apart() -> nn.Module:
    model = Model(lambda m, x: m.second(m.first(x)), first=nn.Linear(16, 16), second=nn.Linear(16, 16))
    model.second.weight = model.first.weight
    return model


def _two_parents() -> nn.Module:
    shared = linear(8, 8)
    return nn.Sequential(nn.Sequential(shared, nn.ReLU()), nn.Sequential(shared, linear(8, 4)))


def _same_parameter_two_names() -> nn.Module:
    model = Model(lambda m, x: F.linear(F.linear(x, m.weight), m.alias), weight=param(16, 16))
    model.alias = model.weight
    return model


def _root_holds_childs_weight() -> nn.Module:
    model = Model(lambda m, x: F.linear(m.layer(x), m.kernel), layer=linear(16, 16))
    model.kernel = model.layer.weight
    return model


def _siamese(model: Any, left: torch.Tensor, right: torch.Tensor) -> Any:
    return model.tower(left) * model.tower(right)


CASES = (
    Case(
        name="called_twice",
        shows="A module called twice counts its parameters once and its work twice.",
        build=lambda: Model(lambda m, x: m.layer(m.layer(x)), layer=linear(16, 16)),
        args=floats(1, 16),
        params=16 * 16,
        macs=2 * 16 * 16,
        modules={"": (0, 2 * 16 * 16), "layer": (16 * 16, 2 * 16 * 16)},
        tags=("reused",),  # thop#98, ptflops#106
    ),
    Case(
        name="called_twice_other_sizes",
        shows="Each call is counted with its own input.",
        build=lambda: Model(_siamese, tower=linear(16, 8)),
        args=lambda: (torch.randn(1, 16), torch.randn(5, 16)),
        params=16 * 8,
        macs=(1 + 5) * 16 * 8,
        modules={"tower": (16 * 8, (1 + 5) * 16 * 8)},
        tags=("reused", "several inputs"),
    ),
    Case(
        name="aliased",
        shows="One module under two names is one module, called twice.",
        build=_aliased,
        args=floats(1, 16),
        params=16 * 16,
        macs=2 * 16 * 16,
        modules={"": (0, 2 * 16 * 16), "first": (16 * 16, 2 * 16 * 16)},
        tags=("aliased",),
    ),
    Case(
        name="shared_by_two_parents",
        shows="A module with two parents belongs to the first, and is counted once.",
        build=_two_parents,
        args=floats(3, 8),
        params=8 * 8 + 8 * 4,
        macs=3 * (8 * 8 + 8 * 8 + 8 * 4),
        tags=("aliased",),  # torchinfo#327
    ),
    Case(
        name="repeated_block",
        shows="One block registered four times in a container, as in cross-layer sharing.",
        build=lambda: nn.Sequential(*[nn.Sequential(linear(8, 8), nn.ReLU())] * 4),
        args=floats(3, 8),
        params=8 * 8,
        macs=4 * 3 * 8 * 8,
        modules={"": (0, 4 * 3 * 8 * 8), "0": (0, 4 * 3 * 8 * 8), "0.0": (8 * 8, 4 * 3 * 8 * 8)},
        tags=("aliased", "reused"),
    ),
    Case(
        name="tied_embedding",
        shows="A head tied to the embedding's table: one table, but the head's product is work.",
        build=_tied_language_model,
        args=tokens(),
        params=100 * 16,
        macs=10 * 16 * 100,
        modules={"": (0, 10 * 16 * 100), "tok_emb": (100 * 16, 0), "lm_head": (0, 10 * 16 * 100)},
        tags=("tied", "embedding", "integer input"),  # torchinfo#322, accelerate#3668
    ),
    Case(
        name="tied_transposed",
        shows="A decoder that uses the encoder's weight transposed.",
        build=_autoencoder,
        args=floats(3, 16),
        params=16 * 4,
        macs=3 * 16 * 4 + 3 * 4 * 16,
        modules={"": (0, 2 * 3 * 16 * 4), "encode": (16 * 4, 3 * 16 * 4)},
        tags=("tied", "functional"),
    ),
    Case(
        name="tied_weight_own_bias",
        shows="Two layers that share a weight, each with its own bias.",
        build=_weight_tied_bias_apart,
        args=floats(1, 16),
        params=16 * 16 + 2 * 16,
        macs=2 * 16 * 16,
        by_convention=(2 * (16 * 16 + 16),),
        modules={"first": (16 * 16 + 16, 16 * 16), "second": (16, 16 * 16)},
        tags=("tied", "bias"),
    ),
    Case(
        name="parameter_under_two_names",
        shows="One parameter under two names of the same module.",
        build=_same_parameter_two_names,
        args=floats(1, 16),
        params=16 * 16,
        macs=2 * 16 * 16,
        modules={"": (16 * 16, 2 * 16 * 16)},
        tags=("tied", "direct parameter"),
    ),
    Case(
        name="root_holds_childs_weight",
        shows="A parameter that the root and a child both hold belongs to the root, which comes first.",
        build=_root_holds_childs_weight,
        args=floats(1, 16),
        params=16 * 16,
        macs=2 * 16 * 16,
        modules={"": (16 * 16, 2 * 16 * 16), "layer": (0, 16 * 16)},
        tags=("tied", "direct parameter"),
    ),
)
