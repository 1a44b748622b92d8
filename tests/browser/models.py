"""Two models for pages: a transformer of 3,000 modules in which a few blocks change, and a detector that shrinks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (project(x).unflatten(-1, (4, -1)).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj))
        return self.o_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, width: int, hidden: int, gated: bool) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        self.gate = nn.Linear(width, hidden) if gated else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.act(self.up(x))
        return self.down(hidden if self.gate is None else hidden * self.gate(x))


class Block(nn.Module):
    def __init__(self, width: int, hidden: int, gated: bool) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width)
        self.norm2, self.mlp = nn.LayerNorm(width), MLP(width, hidden, gated)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Deep(nn.Module):
    """250 blocks of 12 modules; `changed` widens blocks 117 and 118, gates block 140, and gives the head more classes."""

    def __init__(self, changed: bool = False, depth: int = 250, width: int = 64) -> None:
        super().__init__()
        self.embed = nn.Embedding(1_000, width)
        wide = (117, 118) if changed else ()
        self.blocks = nn.ModuleList(Block(width, 384 if place in wide else 256, changed and place == 140) for place in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1_200 if changed else 1_000)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Bottleneck(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce, self.conv, self.expand = (nn.Conv2d(width, width, size, padding=size // 2) for size in (1, 3, 1))
        self.norm, self.act = nn.BatchNorm2d(width), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.act(self.norm(self.expand(self.conv(self.reduce(x)))))


class Backbone(nn.Module):
    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        before = (3, *widths[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(one, other, 3, 2, 1), *(Bottleneck(other) for _ in range(depth)))
            for one, other, depth in zip(before, widths, depths, strict=True)
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1:]


class Pyramid(nn.Module):
    def __init__(self, widths: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in widths)

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        found = [project(each) for project, each in zip(self.lateral, maps, strict=True)]
        for place in range(len(found) - 1, 0, -1):
            found[place - 1] = found[place - 1] + F.interpolate(found[place], scale_factor=2.0)
        return [smooth(each) for smooth, each in zip(self.smooth, found, strict=True)]


class Tower(nn.Sequential):
    def __init__(self, channels: int, outputs: int, separable: bool) -> None:
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Conv2d(channels, channels, 3, padding=1, groups=channels if separable else 1)]
            layers += [nn.Conv2d(channels, channels, 1)] if separable else []
            layers += [nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(channels, outputs, 3, padding=1))


class Detector(nn.Module):
    """A backbone, a pyramid and two heads; `small` is narrower, less deep, and has separable heads."""

    def __init__(self, small: bool = False) -> None:
        super().__init__()
        widths = (48, 96, 192, 384) if small else (64, 128, 256, 512)
        self.backbone = Backbone(widths, (2, 3, 4, 2) if small else (3, 4, 6, 3))
        channels = 128 if small else 192
        self.fpn = Pyramid(widths[1:], channels)
        self.classes, self.boxes = Tower(channels, 91, small), Tower(channels, 4, small)

    def forward(self, images: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        maps = self.fpn(self.backbone(images))
        return {"classes": [self.classes(each) for each in maps], "boxes": [self.boxes(each) for each in maps]}
