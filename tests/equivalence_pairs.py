"""Pairs of models of which half compute the same and half do not, by construction: real, complex and integer ones.

Each family has a model with random constants, ways to write the same function with the same weights, and changes of the function.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

HEAD = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"
CONV1D = """

class Rows(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias
"""


class Pair(NamedTuple):
    """Two texts of a model, their input, and whether they are the same function."""

    name: str
    before: str
    after: str
    given: str
    equal: bool


class Family(NamedTuple):
    """A model as (setup, forward), the same function written otherwise, and other functions."""

    given: str
    before: tuple[str, str]
    equal: list[tuple[str, str]]
    changed: list[tuple[str, str]]


def write(setup: str, forward: str) -> str:
    lines = "\n        ".join(setup.split("\n"))
    constructor = f"    def __init__(self):\n        super().__init__()\n        {lines}\n"
    return f"{HEAD}{CONV1D}\n\nclass Net(nn.Module):\n{constructor}\n    def forward(self, x):\n        return {forward}\n"


def make_mlp(rng: random.Random) -> Family:
    width, factor = rng.choice([6, 8]), rng.choice([0.5, 1.5, 3.0])
    act, other = rng.sample(["relu", "gelu", "silu", "tanh", "softplus"], 2)
    setup = f"self.a = nn.Linear(8, {width})\nself.b = nn.Linear({width}, 8)"
    renamed = setup.replace("self.a", "self.first").replace("self.b", "self.second")
    swapped = "\n".join(reversed(renamed.split("\n")))
    return Family(
        "4x8",
        (setup, f"x + {factor} * self.b(F.{act}(self.a(x)))"),
        [
            (setup, f"self.b(F.{act}(self.a(x))) * {factor} + x"),
            (renamed, f"x + {factor} * self.second(F.{act}(self.first(x)))"),
            (swapped, f"x + {factor} * self.second(F.{act}(self.first(x)))"),
            (setup, f"x + {factor} * F.linear(F.{act}(F.linear(x, self.a.weight, self.a.bias)), self.b.weight, self.b.bias)"),
        ],
        [
            (setup, f"x + {factor} * self.b(F.{other}(self.a(x)))"),
            (setup, f"x + {2 * factor} * self.b(F.{act}(self.a(x)))"),
            (setup, f"{factor} * self.b(F.{act}(self.a(x)))"),
            (renamed, f"x - {factor} * self.second(F.{act}(self.first(x)))"),
        ],
    )


def make_attention(rng: random.Random) -> Family:
    bias = rng.choice(["", ", bias=False"])
    setup = f"self.q, self.k, self.v = (nn.Linear(8, 8{bias}) for _ in range(3))\nself.o = nn.Linear(8, 8)"
    joined = f"self.qkv = nn.Linear(8, 24{bias})\nself.o = nn.Linear(8, 8)"
    rows = "self.qkv = Rows(8, 24)\nself.o = Rows(8, 8)"
    scale = 8**-0.5
    spelled = f"self.o(((self.q(x) @ self.k(x).mT) * {scale!r}).softmax(-1) @ self.v(x))"
    order = ", ".join(f"self.qkv(x).chunk(3, -1)[{place}]" for place in rng.sample(range(3), 3))
    equal = [(setup, spelled), (joined, f"self.o(F.scaled_dot_product_attention({order}))")]
    if not bias:
        equal.append((rows, "self.o(F.scaled_dot_product_attention(*self.qkv(x).chunk(3, -1)))"))
    return Family(
        "2x5x8",
        (setup, "self.o(F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x)))"),
        equal,
        [
            (setup, "self.o(F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), is_causal=True))"),
            (setup, spelled.replace(repr(scale), "0.25")),
            (setup, spelled.replace("softmax(-1)", "softmax(-2)")),
            (joined, "self.o(F.scaled_dot_product_attention(*self.qkv(x).chunk(3, -1), is_causal=True))"),
            (setup, "self.o(F.scaled_dot_product_attention(self.k(x), self.q(x), self.v(x)))"),
        ],
    )


def make_convolution(rng: random.Random) -> Family:
    eps = rng.choice([1e-5, 1e-3])
    setup = f"self.c = nn.Conv2d(3, 6, 3, bias=False)\nself.n = nn.BatchNorm2d(6, eps={eps})\nself.h = nn.Conv2d(6, 4, 1)"
    folded = "self.c = nn.Conv2d(3, 6, 3)\nself.h = nn.Conv2d(6, 4, 1)"
    linear = setup.replace("self.h = nn.Conv2d(6, 4, 1)", "self.h = nn.Linear(6, 4)")
    forward = "self.h(self.n(self.c(x)).relu())"
    return Family(
        "1x3x8x8",
        (setup, forward),
        [
            (folded, "self.h(self.c(x).relu())"),
            (linear, "self.h(self.n(self.c(x)).relu().permute(0, 2, 3, 1)).permute(0, 3, 1, 2)"),
            (setup, "self.h(F.relu(self.n(self.c(x))))"),
        ],
        [
            (setup.replace(f"eps={eps}", f"eps={10 * eps}"), forward),
            (setup, forward.replace(".relu()", ".sigmoid()")),
            (folded, "self.h(self.c(x).tanh())"),
            (setup, "self.h(self.n(self.c(x.flip(-1))).relu())"),
        ],
    )


def make_stem(rng: random.Random) -> Family:
    setup = "self.s = nn.Conv2d(12, 8, 3, padding=1)\nself.h = nn.Conv2d(8, 4, 1)"
    six = "self.s = nn.Conv2d(3, 8, 6, 2, 2)\nself.h = nn.Conv2d(8, 4, 1)"
    first, second = rng.choice([("::2, 1::2", "1::2, ::2"), ("1::2, ::2", "::2, 1::2")])
    pixels = f"torch.cat([x[..., ::2, ::2], x[..., {first}], x[..., {second}], x[..., 1::2, 1::2]], 1)"
    return Family(
        "1x3x8x8",
        (setup, f"self.h(F.silu(self.s({pixels})))"),
        [(six, "self.h(F.silu(self.s(x)))")],
        [
            (six, "self.h(F.gelu(self.s(x)))"),
            (six.replace("6, 2, 2", "6, 2, 2, padding_mode='circular'").replace("8, 6", "8, 6"), "self.h(F.silu(self.s(x)))"),
        ],
    )


def make_norm(rng: random.Random) -> Family:
    eps = rng.choice([1e-12, 1e-6, 1e-5])
    kind = rng.choice(["LayerNorm", "RMSNorm"])
    setup = f"self.a = nn.Linear(8, 8)\nself.n = nn.{kind}(8, eps={eps})\nself.b = nn.Linear(8, 8)"
    if kind == "RMSNorm":
        spelled = f"self.b((lambda y: y * (y.pow(2).mean(-1, keepdim=True) + {eps}).rsqrt() * self.n.weight)(self.a(x)))"
    else:
        centered, scale = "(y - y.mean(-1, keepdim=True))", f"(y.var(-1, keepdim=True, correction=0) + {eps}).rsqrt()"
        spelled = f"self.b((lambda y: {centered} * {scale} * self.n.weight + self.n.bias)(self.a(x)))"
    return Family(
        "4x8",
        (setup, "self.b(self.n(self.a(x)))"),
        [(setup, spelled), (setup, "self.b(self.n(self.a(x) + 0))")],
        [
            (setup.replace(f"eps={eps}", f"eps={3 * eps}"), "self.b(self.n(self.a(x)))"),
            (setup, spelled.replace(f"+ {eps})", f"+ {2 * eps})")),
            (setup, "self.b(self.a(self.n(x)))"),
        ],
    )


def make_adapter(rng: random.Random) -> Family:
    factor = rng.choice([1.0, 2.0, 0.5])
    setup = "self.base = nn.Linear(8, 6)\nself.a = nn.Linear(8, 2, bias=False)\nself.b = nn.Linear(2, 6, bias=False)"
    forward = f"self.base(x) + {factor} * self.b(self.a(x))"
    merged = "self.base = nn.Linear(8, 6)"
    return Family("4x8", (setup, forward), [(merged, "self.base(x)")], [(merged, "self.base(x).tanh()"), (setup, f"{forward} * 2")])


def make_tied(rng: random.Random) -> Family:
    scale = rng.choice([1.0, 0.5])
    setup = "self.t = nn.Embedding(12, 8)\nself.l = nn.Linear(8, 8)\nself.h = nn.Linear(8, 12, bias=False)\nself.h.weight = self.t.weight"
    bare = setup.split("\nself.h =")[0]
    forward = f"self.h(self.l(self.t(x)) * {scale})"
    return Family(
        "x=int64[2,5]",
        (setup, forward),
        [(bare, f"self.l(self.t(x)) * {scale} @ self.t.weight.t()"), (setup.rpartition("\n")[0], forward)],
        [(bare, f"self.l(self.t(x)).relu() * {scale} @ self.t.weight.t()"), (setup, f"self.h(self.l(self.t(x)) * {3 * scale})")],
    )


def make_complex(rng: random.Random) -> Family:
    turn, size = rng.choice([0.3, 1.2]), rng.choice([0.5, 2.0])
    setup = "self.w = nn.Parameter(torch.randn(8, 8, dtype=torch.complex64))"
    forward = f"(x @ self.w) * {size} * torch.exp(torch.tensor({turn}j))"
    return Family(
        "x=complex64[3,8]",
        (setup, forward),
        [
            (setup, f"torch.exp(torch.tensor({turn}j)) * (x @ ({size} * self.w))"),
            (setup, f"((x.conj() @ self.w.conj()).conj()) * {size} * torch.exp(torch.tensor({turn}j))"),
        ],
        [
            (setup, forward.replace(f"{turn}j", f"-{turn}j")),
            (setup, forward.replace("self.w)", "self.w.conj())")),
            (setup, f"({forward}).conj()"),
        ],
    )


def make_integer(rng: random.Random) -> Family:
    one, other = rng.sample(range(2, 12), 2)
    return Family(
        "x=int64[3,8]",
        ("pass", f"x * {one} + {other}"),
        [("pass", f"{other} + {one} * x"), ("pass", f"(x * {one}) - (-{other})"), ("pass", f"x * {one - 1} + x + {other}")],
        [("pass", f"x * {one} - {other}"), ("pass", f"x * {other} + {one}"), ("pass", f"(x * {one} + {other}) % 1000")],
    )


def make_square(rng: random.Random) -> Family:
    act, other = rng.sample(["tanh", "sigmoid", "relu"], 2)
    setup = "self.a = nn.Linear(8, 8)\nself.b = nn.Linear(8, 8)\nself.c = nn.Linear(8, 8)"
    rows = setup.replace("nn.Linear", "Rows")
    forward = f"self.c(self.b(self.a(x).{act}()).{act}())"
    names = setup.replace("self.a", "self.z").replace("self.b", "self.y").replace("self.c", "self.w")
    shuffled = "\n".join(rng.sample(names.split("\n"), 3))
    renamed = f"self.w(self.y(self.z(x).{act}()).{act}())"
    return Family(
        "4x8",
        (setup, forward),
        [(rows, forward), (names, renamed), (shuffled, renamed)],
        [
            (rows, forward.replace(act, other)),
            (setup, forward.replace(f".{act}())", f".{other}())", 1)),
            (names, renamed.replace(act, other)),
        ],
    )


FAMILIES: list[Callable[[random.Random], Family]] = [
    make_mlp, make_attention, make_convolution, make_stem, make_norm, make_adapter, make_tied, make_complex, make_integer, make_square,
]  # fmt: skip


def draw_pairs(count: int, seed: int = 0) -> list[Pair]:
    """So many pairs, of each family in turn; half of them equal. Sides are sometimes exchanged, where that stays true."""
    rng = random.Random(seed)
    pairs = []
    for number in range(count):
        make = FAMILIES[number // 2 % len(FAMILIES)]
        family = make(rng)
        equal = number % 2 == 0
        other = rng.choice(family.equal if equal else family.changed)
        sides = [write(*family.before), write(*other)]
        if rng.random() < 0.3 and make not in (make_adapter, make_convolution):  # an adapter or a norm cannot be unfolded
            sides.reverse()
        pairs.append(Pair(f"{number} {make.__name__[5:]}", sides[0], sides[1], family.given, equal))
    return pairs
