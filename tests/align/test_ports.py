"""One architecture as three libraries write it: other names and other nesting, matched block by block."""

from __future__ import annotations

import torch
from modeling import measure
from torch import nn
from torch.nn import functional

from archaudit.align import align

WIDTH, DEPTH = 16, 3


class FusedAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.q_norm = nn.Identity()
        self.proj = nn.Linear(WIDTH, WIDTH)
        self.proj_drop = nn.Dropout(0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.proj_drop(self.proj(functional.scaled_dot_product_attention(self.q_norm(q), k, v)))


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.act = nn.GELU()
        self.drop1 = nn.Dropout(0.0)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.drop1(self.act(self.fc1(x))))


class FusedBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attn = FusedAttention()
        self.ls1 = nn.Identity()
        self.drop_path1 = nn.Identity()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = Mlp()
        self.ls2 = nn.Identity()
        self.drop_path2 = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.drop_path1(self.ls1(self.attn(self.norm1(x))))
        return x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))


class Fused(nn.Module):
    """Query, key and value in one layer, and many layers that do nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, WIDTH)
        self.blocks = nn.Sequential(*(FusedBlock() for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.blocks(self.stem(x)))


class SeparateAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.o_proj(functional.scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x)))


class GELUActivation(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.gelu(x)


class FeedForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)
        self.activation_fn = GELUActivation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation_fn(self.fc1(x)))


class SeparateLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = SeparateAttention()
        self.feed_forward = FeedForward()
        self.layernorm_before = nn.LayerNorm(WIDTH)
        self.layernorm_after = nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.layernorm_before(x))
        return x + self.feed_forward(self.layernorm_after(x))


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Linear(4, WIDTH)
        self.layers = nn.ModuleList(SeparateLayer() for _ in range(DEPTH))
        self.layernorm = nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embeddings(x)
        for layer in self.layers:
            x = layer(x)
        return self.layernorm(x)


class Separate(nn.Module):
    """A layer for each, all inside another module."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Body()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class LibraryBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(WIDTH)
        self.self_attention = nn.MultiheadAttention(WIDTH, 1, batch_first=True)
        self.dropout = nn.Dropout(0.0)
        self.ln_2 = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(0.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.ln_1(x)
        x = x + self.dropout(self.self_attention(y, y, y, need_weights=False)[0])
        return x + self.mlp(self.ln_2(x))


class Library(nn.Module):
    """torch's own attention, which never calls its output projection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, WIDTH)
        self.layers = nn.Sequential(*(LibraryBlock() for _ in range(DEPTH)))
        self.ln = nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ln(self.layers(self.stem(x)))


FUSED = {
    "": "",
    "stem": "body.embeddings",
    "blocks": "body.layers",
    "norm": "body.layernorm",
    "blocks.{n}": "body.layers.{n}",
    "blocks.{n}.norm1": "body.layers.{n}.layernorm_before",
    "blocks.{n}.norm2": "body.layers.{n}.layernorm_after",
    "blocks.{n}.attn": "body.layers.{n}.attention",
    "blocks.{n}.attn.qkv": "body.layers.{n}.attention.q_proj",
    "blocks.{n}.attn.proj": "body.layers.{n}.attention.o_proj",
    "blocks.{n}.mlp": "body.layers.{n}.feed_forward",
    "blocks.{n}.mlp.fc1": "body.layers.{n}.feed_forward.fc1",
    "blocks.{n}.mlp.act": "body.layers.{n}.feed_forward.activation_fn",
    "blocks.{n}.mlp.fc2": "body.layers.{n}.feed_forward.fc2",
}
LIBRARY = {
    "stem": "stem",
    "layers": "blocks",
    "ln": "norm",
    "layers.{n}": "blocks.{n}",
    "layers.{n}.ln_1": "blocks.{n}.norm1",
    "layers.{n}.ln_2": "blocks.{n}.norm2",
    "layers.{n}.self_attention": "blocks.{n}.attn",
    "layers.{n}.self_attention.out_proj": "blocks.{n}.attn.proj",
    "layers.{n}.mlp": "blocks.{n}.mlp",
    "layers.{n}.mlp.0": "blocks.{n}.mlp.fc1",
    "layers.{n}.mlp.1": "blocks.{n}.mlp.act",
    "layers.{n}.mlp.2": "blocks.{n}.mlp.fc2",
}
LIBRARY_SEPARATE = {before: FUSED[after] for before, after in LIBRARY.items()}


def pair_up(before: type[nn.Module], after: type[nn.Module], shape: tuple[int, ...] = (2, 5, 4)) -> dict[str | None, str | None]:
    sides = measure(before, lambda: torch.randn(shape)), measure(after, lambda: torch.randn(shape))
    return {match.before_path: match.after_path for match in align(*sides)}


def spell_out(pairs: dict[str, str]) -> dict[str, str]:
    return {before.format(n=n): after.format(n=n) for n in range(DEPTH) for before, after in pairs.items()}


def check(before: type[nn.Module], after: type[nn.Module], pairs: dict[str, str]) -> None:
    expected = spell_out(pairs)
    found = pair_up(before, after)
    assert {path: found.get(path) for path in expected} == expected
    back = {one: other for other, one in pair_up(after, before).items()}
    assert {path: back.get(path) for path in expected} == expected


def test_fused_projections_against_separate_ones():
    check(Fused, Separate, FUSED)


def test_torch_attention_against_fused_projections():
    check(Library, Fused, LIBRARY)


def test_torch_attention_against_separate_projections():
    check(Library, Separate, LIBRARY_SEPARATE)


class NormAct(nn.BatchNorm2d):
    """A norm with an activation as a child."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.drop(super().forward(x)))


class Nested(nn.Module):
    """Blocks of containers of layers; the head a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*(nn.Sequential(self.make_layer(3 if n == 0 else 8), self.make_layer(8)) for n in range(DEPTH)))
        self.head = nn.Sequential(nn.Linear(8, 12), nn.ReLU())

    @staticmethod
    def make_layer(inputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


class FlatBlock(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, 8, 3, padding=1, bias=False)
        self.bn1 = NormAct(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn2 = NormAct(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn2(self.conv2(self.bn1(self.conv1(x))))


class Flat(nn.Module):
    """Blocks of layers; the head a convolution after the average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(FlatBlock(3 if n == 0 else 8) for n in range(DEPTH)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv_head = nn.Conv2d(8, 12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_head(self.pool(self.blocks(x))).relu().flatten(1)


def test_nested_containers_of_layers_against_flat_blocks():
    expected = spell_out(
        {
            "features.{n}": "blocks.{n}",
            "features.{n}.0.0": "blocks.{n}.conv1",
            "features.{n}.0.1": "blocks.{n}.bn1",
            "features.{n}.0.2": "blocks.{n}.bn1.act",
            "features.{n}.1.0": "blocks.{n}.conv2",
            "features.{n}.1.1": "blocks.{n}.bn2",
            "head.0": "conv_head",
        }
    )
    found = pair_up(Nested, Flat, (2, 3, 8, 8))
    assert {path: found.get(path) for path in expected} == expected
