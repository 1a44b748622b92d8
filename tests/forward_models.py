"""Twenty small models as source text, with edits of their forward that change what it computes, and refactorings that do not.

An edit is `(old, new)`: a part of the source and what replaces it. No edit touches a module, so every one is visible in the forward alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

Edit = tuple[str, str]


class SmallModel(NamedTuple):
    """A model named `Net` in `source`, the shape of its input, edits that change it, and refactorings that do not."""

    source: str
    shape: tuple[int, ...]
    edits: tuple[Edit, ...]
    refactorings: tuple[Edit, ...]


def build(source: str) -> nn.Module:
    """The model of a source text."""
    names: dict[str, object] = {"torch": torch, "nn": nn, "F": F, "__name__": "small_model"}
    exec(source, names)
    kind = names["Net"]
    assert isinstance(kind, type)
    model = kind()
    assert isinstance(model, nn.Module)
    return model


def replace(source: str, edit: Edit) -> str:
    """The source after an edit, which must apply."""
    old, new = edit
    assert old in source, f"{old!r} is not in the source"
    return source.replace(old, new)


MODELS: dict[str, SmallModel] = {
    "mlp": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(12, 16), nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x):
        x = F.relu(self.one(x))
        x = F.dropout(F.relu(self.two(x)), 0.1, self.training)
        return F.log_softmax(self.head(x), dim=1)
""",
        (4, 12),
        (
            ("F.relu(self.one(x))", "F.gelu(self.one(x))"),
            ("0.1, self.training", "0.5, self.training"),
            ("log_softmax", "softmax"),
            ("dim=1", "dim=0"),
            ("F.dropout(F.relu(self.two(x)), 0.1, self.training)", "F.relu(self.two(x))"),
        ),
        (
            ("F.relu(self.one(x))", "torch.relu(self.one(x))"),
            ("dim=1", "dim=-1"),
            ("0.1, self.training", "p=0.1, training=self.training, inplace=False"),
        ),
    ),
    "residual": SmallModel(
        """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(x + y)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(Block() for _ in range(4))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))
""",
        (1, 3, 8, 8),
        (
            ("F.relu(x + y)", "F.relu(y)"),
            ("F.relu(x + y)", "x + y"),
            ("F.relu(x + y)", "x + F.relu(y)"),
            ("F.relu(x + y)", "F.relu(x - y)"),
            ("F.relu(x + y)", "F.relu(x + 0.5 * y)"),
            ("self.bn1(self.conv1(x))", "self.conv1(self.bn1(x))"),
            ("x.mean((2, 3))", "x.amax((2, 3))"),
            ("x = self.stem(x)", "x = self.stem(x).detach()"),
        ),
        (
            ("F.relu(x + y)", "torch.relu_(torch.add(y, x))"),
            ("x.mean((2, 3))", "torch.mean(x, dim=[-1, -2])"),
            (
                "        y = self.bn2(self.conv2(y))\n        return F.relu(x + y)",
                "        z = self.bn2(self.conv2(y))\n        z += x\n        return F.relu(z)",
            ),
        ),
    ),
    "attention": SmallModel(
        """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.proj = nn.Linear(16, 48), nn.Linear(16, 16)
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def attend(self, x):
        q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        weights = (q @ k.transpose(-2, -1) * 8**-0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(12, 16)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
""",
        (1, 10, 12),
        (
            ("8**-0.5", "0.5"),
            (".softmax(-1)", ".softmax(-2)"),
            ("q, k, v = (", "k, q, v = ("),
            ("q, k, v = (", "q, v, k = ("),
            ("weights @ v", "weights @ k"),
            ("(2, 8)", "(4, 4)"),
            ("F.gelu(", "F.silu("),
            ("F.gelu(self.up(self.norm2(x)))", "F.gelu(self.up(self.norm2(x)), approximate='tanh')"),
            ("x = x + self.attend(self.norm1(x))", "x = self.norm1(x + self.attend(x))"),
            ("return x + self.down(F.gelu(self.up(self.norm2(x))))", "return self.norm2(x + self.down(F.gelu(self.up(x))))"),
            ("self.norm2(x)", "x"),
            ("return self.norm(x)", "return x"),
        ),
        (
            (
                "q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))",
                "b, t, c = x.shape\n        q, k, v = (y.reshape(b, t, 2, 8).permute(0, 2, 1, 3) for y in self.qkv(x).split(c, dim=2))",
            ),
            ("q @ k.transpose(-2, -1)", "torch.matmul(q, k.mT)"),
            (".softmax(-1)", ".softmax(dim=3)"),
            (".transpose(1, 2).flatten(2))", ".permute(0, 2, 1, 3).contiguous().view(x.size(0), -1, 16))"),
            ("x = x + self.attend(self.norm1(x))", "y = self.norm1(x)\n        x = self.attend(y) + x"),
        ),
    ),
    "class_token": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.place = nn.Parameter(torch.zeros(1, 17, 16))
        self.mix, self.head = nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.size(0), -1, -1), x], dim=1)
        x = self.mix(x + self.place)
        return self.head(x[:, 0])
""",
        (2, 3, 16, 16),
        (
            ("x[:, 0]", "x[:, -1]"),
            ("x[:, 0]", "x.mean(1)"),
            ("x[:, 0]", "x[:, 1]"),
            ("[self.token.expand(x.size(0), -1, -1), x]", "[x, self.token.expand(x.size(0), -1, -1)]"),
            ("x + self.place", "x * self.place"),
            ("self.mix(x + self.place)", "self.mix(x) + self.place"),
        ),
        (
            ("self.patch(x).flatten(2).transpose(1, 2)", "self.patch(x).flatten(start_dim=2).permute(0, 2, 1)"),
            ("x[:, 0]", "x.select(1, 0)"),
            ("x + self.place", "self.place + x"),
        ),
    ),
    "unet": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.middle = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.up2, self.up1, self.head = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        one = F.relu(self.down1(x))
        two = F.relu(self.down2(F.max_pool2d(one, 2)))
        y = self.middle(F.max_pool2d(two, 2))
        y = self.up2(torch.cat([F.interpolate(y, scale_factor=2), two], 1))
        y = self.up1(torch.cat([F.interpolate(y, scale_factor=2), one], 1))
        return self.head(y)
""",
        (1, 3, 16, 16),
        (
            ("scale_factor=2", "scale_factor=2, mode='bilinear'"),
            ("F.max_pool2d(", "F.avg_pool2d("),
            ("scale_factor=2), one]", "scale_factor=2), F.relu(one)]"),
            ("[F.interpolate(y, scale_factor=2), two]", "[two, F.interpolate(y, scale_factor=2)]"),
            ("self.head(y)", "self.head(y).sigmoid()"),
            ("scale_factor=2), one]", "scale_factor=2), F.interpolate(two, scale_factor=2)]"),
        ),
        (
            ("scale_factor=2), two]", "size=two.shape[2:]), two]"),
            ("F.max_pool2d(one, 2)", "F.max_pool2d(one, kernel_size=2, stride=2)"),
            ("torch.cat([F.interpolate(y, scale_factor=2), one], 1)", "torch.cat((nn.functional.interpolate(y, None, 2.0), one), dim=-3)"),
        ),
    ),
    "squeeze": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.reduce, self.expand = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)

    def forward(self, x):
        x = self.conv(x)
        scale = x.mean((2, 3), keepdim=True)
        scale = torch.sigmoid(self.expand(F.relu(self.reduce(scale))))
        return x * scale
""",
        (1, 3, 8, 8),
        (
            ("torch.sigmoid(", "F.hardsigmoid("),
            ("x * scale", "x + scale"),
            ("x * scale", "x * scale + x"),
            ("x * scale", "x * (1 - scale)"),
            ("F.relu(self.reduce(scale))", "self.reduce(scale)"),
        ),
        (
            ("x * scale", "scale.mul(x)"),
            ("torch.sigmoid(self.expand(F.relu(self.reduce(scale))))", "self.expand(self.reduce(scale).relu()).sigmoid()"),
        ),
    ),
    "branches": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 5, padding=2)
        self.head = nn.Conv2d(12, 4, 1)

    def forward(self, x):
        a, b, c = self.a(x), self.b(x), self.c(F.max_pool2d(x, 3, 1, 1))
        return self.head(torch.cat([a, b, c], 1))
""",
        (1, 3, 8, 8),
        (
            ("[a, b, c]", "[a, c, b]"),
            ("F.max_pool2d(x, 3, 1, 1)", "F.max_pool2d(x, 5, 1, 2)"),
            ("F.max_pool2d(x, 3, 1, 1)", "x"),
            ("self.b(x)", "self.b(F.relu(x))"),
            ("[a, b, c]", "[a, b, b]"),
        ),
        (
            (
                "a, b, c = self.a(x), self.b(x), self.c(F.max_pool2d(x, 3, 1, 1))",
                "c = self.c(F.max_pool2d(x, 3, stride=1, padding=1))\n        b = self.b(x)\n        a = self.a(x)",
            ),
            ("torch.cat([a, b, c], 1)", "torch.concat((a, b, c), dim=1)"),
        ),
    ),
    "dense": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(4 * (i + 1), 4, 3, padding=1) for i in range(4))
        self.stem = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        found = [self.stem(x)]
        for layer in self.layers:
            found.append(F.relu(layer(torch.cat(found, 1))))
        return torch.cat(found, 1)
""",
        (1, 3, 8, 8),
        (
            ("F.relu(layer(torch.cat(found, 1)))", "F.elu(layer(torch.cat(found, 1)))"),
            ("torch.cat(found, 1))))", "torch.cat(found[::-1], 1))))"),
            ("return torch.cat(found, 1)", "return torch.cat(found[1:], 1)"),
            ("return torch.cat(found, 1)", "return found[-1]"),
        ),
        (
            ("found.append(F.relu(layer(torch.cat(found, 1))))", "found = [*found, torch.relu(layer(torch.cat(tuple(found), dim=1)))]"),
            ("return torch.cat(found, 1)", "return torch.cat(list(found), -3)"),
        ),
    ),
    "shuffle": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.right = nn.Conv2d(3, 8, 3), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        left, right = self.stem(x).chunk(2, 1)
        x = torch.cat([left, self.right(right)], 1)
        b, c, h, w = x.shape
        return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
""",
        (1, 3, 10, 10),
        (
            ("left, right = self", "right, left = self"),
            ("view(b, 2, c // 2, h, w)", "view(b, 4, c // 4, h, w)"),
            ("[left, self.right(right)]", "[self.right(right), left]"),
            (".transpose(1, 2)", ""),
        ),
        (
            ("self.stem(x).chunk(2, 1)", "torch.split(self.stem(x), 4, dim=1)"),
            ("x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)", "x.reshape(b, 2, -1, h, w).swapaxes(1, 2).flatten(1, 2)"),
        ),
    ),
    "inverted": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.expand, self.depth, self.project = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        y = F.relu6(self.expand(x))
        y = F.hardtanh(self.depth(y), 0.0, 6.0)
        return x + self.project(y)
""",
        (1, 4, 8, 8),
        (
            ("F.relu6(self.expand(x))", "F.hardswish(self.expand(x))"),
            ("0.0, 6.0", "0.0, 3.0"),
            ("return x + self.project(y)", "return self.project(y)"),
            ("F.hardtanh(self.depth(y), 0.0, 6.0)", "self.depth(y).clamp(max=6.0)"),
        ),
        (
            ("F.hardtanh(self.depth(y), 0.0, 6.0)", "F.relu6(self.depth(y))"),
            ("x + self.project(y)", "self.project(y).add_(x)"),
        ),
    ),
    "pyramid": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(11, 2, 1)

    def forward(self, x):
        found = [x]
        for size, layer in ((2, self.one), (4, self.two)):
            y = layer(F.adaptive_avg_pool2d(x, size))
            found.append(F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=False))
        return self.head(torch.cat(found, 1))
""",
        (1, 3, 16, 16),
        (
            ("(2, self.one)", "(1, self.one)"),
            ("(4, self.two)", "(8, self.two)"),
            ("adaptive_avg_pool2d", "adaptive_max_pool2d"),
            ("align_corners=False", "align_corners=True"),
        ),
        (
            ("x.shape[2:], mode", "size=(x.size(-2), x.size(-1)), mode"),
            ("F.adaptive_avg_pool2d(x, size)", "F.adaptive_avg_pool2d(x, (size, size))"),
        ),
    ),
    "features": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)
        self.l1, self.l2, self.out = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        c1 = self.c1(x)
        c2 = self.c2(c1)
        p2 = self.l2(c2)
        p1 = self.l1(c1) + F.interpolate(p2, scale_factor=2, mode="nearest")
        return self.out(p1), p2
""",
        (1, 3, 16, 16),
        (
            ("self.l1(c1) + F", "self.l1(c1) * F"),
            ("return self.out(p1), p2", "return p2, self.out(p1)"),
            ("return self.out(p1), p2", "return self.out(p1), c2"),
            ('mode="nearest"', 'mode="bicubic"'),
            ("self.out(p1)", "self.out(F.relu(p1))"),
        ),
        (
            (
                "        p2 = self.l2(c2)\n        p1 = self.l1(c1) + F",
                "        lateral = self.l1(c1)\n        p2 = self.l2(c2)\n        p1 = lateral + F",
            ),
            ("return self.out(p1), p2", "return [self.out(p1), p2]"),
        ),
    ),
    "recurrent": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        y, _ = self.rnn(x)
        return self.head(torch.tanh(y[:, -1]))
""",
        (2, 7, 6),
        (
            ("y[:, -1]", "y[:, 0]"),
            ("torch.tanh(y[:, -1])", "torch.tanh(y.amax(1))"),
            ("torch.tanh(y[:, -1])", "y[:, -1]"),
            ("self.rnn(x)", "self.rnn(x.flip(1))"),
        ),
        (
            ("y[:, -1]", "y[:, y.size(1) - 1, :]"),
            ("y, _ = self.rnn(x)", "y = self.rnn(x)[0]"),
        ),
    ),
    "windows": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.mix = nn.Linear(3, 8), nn.Linear(8, 8)

    def forward(self, x):
        x = self.embed(x)
        y = torch.roll(x, shifts=(-1, -1), dims=(1, 2))
        b, h, w, c = y.shape
        y = y.view(b, h // 2, 2, w // 2, 2, c).transpose(2, 3).reshape(-1, 4, c)
        y = self.mix(y).view(b, h // 2, w // 2, 2, 2, c).transpose(2, 3).reshape(b, h, w, c)
        return x + torch.roll(y, shifts=(1, 1), dims=(1, 2))
""",
        (1, 8, 8, 3),
        (
            ("shifts=(-1, -1)", "shifts=(-2, -2)"),
            ("shifts=(1, 1)", "shifts=(1, 0)"),
            ("x = self.embed(x)", "x = F.normalize(self.embed(x), dim=-1)"),
            ("return x + torch", "return torch"),
        ),
        (
            ("torch.roll(x, shifts=(-1, -1), dims=(1, 2))", "x.roll((-1, -1), (1, 2))"),
            ("b, h, w, c = y.shape", "b, h, w, c = (int(n) for n in y.size())"),
        ),
    ),
    "mixer": SmallModel(
        """
class Mix(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.channels = nn.Linear(9, 9), nn.Linear(6, 6)

    def forward(self, x):
        x = x + self.tokens(x.transpose(1, 2)).transpose(1, 2)
        return x + F.gelu(self.channels(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*(Mix() for _ in range(4)))

    def forward(self, x):
        return self.layers(x)
""",
        (1, 9, 6),
        (
            ("x + F.gelu(self.channels(x))", "x + F.mish(self.channels(x))"),
            ("x + F.gelu(self.channels(x))", "F.gelu(self.channels(x))"),
            ("x + F.gelu(self.channels(x))", "x + F.gelu(self.channels(x)) / 2"),
        ),
        (
            ("x.transpose(1, 2)).transpose(1, 2)", "x.mT).permute(0, 2, 1)"),
            ("return self.layers(x)", "for layer in self.layers:\n            x = layer(x)\n        return x"),
        ),
    ),
    "rotary": SmallModel(
        """
class Norm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.q, self.k = Norm(8), nn.Linear(8, 8), nn.Linear(8, 8)

    def turn(self, x):
        angle = torch.arange(x.size(1)).unsqueeze(1) * 10000.0 ** (-torch.arange(4) / 4)
        one, two = x[..., :4], x[..., 4:]
        return torch.cat([one * angle.cos() - two * angle.sin(), two * angle.cos() + one * angle.sin()], -1)

    def forward(self, x):
        x = self.norm(x)
        return self.turn(self.q(x)) @ self.turn(self.k(x)).transpose(1, 2)
""",
        (1, 6, 8),
        (
            ("1e-6", "1e-5"),
            ("x.pow(2)", "x.abs()"),
            ("10000.0", "500000.0"),
            ("one * angle.cos() - two * angle.sin()", "two * angle.sin() - one * angle.cos()"),
            ("self.weight * x *", "x *"),
            ("x[..., :4], x[..., 4:]", "x[..., ::2], x[..., 1::2]"),
            ("self.turn(self.q(x)) @ self.turn(self.k(x))", "self.q(x) @ self.turn(self.k(x))"),
        ),
        (
            ("x.pow(2)", "(x**2)"),
            ("one, two = x[..., :4], x[..., 4:]", "one, two = x.chunk(2, dim=-1)"),
            ("self.turn(self.q(x)) @ self.turn(self.k(x)).transpose(1, 2)", "torch.matmul(self.turn(self.q(x)), self.turn(self.k(x)).mT)"),
        ),
    ),
    "siamese": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower, self.head = nn.Linear(6, 8), nn.Linear(8, 1)

    def forward(self, x):
        one, two = self.tower(x[:, 0]), self.tower(x[:, 1])
        return self.head((one - two).abs())
""",
        (2, 2, 6),
        (
            ("(one - two).abs()", "(one - two).square()"),
            ("(one - two).abs()", "one - two"),
            ("one - two", "one + two"),
            ("self.tower(x[:, 1])", "self.tower(x[:, 0])"),
        ),
        (
            ("one, two = self.tower(x[:, 0]), self.tower(x[:, 1])", "one, two = (self.tower(each) for each in x.unbind(1))"),
            ("(one - two).abs()", "torch.abs(torch.sub(one, two))"),
        ),
    ),
    "generator": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.conv, self.out = nn.Linear(5, 32), nn.Conv2d(8, 12, 3, padding=1), nn.Conv2d(3, 3, 1)

    def forward(self, z):
        x = F.leaky_relu(self.fc(z), 0.2).view(-1, 8, 2, 2)
        x = F.pixel_shuffle(F.leaky_relu(self.conv(x), 0.2), 2)
        return torch.tanh(self.out(x))
""",
        (2, 5),
        (
            ("0.2)", "0.1)"),
            ("F.leaky_relu(self.conv(x), 0.2)", "F.relu(self.conv(x))"),
            ("torch.tanh(self.out(x))", "torch.sigmoid(self.out(x))"),
            ("torch.tanh(self.out(x))", "2 * torch.sigmoid(self.out(x)) - 1"),
        ),
        (
            (".view(-1, 8, 2, 2)", ".reshape(z.size(0), 8, 2, 2)"),
            ("F.leaky_relu(self.fc(z), 0.2)", "F.leaky_relu(self.fc(z), negative_slope=0.2, inplace=True)"),
        ),
    ),
    "split": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode, self.decode = nn.Linear(6, 8), nn.Linear(4, 6)

    def forward(self, x):
        mean, log_variance = self.encode(x).chunk(2, -1)
        z = mean + torch.exp(0.5 * log_variance)
        return self.decode(z), mean, log_variance
""",
        (2, 6),
        (
            ("mean, log_variance = self", "log_variance, mean = self"),
            ("0.5 * log_variance", "log_variance"),
            ("self.decode(z), mean, log_variance", "self.decode(z), log_variance, mean"),
            ("self.decode(z), mean", "self.decode(mean), mean"),
        ),
        (
            ("self.encode(x).chunk(2, -1)", "torch.tensor_split(self.encode(x), 2, dim=1)"),
            ("torch.exp(0.5 * log_variance)", "(log_variance * 0.5).exp()"),
        ),
    ),
    "graph": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(5, 8), nn.Linear(8, 3)
        self.register_buffer("edges", torch.ones(7, 7))

    def forward(self, x):
        edges = self.edges / self.edges.sum(1, keepdim=True)
        x = F.elu(edges @ self.one(x))
        return edges @ self.two(x)
""",
        (7, 5),
        (
            ("self.edges.sum(1, keepdim=True)", "self.edges.sum(0, keepdim=True)"),
            ("return edges @ self.two(x)", "return self.edges @ self.two(x)"),
            ("return edges @ self.two(x)", "return self.two(x)"),
            ("F.elu(edges @ self.one(x))", "F.elu(edges @ self.one(x), 0.5)"),
            ("F.elu(edges @ self.one(x))", "edges @ F.elu(self.one(x))"),
        ),
        (
            ("F.elu(edges @ self.one(x))", "F.elu(torch.matmul(edges, self.one(x)), alpha=1.0)"),
            ("self.edges / self.edges.sum(1, keepdim=True)", "torch.div(self.edges, self.edges.sum(dim=-1, keepdim=True))"),
        ),
    ),
    "causal": SmallModel(
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(4, 4, 3) for _ in range(3))

    def forward(self, x):
        for layer in self.layers:
            x = x + F.relu(layer(F.pad(x, (2, 0))))
        return x[..., -1]
""",
        (1, 4, 9),
        (
            ("F.pad(x, (2, 0))", "F.pad(x, (1, 1))"),
            ("F.pad(x, (2, 0))", "F.pad(x, (2, 0), value=1.0)"),
            ("F.pad(x, (2, 0))", "F.pad(x, (2, 0), mode='replicate')"),
            ("x[..., -1]", "x[..., -2]"),
            ("x = x + F.relu(", "x = F.relu("),
        ),
        (
            ("F.pad(x, (2, 0))", "F.pad(x, [2, 0], mode='constant', value=0.0)"),
            ("x = x + F.relu(layer(F.pad(x, (2, 0))))", "y = layer(F.pad(x, (2, 0)))\n            x = y.relu() + x"),
        ),
    ),
}
