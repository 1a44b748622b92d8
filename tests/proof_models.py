"""Thirty small models whose operators' constants are changed to measure the power of a proof by random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional


class Subject(NamedTuple):
    """A model under its name, and the texts of its inputs."""

    name: str
    build: Callable[[], nn.Module]
    inputs: tuple[str, ...]


class Function(nn.Module):
    """Layers, and a function of them and the input."""

    def __init__(self, forward: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self._function = forward

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self._function(self, *inputs)


def _attend(net: Any, x: torch.Tensor) -> torch.Tensor:
    q, k, v = (each.unflatten(-1, (4, 4)).transpose(1, 2) for each in net.qkv(net.norm(x)).chunk(3, -1))
    scores = (q @ k.transpose(-2, -1)) * 0.5
    mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
    return x + 0.5 * net.out((weights @ v).transpose(1, 2).flatten(2))


def _scale_cosine(net: Any, x: torch.Tensor) -> torch.Tensor:
    q, k, v = net.qkv(x).chunk(3, -1)
    q, k = functional.normalize(q, dim=-1, eps=1e-6), functional.normalize(k, dim=-1, eps=1e-6)
    return (q @ k.transpose(-2, -1) * net.scale.weight.exp().clamp(max=100.0).mean()).softmax(-1) @ v


def _cap(net: Any, x: torch.Tensor) -> torch.Tensor:
    x = net.a(x)
    return 30.0 * torch.tanh(net.b(functional.rms_norm(x, (8,), eps=1e-6)) / 30.0) + x.clamp(-3.0, 3.0)


def _rotate(net: Any, x: torch.Tensor) -> torch.Tensor:
    angles = torch.arange(6.0)[:, None] * 10000.0 ** (-torch.arange(0, 8, 2) / 8)
    cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
    q = net.q(x)
    return q * cos + torch.cat([-q[..., 4:], q[..., :4]], -1) * sin


def _grow(net: Any, x: torch.Tensor) -> torch.Tensor:
    x = functional.elu(net.a(x), alpha=0.7)
    x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    x = functional.pad(x, (1, 1, 1, 1), value=0.25)
    return functional.avg_pool2d(functional.hardswish(net.b(x)), 3, 1, 1, count_include_pad=False)


def _list_written() -> list[Subject]:
    linear, conv = nn.Linear, nn.Conv2d
    return [
        Subject("attention", lambda: Function(_attend, norm=nn.LayerNorm(16), qkv=linear(16, 48), out=linear(16, 16)), ("2x5x16",)),
        Subject("cosine", lambda: Function(_scale_cosine, qkv=linear(8, 24), scale=nn.Embedding(2, 2)), ("2x5x8",)),
        Subject("capped", lambda: Function(_cap, a=linear(8, 8), b=linear(8, 8)), ("4x8",)),
        Subject("rotary", lambda: Function(_rotate, q=linear(8, 8)), ("2x6x8",)),
        Subject("resizing", lambda: Function(_grow, a=conv(3, 6, 3), b=conv(6, 4, 3)), ("1x3x12x12",)),
        Subject(
            "norms",
            lambda: nn.Sequential(
                conv(3, 8, 3),
                nn.GroupNorm(2, 8, eps=1e-6),
                nn.LeakyReLU(0.1),
                conv(8, 8, 3),
                nn.InstanceNorm2d(8, affine=True),
                nn.Softplus(),
            ),
            ("1x3x12x12",),
        ),
        Subject(
            "deep norms",
            lambda: nn.Sequential(*[layer for _ in range(6) for layer in (linear(8, 8), nn.LayerNorm(8, eps=1e-12), nn.GELU("tanh"))]),
            ("4x8",),
        ),
        Subject(
            "batch norms",
            lambda: nn.Sequential(
                *[layer for width in (3, 8, 8) for layer in (conv(width, 8, 3, padding=1), nn.BatchNorm2d(8, eps=1e-3), nn.ReLU6())]
            ),
            ("1x3x12x12",),
        ),
        Subject("bounded", lambda: nn.Sequential(linear(8, 8), nn.Hardtanh(-2.0, 5.0), linear(8, 8), nn.Threshold(0.1, -0.2)), ("4x8",)),
        Subject(
            "shrinking", lambda: nn.Sequential(linear(8, 8), nn.Hardshrink(0.3), linear(8, 8), nn.Softshrink(0.2), nn.CELU(0.5)), ("4x8",)
        ),
        Subject("pooling", lambda: nn.Sequential(conv(3, 6, 3), nn.LPPool2d(2, 2), nn.LocalResponseNorm(3), nn.PReLU()), ("1x3x12x12",)),
    ]


# --- torchvision and transformers ---


def _vision(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import torchvision

        return torchvision.models.get_model(name, weights=None, num_classes=10)

    return build


_SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}
_LANGUAGE: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"pad_token_id": 1},
    "llama": {"num_key_value_heads": 1},
    "mistral": {"num_key_value_heads": 1},
    "qwen3": {"num_key_value_heads": 1, "head_dim": 8},
    "gemma2": {"num_key_value_heads": 1, "head_dim": 8},
    "gpt_neox": {},
    "phi": {},
    "olmo2": {},
    "electra": {"embedding_size": 16},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
    "opt": {"ffn_dim": 32, "word_embed_proj_dim": 16},
}


def _language(kind: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from transformers import AutoConfig, AutoModel

        torch.manual_seed(0)
        settings = {"use_cache": False, "attn_implementation": "eager"}
        return AutoModel.from_config(AutoConfig.for_model(kind, **{**_SMALL, **_LANGUAGE[kind]}, **settings))

    return build


_VISION = ("resnet18", "mobilenet_v2", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5", "regnet_y_400mf")

SUBJECTS = [
    *_list_written(),
    *(Subject(name, _vision(name), ("1x3x32x32",)) for name in _VISION),
    *(Subject(kind, _language(kind), ("input_ids=int64[2,6]",)) for kind in _LANGUAGE),
]
