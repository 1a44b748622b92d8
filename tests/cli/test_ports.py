"""One architecture as several libraries have it, or written anew: proven to be one, or told what differs.

    pytest -m zoo tests/cli/test_ports.py

What is expected follows from the libraries' sources: where a port sets another eps than its original, that is found.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.zoo

VIT_TINY = {"model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": 192, "num_attention_heads": 3}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "resnet": {"model_type": "resnet", "architectures": ["ResNetForImageClassification"], "num_labels": 1000},
    "swin": {"model_type": "swin", "architectures": ["SwinForImageClassification"], "num_labels": 1000},
    "convnext": {"model_type": "convnext", "architectures": ["ConvNextForImageClassification"], "num_labels": 1000},
    "vit": {**VIT_TINY, "intermediate_size": 768, "num_labels": 1000, "layer_norm_eps": 1e-6},
    "vit_other_eps": {**VIT_TINY, "intermediate_size": 768, "num_labels": 1000, "layer_norm_eps": 1e-12},
    "gpt2": {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_layer": 3,
        "n_embd": 48,
        "n_head": 4,
        "n_positions": 32,
        "vocab_size": 100,
        "use_cache": False,
    },
    "llama": {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": 100,
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "intermediate_size": 160,
        "use_cache": False,
    },
}
# Written from the papers and from what the configurations above say.
GPT = """
import torch
from torch import nn
from torch.nn import functional


class GPTBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm_1 = nn.LayerNorm(48)
        self.qkv = nn.Linear(48, 144)
        self.out = nn.Linear(48, 48)
        self.norm_2 = nn.LayerNorm(48)
        self.up = nn.Linear(48, 192)
        self.down = nn.Linear(192, 48)

    def forward(self, x):
        q, k, v = (each.unflatten(-1, (4, 12)).transpose(1, 2) for each in self.qkv(self.norm_1(x)).chunk(3, -1))
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(100, 48)
        self.positions = nn.Embedding(32, 48)
        self.blocks = nn.ModuleList(GPTBlock() for _ in range(3))
        self.norm = nn.LayerNorm(48)
        self.head = nn.Linear(48, 100, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, input_ids):
        x = self.tokens(input_ids) + self.positions(torch.arange(input_ids.shape[1], device=input_ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))
"""
LLAMA = """
import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.base = base
        self.wqkv = nn.Linear(64, 64 + 2 * 16, bias=False)
        self.wo = nn.Linear(64, 64, bias=False)

    def rotate(self, x):
        angles = torch.arange(x.shape[2], device=x.device)[:, None] * self.base ** -(torch.arange(0, 8, 2, device=x.device) / 8)
        cos, sin = (function(angles).repeat(1, 2).to(x.dtype) for function in (torch.cos, torch.sin))
        return x * cos + torch.cat([-x[..., 4:], x[..., :4]], -1) * sin

    def forward(self, x):
        q, k, v = (each.unflatten(-1, (-1, 8)).transpose(1, 2) for each in self.wqkv(x).split([64, 16, 16], -1))
        k, v = (each.repeat_interleave(4, 1) for each in (self.rotate(k), v))
        return self.wo(functional.scaled_dot_product_attention(self.rotate(q), k, v, is_causal=True).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.attention_norm = nn.RMSNorm(64, eps=1e-6)
        self.attention = Attention(base)
        self.ffn_norm = nn.RMSNorm(64, eps=1e-6)
        self.w1 = nn.Linear(64, 160, bias=False)
        self.w3 = nn.Linear(64, 160, bias=False)
        self.w2 = nn.Linear(160, 64, bias=False)

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        y = self.ffn_norm(x)
        return x + self.w2(functional.silu(self.w1(y)) * self.w3(y))


class Llama(nn.Module):
    def __init__(self, base=10000.0):
        super().__init__()
        self.tok_embeddings = nn.Embedding(100, 64)
        self.layers = nn.ModuleList(Block(base) for _ in range(3))
        self.norm = nn.RMSNorm(64, eps=1e-6)
        self.output = nn.Linear(64, 100, bias=False)

    def forward(self, input_ids):
        x = self.tok_embeddings(input_ids)
        for layer in self.layers:
            x = layer(x)
        return self.output(self.norm(x))
"""


@pytest.fixture
def prove(tmp_path, monkeypatch, archaudit):
    """Compares two references with `--equivalent`: the proof."""
    for package in ("timm", "transformers"):
        pytest.importorskip(package)
    for name, configuration in CONFIGURATIONS.items():
        (tmp_path / name).mkdir()
        Path(tmp_path, name, "config.json").write_text(json.dumps(configuration))
    (tmp_path / "own.py").write_text(GPT + LLAMA)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(before: str, after: str, given: str = "1x3x224x224") -> dict[str, Any]:
        """The proof; every key of before goes somewhere, and every key of after is filled."""
        options = ("--input", given, "--equivalent", "--no-other-counters", "--no-isolation", "--format", "json")
        result = archaudit("compare", before, after, *options)
        assert result.out, result.err
        report = json.loads(result.out)
        assert report["before"]["totals"]["params"] == report["after"]["totals"]["params"]
        keys = report["checkpoint"]
        assert not keys["missing"] + keys["reshaped"], keys
        # a table that timm's constructor makes, and no checkpoint of timm's keeps
        assert all(key.endswith("relative_position_index") for key in keys["unused"]), keys
        return report["equivalence"]

    return run


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("torchvision:resnet50", "timm:resnet50"),
        ("torchvision:resnet50", "transformers:resnet/config.json"),
        ("torchvision:densenet121", "timm:densenet121"),
        ("torchvision:mobilenet_v2", "timm:mobilenetv2_100"),
        ("torchvision:efficientnet_b0", "timm:efficientnet_b0"),
        ("torchvision:regnet_y_400mf", "timm:regnety_004"),
        ("torchvision:convnext_tiny", "timm:convnext_tiny"),
        ("torchvision:swin_t", "timm:swin_tiny_patch4_window7_224"),
        ("timm:swin_tiny_patch4_window7_224", "transformers:swin/config.json"),
        ("torchvision:vit_b_16", "timm:vit_base_patch16_224"),
        ("timm:vit_tiny_patch16_224", "transformers:vit/config.json"),
        ("transformers:vit/config.json", "timm:vit_tiny_patch16_224"),
    ],
)
def test_a_port_computes_the_same(prove, before, after):
    proof = prove(before, after)
    assert proof["outcome"] == "equivalent", proof["reason"]


@pytest.mark.parametrize(
    ("before", "after", "first"),
    [
        # eps 1e-3 in every norm of one, 1e-5 in the other's
        ("torchvision:mobilenet_v3_large", "timm:mobilenetv3_large_100", "bn1.act"),
        ("timm:vit_tiny_patch16_224", "transformers:vit_other_eps/config.json", "vit.layers.0.layernorm_before"),
    ],
)
def test_a_port_with_another_eps_is_different(prove, before, after, first):
    proof = prove(before, after)
    assert proof["outcome"] in ("different", "not comparable")
    assert 1e-9 < proof["max_difference"] < 1e-2
    assert proof["first_difference"]["after_path"] == first


def test_language_models_written_anew(prove):
    assert prove("transformers:gpt2/config.json", "own.py:GPT", "input_ids=int64[1,16]")["outcome"] == "equivalent"
    assert prove("transformers:llama/config.json", "own.py:Llama", "input_ids=int64[1,16]")["outcome"] == "equivalent"


def test_another_base_of_the_rotation_is_found(prove):
    proof = prove("transformers:llama/config.json", "own.py:Llama(base=500000.0)", "input_ids=int64[1,16]")
    assert proof["outcome"] != "equivalent"
    assert proof["first_difference"]["after_path"].startswith("layers.0.attention")
