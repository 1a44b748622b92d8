"""Mixtures of experts in the forms of libraries, and caches of keys and values: work that depends on routing or on what came before."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, linear, param

_TOKENS, _SIZE, _HIDDEN, _EXPERTS = 10, 8, 12, 4


def _top_two(model: Any, x: torch.Tensor) -> Any:
    """Each token goes to the best two of four experts, which write their weighted outputs back with index_add."""
    weights, chosen = model.router(x).softmax(-1).topk(2, dim=-1)
    output = torch.zeros_like(x)
    for number, expert in enumerate(model.experts):
        rows, place = torch.where(chosen == number)
        output.index_add_(0, rows, expert(x[rows]) * weights[rows, place][:, None])
    return output


def _all_experts(model: Any, x: torch.Tensor) -> Any:
    """Every expert on every token, weighted afterwards."""
    weights = model.router(x).softmax(-1)
    hidden = torch.einsum("ti,eih->eth", x, model.up).relu()
    return torch.einsum("te,eto->to", weights, torch.einsum("eth,eho->eto", hidden, model.down))


def _batched(model: Any, x: torch.Tensor) -> Any:
    """Every expert on every token, as one batched product."""
    stacked = x.expand(_EXPERTS, *x.shape)
    return torch.bmm(torch.bmm(stacked, model.up).relu(), model.down).sum(0)


def _capacity(model: Any, x: torch.Tensor) -> Any:
    """The Switch transformer's form: tokens are dispatched to 3 places of each expert by a product with a one-hot tensor."""
    dispatch = model.places  # tokens, experts, places
    inputs = torch.einsum("tec,ti->eci", dispatch, x)
    outputs = torch.bmm(torch.bmm(inputs, model.up).relu(), model.down)
    return torch.einsum("tec,eco->to", dispatch, outputs)


def _shared(model: Any, x: torch.Tensor) -> Any:
    return model.shared(x) + model.gate(x).sigmoid() * _batched(model, x)


def _gathered(model: Any, x: torch.Tensor, chosen: torch.Tensor) -> Any:
    """The weights of the chosen experts are gathered for each token."""
    return torch.bmm(x[:, None], model.up[chosen])[:, 0]


def _grouped(model: Any, x: torch.Tensor) -> Any:
    ends = torch.tensor([3, 3, 7, 10], dtype=torch.int32, device=x.device)
    return torch._grouped_mm(x, model.up, offs=ends)


def _attend(model: Any, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> Any:
    """One step of decoding: the keys and values of this token are added to those of earlier tokens."""
    keys = torch.cat([keys, model.key(x)], dim=1)
    values = torch.cat([values, model.value(x)], dim=1)
    return F.scaled_dot_product_attention(model.query(x), keys, values), keys, values


class Cache:
    """Keys and values of earlier tokens in an object of its own, as libraries have them."""

    def __init__(self, length: int) -> None:
        self.keys, self.values = torch.randn(2, length, 8), torch.randn(2, length, 8)


def _attend_with_cache(model: Any, x: torch.Tensor, cache: Cache) -> Any:
    output, cache.keys, cache.values = _attend(model, x, cache.keys, cache.values)
    return output


def _static_cache(model: Any, x: torch.Tensor) -> Any:
    """A cache of fixed length in buffers: the products run over all 16 places."""
    model.keys[:, 5:6] = model.key(x)
    model.values[:, 5:6] = model.value(x)
    return F.scaled_dot_product_attention(model.query(x), model.keys, model.values)


def _layers() -> dict[str, nn.Module]:
    return {"query": linear(8, 8), "key": linear(8, 8), "value": linear(8, 8)}


def _stack() -> dict[str, nn.Parameter]:
    return {"up": param(_EXPERTS, _SIZE, _HIDDEN), "down": param(_EXPERTS, _HIDDEN, _SIZE)}


_STACK_SIZE = 2 * _EXPERTS * _SIZE * _HIDDEN

CASES = (
    Case(
        name="expert_loop_top_two",
        shows="Experts in a loop: ten tokens go to two of four experts each, for any routing.",
        build=lambda: Model(
            _top_two, router=linear(8, 4), experts=nn.ModuleList([nn.Sequential(linear(8, 12), nn.ReLU(), linear(12, 8)) for _ in range(4)])
        ),
        args=floats(_TOKENS, _SIZE),
        params=8 * 4 + 4 * 2 * 8 * 12,
        macs=10 * 8 * 4 + 10 * 2 * 2 * 8 * 12,
        modules={"experts": (0, 10 * 2 * 2 * 8 * 12)},
        may_be_incomplete=True,
        needs_real=True,
        tags=("data dependent", "moe"),
    ),
    Case(
        name="all_experts_einsum",
        shows="Soft routing: every expert runs on every token, and einsum weights the results.",
        build=lambda: Model(_all_experts, router=linear(8, 4), **_stack()),
        args=floats(_TOKENS, _SIZE),
        params=8 * 4 + _STACK_SIZE,
        # the router, up, down, then the sum over four weighted experts
        macs=10 * 8 * 4 + 4 * 10 * 8 * 12 + 4 * 10 * 12 * 8 + 4 * 10 * 8,
        may_be_incomplete=True,
        tags=("moe", "einsum"),
    ),
    Case(
        name="experts_batched",
        shows="Experts as one batched product over all tokens.",
        build=lambda: Model(_batched, **_stack()),
        args=floats(_TOKENS, _SIZE),
        params=_STACK_SIZE,
        macs=4 * 10 * 2 * 8 * 12,
        tags=("moe",),
    ),
    Case(
        name="experts_with_capacity",
        shows="Experts of fixed capacity: dispatching and combining are products too.",
        build=lambda: Model(_capacity, places=torch.randn(10, 4, 3), **_stack()),
        args=floats(_TOKENS, _SIZE),
        params=_STACK_SIZE,
        macs=4 * 3 * 10 * 8 + 4 * 3 * 2 * 8 * 12 + 10 * (4 * 3) * 8,
        tags=("moe", "einsum"),
    ),
    Case(
        name="shared_expert",
        shows="An expert that every token passes, and a gate of one output.",
        build=lambda: Model(_shared, shared=linear(8, 8), gate=linear(8, 1), **_stack()),
        args=floats(_TOKENS, _SIZE),
        params=8 * 8 + 8 + _STACK_SIZE,
        macs=10 * 8 * 8 + 10 * 8 + 4 * 10 * 2 * 8 * 12,
        tags=("moe",),
    ),
    Case(
        name="experts_gathered",
        shows="The weights of one expert for each token are gathered; each token is multiplied with one matrix.",
        build=lambda: Model(_gathered, up=param(4, 8, 12)),
        args=lambda: (torch.randn(10, 8), torch.arange(10) % 4),
        params=4 * 8 * 12,
        macs=10 * 8 * 12,
        tags=("moe", "integer input"),
    ),
    Case(
        name="grouped_mm_float32",
        shows="A grouped product in float32, one group of which is empty.",
        build=lambda: Model(_grouped, up=param(4, 8, 12)),
        args=floats(_TOKENS, _SIZE),
        params=4 * 8 * 12,
        macs=10 * 8 * 12,
        needs_real=True,
        exists=lambda: hasattr(torch.nn.functional, "grouped_mm"),  # earlier releases have no kernel for float32
        tags=("moe",),
    ),
    Case(
        name="decode_step",
        shows="One token with 15 earlier ones in tensors among the inputs: it is multiplied with 16 keys and values.",
        build=lambda: Model(_attend, **_layers()),
        args=lambda: (torch.randn(2, 1, 8), torch.randn(2, 15, 8), torch.randn(2, 15, 8)),
        params=3 * 8 * 8,
        macs=2 * (3 * 8 * 8 + 2 * 16 * 8),
        tags=("attention", "cache"),
    ),
    Case(
        name="decode_step_with_object",
        shows="The same with the earlier keys and values in an object, into which forward writes.",
        build=lambda: Model(_attend_with_cache, **_layers()),
        args=lambda: (torch.randn(2, 1, 8), Cache(15)),
        params=3 * 8 * 8,
        macs=2 * (3 * 8 * 8 + 2 * 16 * 8),
        needs_real=True,
        tags=("attention", "cache"),
    ),
    Case(
        name="decode_step_static_cache",
        shows="A cache of fixed length in buffers costs its whole length.",
        build=lambda: Model(_static_cache, keys=torch.zeros(2, 16, 8), values=torch.zeros(2, 16, 8), **_layers()),
        args=floats(2, 1, 8),
        params=3 * 8 * 8,
        macs=2 * (3 * 8 * 8 + 2 * 16 * 8),
        tags=("attention", "cache"),
    ),
)
