"""Attention: fused, by hand, in torch's own layers with their fast paths; masked, grouped-query and cross-attention."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, linear, param


def _heads(x: torch.Tensor, count: int) -> torch.Tensor:
    return x.reshape(*x.shape[:-1], count, -1).transpose(1, 2)


def _sdpa(model: Any, x: torch.Tensor, *, causal: bool = False) -> Any:
    mixed = F.scaled_dot_product_attention(_heads(model.q(x), 2), _heads(model.k(x), 2), _heads(model.v(x), 2), is_causal=causal)
    return model.o(mixed.transpose(1, 2).flatten(2))


def _by_hand(model: Any, x: torch.Tensor) -> Any:
    q, k, v = (_heads(part, 2) for part in model.qkv(x).chunk(3, dim=-1))
    weights = (q @ k.transpose(-2, -1) / 8**0.5).softmax(-1)
    return model.o((weights @ v).transpose(1, 2).flatten(2))


def _grouped_query(model: Any, x: torch.Tensor) -> Any:
    q, k, v = _heads(model.q(x), 4), _heads(model.k(x), 2), _heads(model.v(x), 2)
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2).flatten(2)


def _class_token(model: Any, x: torch.Tensor) -> Any:
    token = model.token.expand(x.shape[0], -1, -1)
    return model.head(torch.cat([model.norm(token), x], dim=1))


def _sdpa_model(run: Any) -> nn.Module:
    return Model(run, q=linear(16, 16), k=linear(16, 16), v=linear(16, 16), o=linear(16, 16))


# Width 16, 10 tokens: four projections, then the scores and the weighted sum. Over all heads, each of the two costs tokens * tokens *
# width.
PROJECTIONS = 4 * 10 * 16 * 16
MIXING = 2 * 10 * 10 * 16
FEED_FORWARD = 2 * 10 * 16 * 32

CASES = (
    Case(
        name="mha_eval",
        shows="nn.MultiheadAttention in eval mode, where torch runs it as one fused operator.",
        build=lambda: Model(lambda m, x: m.mix(x, x, x)[0], mix=nn.MultiheadAttention(16, 2, bias=False, batch_first=True)),
        args=floats(1, 10, 16),
        params=4 * 16 * 16,
        macs=PROJECTIONS + MIXING,
        modules={"": (0, PROJECTIONS + MIXING), "mix": (3 * 16 * 16, PROJECTIONS + MIXING)},  # the parameters of out_proj are its own
        tags=("attention", "fast path"),  # ptflops#65, fvcore#153
    ),
    Case(
        name="mha_heads",
        shows="The number of heads does not change the count.",
        build=lambda: Model(lambda m, x: m.mix(x, x, x)[0], mix=nn.MultiheadAttention(16, 8, batch_first=True)),
        args=floats(1, 10, 16),
        params=4 * (16 * 16 + 16),
        macs=PROJECTIONS + MIXING,
        by_convention=(PROJECTIONS + MIXING + 4 * 10 * 16,),
        tags=("attention", "fast path", "bias"),
    ),
    Case(
        name="mha_cross_widths",
        shows="Attention to another sequence with its own length and widths.",
        build=lambda: Model(
            lambda m, x, k, v: m.mix(x, k, v, need_weights=False)[0], mix=nn.MultiheadAttention(16, 2, bias=False, kdim=12, vdim=8)
        ),
        args=lambda: (torch.randn(10, 1, 16), torch.randn(7, 1, 12), torch.randn(7, 1, 8)),
        params=16 * 16 + 16 * 12 + 16 * 8 + 16 * 16,
        macs=10 * 16 * 16 + 7 * 12 * 16 + 7 * 8 * 16 + 2 * 10 * 7 * 16 + 10 * 16 * 16,  # q, k, v, mixing, out
        tags=("attention",),
    ),
    Case(
        name="mha_causal_mask",
        shows="A mask hides scores, which are computed nevertheless.",
        build=lambda: Model(_masked_mha, mix=nn.MultiheadAttention(16, 2, bias=False, batch_first=True)),
        args=floats(1, 10, 16),
        params=4 * 16 * 16,
        macs=PROJECTIONS + MIXING,
        tags=("attention", "mask"),
    ),
    Case(
        name="sdpa",
        shows="F.scaled_dot_product_attention between four projections.",
        build=lambda: _sdpa_model(_sdpa),
        args=floats(1, 10, 16),
        params=4 * 16 * 16,
        macs=PROJECTIONS + MIXING,
        modules={"": (0, PROJECTIONS + MIXING), "q": (16 * 16, 10 * 16 * 16)},
        tags=("attention", "functional"),  # pytorch#195460
    ),
    Case(
        name="sdpa_causal",
        shows="Causal attention is not halved.",
        build=lambda: _sdpa_model(lambda m, x: _sdpa(m, x, causal=True)),
        args=floats(1, 10, 16),
        params=4 * 16 * 16,
        macs=PROJECTIONS + MIXING,
        tags=("attention", "functional", "mask"),
    ),
    Case(
        name="sdpa_grouped_query",
        shows="Four query heads share two key and value heads: smaller projections, the same attention.",
        build=lambda: Model(_grouped_query, q=linear(16, 16), k=linear(16, 8), v=linear(16, 8)),
        args=floats(1, 10, 16),
        params=16 * 16 + 2 * 16 * 8,
        macs=10 * (16 * 16 + 2 * 16 * 8) + 2 * 4 * 10 * 10 * 4,  # 4 heads of width 4
        tags=("attention", "functional"),
    ),
    Case(
        name="attention_by_hand",
        shows="Attention written with @ and softmax.",
        build=lambda: Model(_by_hand, qkv=linear(16, 48), o=linear(16, 16)),
        args=floats(1, 10, 16),
        params=16 * 48 + 16 * 16,
        macs=PROJECTIONS + MIXING,
        modules={"": (0, PROJECTIONS + MIXING), "qkv": (16 * 48, 3 * 10 * 16 * 16), "o": (16 * 16, 10 * 16 * 16)},
        tags=("attention", "matmul"),  # ptflops#77
    ),
    Case(
        name="encoder_layer",
        shows="nn.TransformerEncoderLayer in eval mode, without biases.",
        build=lambda: nn.Sequential(nn.TransformerEncoderLayer(16, 2, 32, bias=False, batch_first=True)),
        args=floats(1, 10, 16),
        params=4 * 16 * 16 + 2 * 16 * 32 + 2 * 16,
        macs=PROJECTIONS + MIXING + FEED_FORWARD,
        by_convention=(PROJECTIONS + MIXING + FEED_FORWARD + 2 * 5 * 10 * 16,),  # five terms an element for each norm
        tags=("attention", "fast path", "norm"),  # torchinfo#213
    ),
    Case(
        name="encoder_layer_fused",
        shows="The default encoder layer, which torch runs in eval mode as a single operator.",
        build=lambda: nn.Sequential(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)),
        args=floats(1, 10, 16),
        params=4 * (16 * 16 + 16) + (16 * 32 + 32) + (32 * 16 + 16) + 2 * (2 * 16),
        macs=PROJECTIONS + MIXING + FEED_FORWARD,
        by_convention=(
            PROJECTIONS + MIXING + FEED_FORWARD + 2 * 5 * 10 * 16,
            PROJECTIONS + MIXING + FEED_FORWARD + 4 * 10 * 16 + 10 * 32 + 10 * 16,  # the biases
        ),
        tags=("attention", "fast path", "norm", "bias"),
    ),
    Case(
        name="encoder_stack",
        shows="nn.TransformerEncoder copies its layer: two layers, twice the parameters and the work.",
        build=lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 2, 32, bias=False, batch_first=True), 2, enable_nested_tensor=False
        ),
        args=floats(1, 10, 16),
        params=2 * (4 * 16 * 16 + 2 * 16 * 32 + 2 * 16),
        macs=2 * (PROJECTIONS + MIXING + FEED_FORWARD),
        by_convention=(2 * (PROJECTIONS + MIXING + FEED_FORWARD + 2 * 5 * 10 * 16),),
        tags=("attention", "fast path", "norm"),
    ),
    Case(
        name="decoder_layer",
        shows="A decoder layer attends to itself and to a memory of another length.",
        build=lambda: Model(lambda m, x, memory: m.layer(x, memory), layer=nn.TransformerDecoderLayer(16, 2, 32, bias=False)),
        args=lambda: (torch.randn(10, 1, 16), torch.randn(6, 1, 16)),
        params=2 * 4 * 16 * 16 + 2 * 16 * 32 + 3 * 16,
        macs=(PROJECTIONS + MIXING) + (2 * 10 * 16 * 16 + 2 * 6 * 16 * 16 + 2 * 10 * 6 * 16) + FEED_FORWARD,
        by_convention=((PROJECTIONS + MIXING) + (2 * 10 * 16 * 16 + 2 * 6 * 16 * 16 + 2 * 10 * 6 * 16) + FEED_FORWARD + 3 * 5 * 10 * 16,),
        tags=("attention", "norm"),
    ),
    Case(
        name="class_token_expanded",
        shows="A parameter of the model, expanded and passed to a submodule.",
        build=lambda: Model(_class_token, token=param(1, 1, 16), norm=nn.LayerNorm(16), head=linear(16, 8)),
        args=floats(3, 4, 16),
        params=16 + 2 * 16 + 16 * 8,
        macs=3 * (1 + 4) * 16 * 8,  # the token is a fifth row
        by_convention=(3 * 5 * 16 * 8 + 5 * 3 * 16,),
        modules={"": (16, 3 * 5 * 16 * 8), "norm": (2 * 16, 0), "head": (16 * 8, 3 * 5 * 16 * 8)},
        tags=("attention", "direct parameter"),
    ),
)


def _masked_mha(model: Any, x: torch.Tensor) -> Any:
    mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device)
    return model.mix(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)[0]
