"""Networks with a planted fault: ten hosts, and twenty faults that are added to each at a place of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

IMAGE = (2, 3, 16, 16)
CHANNELS = 8


class Fault(NamedTuple):
    """A fault: the rule that finds it, and a module that keeps the shape `(batch, CHANNELS, height, width)` and has the fault."""

    code: str
    make: Callable[[], nn.Module]


class Function(nn.Module):
    """A function of the input, behind a convolution that makes its values."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.function = function

    def forward(self, x):
        return self.function(self.conv(x))


class Unread(nn.Module):
    """Holds a tensor or a module that forward does not use."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        if kind == "parameter":
            self.gamma = nn.Parameter(torch.ones(CHANNELS))
        elif kind == "buffer":
            self.register_buffer("table", torch.ones(CHANNELS))
        elif kind == "module":
            self.shortcut = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1), nn.BatchNorm2d(CHANNELS))

    def forward(self, x):
        return self.conv(x)


class Lost(nn.Module):
    """Computes a gate, or a branch, and forgets it."""

    def __init__(self, conv: bool) -> None:
        super().__init__()
        self.lost = nn.Conv2d(CHANNELS, CHANNELS, 3) if conv else nn.Sequential(nn.Flatten(2), nn.LazyLinear(4))

    def forward(self, x):
        self.lost(x)
        return x


class Argmax(nn.Module):
    """A choice of a table's row by argmax: its scores get no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.table = nn.Conv2d(CHANNELS, 4, 1), nn.Embedding(4, CHANNELS)

    def forward(self, x):
        return x + self.table(self.scores(x).argmax(1)).permute(0, 3, 1, 2)


class Twice(nn.Module):
    """Runs the same layer twice on the same values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, x):
        return self.conv(x) * torch.sigmoid(self.conv(x))


def conv(inputs: int = CHANNELS, outputs: int = CHANNELS, size: int = 3, **options: object) -> nn.Module:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, **options)


FAULTS = {
    "parameter": Fault("AR101", lambda: Unread("parameter")),
    "module": Fault("AR102", lambda: Unread("module")),
    "lost convolution": Fault("AR103", lambda: Lost(True)),
    "buffer": Fault("AR104", lambda: Unread("buffer")),
    "argmax": Fault("AR105", Argmax),
    "softmax of one": Fault("AR107", lambda: nn.Sequential(conv(outputs=1), nn.Softmax(1), conv(inputs=1))),
    "constant": Fault("AR108", lambda: Function(lambda x: functional.relu(-functional.softplus(x)))),
    "bias before batch norm": Fault("AR201", lambda: nn.Sequential(conv(), nn.BatchNorm2d(CHANNELS))),
    "bias before instance norm": Fault("AR201", lambda: nn.Sequential(conv(), nn.InstanceNorm2d(CHANNELS))),
    "bias before group norm": Fault("AR201", lambda: nn.Sequential(conv(), nn.GroupNorm(CHANNELS, CHANNELS))),
    "convolution and 1x1": Fault("AR202", lambda: nn.Sequential(conv(), conv(size=1))),
    "1x1 and convolution": Fault("AR202", lambda: nn.Sequential(conv(size=1, bias=False), conv())),
    "relu of relu": Fault("AR203", lambda: nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 1, 1), nn.ReLU())),
    "clamp of sigmoid": Fault("AR203", lambda: Function(lambda x: torch.sigmoid(x).clamp(0, 1))),
    "norm of norm": Fault("AR204", lambda: nn.Sequential(nn.BatchNorm2d(CHANNELS), nn.BatchNorm2d(CHANNELS))),
    "pool of one": Fault("AR205", lambda: nn.AvgPool2d(1)),
    "padding of nothing": Fault("AR205", lambda: nn.ZeroPad2d(0)),
    "scale": Fault("AR206", lambda: nn.Sequential(conv(), conv(size=1, groups=CHANNELS), nn.ReLU())),
    "twice": Fault("AR208", Twice),
    "factor of one": Fault("AR209", lambda: Function(lambda x: x * 1.0)),
}


class Block(nn.Module):
    """A residual block around a part."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part, self.norm = part, nn.BatchNorm2d(CHANNELS)

    def forward(self, x):
        return x + torch.tanh(self.norm(torch.sin(self.part(torch.sin(x)))))


class Host(nn.Module):
    """A stem, `depth` blocks, of which the one at `place` holds the fault, and a head; `style` says how the blocks are joined."""

    def __init__(self, fault: Fault | None, depth: int, place: int, style: str) -> None:
        super().__init__()
        parts = [fault.make() if fault is not None and number == place else conv(bias=False) for number in range(depth)]
        blocks = [Block(part) if style != "plain" else nn.Sequential(nn.Tanh(), part, nn.Tanh()) for part in parts]
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.blocks = nn.ModuleList(blocks) if style == "list" else nn.Sequential(*blocks)
        self.head = nn.Linear(CHANNELS, 5)
        self.style = style

    def forward(self, x):
        x = torch.tanh(self.stem(x))
        if self.style == "list":
            for block in self.blocks:
                x = block(x)
        else:
            x = self.blocks(x)
        return self.head(torch.tanh(x).mean((2, 3)))


HOSTS = [(depth, place, style) for style in ("plain", "residual", "list") for depth, place in ((1, 0), (3, 0), (3, 2))] + [(5, 3, "list")]
PLANTED = [(name, *host) for name in FAULTS for host in HOSTS]
