"""Changes inside of forward, and of how weights are stored: what the screen says, whole. The expected texts are the golden files.

Twelve attention blocks, one convolution block, a layer with its weight as (inputs, outputs), and attention with joined projections.
"""

from __future__ import annotations

import pytest

BLOCKS = """
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, act, fused):
        super().__init__()
        self.qkv, self.proj, self.up, self.down = nn.Linear(64, 192), nn.Linear(64, 64), nn.Linear(64, 256), nn.Linear(256, 64)
        self._act, self._fused = act, fused

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (4, 16)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        if self._fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = (q @ k.transpose(-2, -1) * 16**-0.5).softmax(-1) @ v
        x = x + self.proj(y.transpose(1, 2).flatten(2))
        h = self.up(x)
        return x + self.down(F.relu(h) if self._act == "relu" else F.gelu(h))


class Net(nn.Module):
    def __init__(self, act="relu", fused=False):
        super().__init__()
        self.blocks = nn.ModuleList(Block(act, fused) for _ in range(12))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x
"""

CONVOLUTIONS = """
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, act=F.relu, join="add", scale=None, norm=False, pool=F.max_pool2d):
        super().__init__()
        self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self._how = act, join, scale, norm, pool

    def forward(self, x):
        act, join, scale, norm, pool = self._how
        y = self.b(act(self.a(x)))
        y = y * scale if scale else y
        y = F.normalize(y, dim=1) if norm else y
        x = {"add": lambda: x + y, "mul": lambda: x * y, "swapped": lambda: y - x, "sub": lambda: x - y, "none": lambda: y}[join]()
        return pool(x, 2)


class Net(nn.Module):
    def __init__(self, **how):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.block = Block(**how)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        return self.head(self.block(self.stem(x)))


def base(): return Net()
def gelu(): return Net(act=F.gelu)
def tanh_gelu(): return Net(act=lambda v: F.gelu(v, approximate="tanh"))
def multiplied(): return Net(join="mul")
def without_skip(): return Net(join="none")
def scaled(): return Net(scale=0.5)
def normalized(): return Net(norm=True)
def averaged(): return Net(pool=F.avg_pool2d)
def subtracted(): return Net(join="sub")
def swapped(): return Net(join="swapped")
"""

STORED = """
import torch
from torch import nn


class Conv1D(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * 0.02)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias


class Net(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.fc, self.out, self.proj = layer(64, 256), layer(256, 64), layer(64, 64)
        self.act = nn.GELU()

    def forward(self, x):
        return self.proj(self.out(self.act(self.fc(x))))


def inputs_first(): return Net(Conv1D)
def outputs_first(): return Net(nn.Linear)


def attend(q, k, v):
    b, t, c = q.shape
    q, k, v = (each.view(b, t, 4, -1).transpose(1, 2) for each in (q, k, v))
    a = (q @ k.transpose(-2, -1) * 16**-0.5).softmax(-1)
    return (a @ v).transpose(1, 2).reshape(b, t, c)


class Apart(nn.Module):
    def __init__(self):
        super().__init__()
        self.key, self.query, self.value, self.proj = (nn.Linear(64, 64) for _ in range(4))

    def forward(self, x):
        return self.proj(attend(self.query(x), self.key(x), self.value(x)))


class Joined(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.c_attn, self.c_proj = layer(64, 192), layer(64, 64)

    def forward(self, x):
        return self.c_proj(attend(*self.c_attn(x).split(64, dim=2)))


class Text(nn.Module):
    def __init__(self, attn, table):
        super().__init__()
        self.tok = nn.Embedding(100, 64)
        if table:
            self.wpe = nn.Embedding(32, 64)
        else:
            self.pos = nn.Parameter(torch.randn(1, 32, 64))
        self.attn = attn

    def forward(self, ids):
        pos = self.wpe(torch.arange(ids.shape[1], device=ids.device)) if hasattr(self, "wpe") else self.pos[:, : ids.shape[1]]
        return self.attn(self.tok(ids) + pos)


def apart(): return Text(Apart(), table=False)
def joined(): return Text(Joined(Conv1D), table=False)
def joined_with_table(): return Text(Joined(Conv1D), table=True)
def joined_linear(): return Text(Joined(nn.Linear), table=False)
"""

IMAGE, TOKENS, WORDS = "1x3x16x16", "1x10x64", "ids=int64[1,16]"
CASES = {
    "relu-gelu-in-12-blocks": (BLOCKS, "Net", 'Net(act="gelu")', TOKENS, ()),
    "softmax-fused-in-12-blocks": (BLOCKS, "Net", "Net(fused=True)", TOKENS, ()),
    **{
        f"forward-{name}": (CONVOLUTIONS, "base", name, IMAGE, ())
        for name in ("gelu", "multiplied", "without_skip", "scaled", "normalized", "averaged", "subtracted")
    },
    "forward-other-gelu": (CONVOLUTIONS, "gelu", "tanh_gelu", IMAGE, ()),
    "forward-operand-order": (CONVOLUTIONS, "subtracted", "swapped", IMAGE, ()),
    "weights-transposed": (STORED, "inputs_first", "outputs_first", "1x5x64", ("--equivalent",)),
    "weights-joined": (STORED, "apart", "joined_linear", WORDS, ("--equivalent",)),
    "weights-joined-transposed": (STORED, "apart", "joined", WORDS, ("--equivalent",)),
    "weights-in-a-table": (STORED, "apart", "joined_with_table", WORDS, ("--equivalent",)),
}


@pytest.mark.parametrize("name", CASES)
def test_what_changed_in_forward_or_in_the_weights_is_on_the_screen(name, archaudit, match_golden, tmp_path, monkeypatch):
    text, before, after, given, options = CASES[name]
    (tmp_path / "net.py").write_text(text)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    result = archaudit(
        "compare", f"net.py:{before}", f"net.py:{after}", "--input", given, "--no-isolation", "--no-other-counters", *options
    )
    match_golden(f"change-{name}.txt", f"exit status {result.status}\n{result.out}")
