"""Edits of a residual stream of many blocks: each is one sentence, in terms of the block, and nothing downstream of it is another."""

from __future__ import annotations

import pytest
import torch
from forward_models import build
from modeling import measure

from archaudit.pipeline.profile_diff import compare_plain
from archaudit.render.view.sentences import list_forward_changes
from archaudit.schema import FlowDiff, Report

LAYERS = """
class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.proj((q @ k.transpose(-2, -1)).softmax(dim=-1) @ v)


class Adapter(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(8, 2), nn.Linear(2, 8)

    def forward(self, x):
        return self.up(F.relu(self.down(x)))
"""
BLOCKS = """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.attn, self.mlp = nn.LayerNorm(8), Attention(), nn.Linear(8, 8)
        {adapter}

    def forward(self, x):
        x = x + self.attn(self.norm(x))
        y = self.mlp(x)
        {tail}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.h, self.head = nn.ModuleList(Block() for _ in range(12)), nn.Linear(8, 3)

    def forward(self, x):
        for block in self.h:
            x = block(x)
        return self.head(x)
"""
LIST = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.layers = nn.ModuleList(nn.ModuleList([Attention(), nn.Linear(8, 8){adapter}]) for _ in range(12))

    def forward(self, x):
        x = self.emb(x)
        for layer in self.layers:
            for part in layer:
                x = x + part(x)
        return self.head(x)
"""


def compare(before: str, after: str) -> Report:
    sides = [measure(lambda source=source: build(source), torch.zeros(2, 4, 8)) for source in (LAYERS + before, LAYERS + after)]
    return compare_plain(*sides)


def flow_of(report: Report) -> FlowDiff:
    assert report.flow is not None
    return report.flow


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("return x + self.adapter(y)", []),  # between the two parts of the sum: the row of the adapter says so
        ("return x + y + self.adapter(x)", ["add(add, adapter) added"]),
        ("y = y + self.adapter(y)\n        return x + y", ["add(mlp, adapter) added"]),
        ("x = x + y\n        return x + self.adapter(x)", ["add(add, adapter) added"]),
    ],
)
def test_an_adapter_in_each_of_twelve_blocks_is_one_sentence(tail: str, expected: list[str]) -> None:
    before = BLOCKS.format(adapter="", tail="return x + y")
    report = compare(before, BLOCKS.format(adapter="self.adapter = Adapter()", tail=tail))
    assert flow_of(report).sentences == tuple(f"in each of 12 blocks: {text} (h.*)" for text in expected)
    assert list_forward_changes(report.modules) == [f"12 {text}" for text in expected]


def test_an_adapter_in_a_list_of_lists_is_one_sentence_and_no_step_has_many_feeders() -> None:
    """The model itself adds to the stream, 24 times before and 36 times after; the list of layers is one step with the sums in it."""
    report = compare(LIST.format(adapter=""), LIST.format(adapter=", Adapter()"))
    flow = flow_of(report)
    assert flow.sentences == ("in each of 12 blocks: add(add, layers.*.2) added",)
    assert list_forward_changes(report.modules) == ["12 add(add, layers.*.2) added"]
    assert [(edge.before, edge.after) for edge in flow.edges if edge.after == ("emb", "layers")] == [(("emb", "layers"),) * 2]
    assert all(part.change != "added" for part in flow.parts)


def test_two_lists_in_one_stream_are_two_steps() -> None:
    """What the model adds between the calls of two lists belongs to the list whose output it takes."""
    source = LIST.replace(
        "self.layers = nn.ModuleList(nn.ModuleList([Attention(), nn.Linear(8, 8){adapter}]) for _ in range(12))", "{lists}"
    )
    source = source.replace(
        "        for layer in self.layers:\n            for part in layer:\n                x = x + part(x)\n", "{loop}"
    )
    lists = "self.a, self.f = (nn.ModuleList(nn.Linear(8, 8) for _ in range(12)) for _ in range(2))"
    loop = "        for a, f in zip(self.a, self.f):\n            x = x + a(x)\n            x = x + {f}\n"
    before, after = (source.format(lists=lists, loop=loop.format(f=each)) for each in ("f(x)", "f(x).relu()"))
    report = compare(before, after)
    assert flow_of(report).sentences == ("in each of 12 blocks: relu(f.*) added",)
    assert [part.after for part in flow_of(report).parts if part.kind != "operator"] == ["input", "emb", "a", "f", "head", "output"]
    assert [part.after for part in flow_of(report).parts if part.kind == "operator"] == ["relu()", "add()"]  # of the last blocks


def test_a_module_in_place_of_an_operator_gives_no_module_another_input() -> None:
    """softmax as a function became a module: what comes after takes the same."""
    source = BLOCKS.format(adapter="", tail="return x + y")
    layers = LAYERS.replace("self.qkv, self.proj = nn", "self.attend, self.qkv, self.proj = nn.Softmax(dim=-1), nn")
    layers = layers.replace("(q @ k.transpose(-2, -1)).softmax(dim=-1)", "self.attend(q @ k.transpose(-2, -1))")
    sides = [measure(lambda text=text: build(text + source), torch.zeros(2, 4, 8)) for text in (LAYERS, layers)]
    report = compare_plain(*sides)
    assert not any("rewired" in row.changes for row in report.modules)
    assert flow_of(report).sentences == ("in each of 12 blocks: softmax → attend (h.*.attn)",)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("x[:, -1:]", "x[:, [-1]]", "slice(dim=1) → index[:, [-1]]"),
        ("self.a(x)", "self.a(x)[:, [0, 2]]", "a[:, [0, 2]] added"),
        ("self.a(x)", "self.a(x)[self.ids]", "a[ids] added"),
        ("q @ x.transpose(1, 2)", "torch.einsum('bid,bjd->bij', q, x)", "matmul → einsum(abc,adc->abd)"),
        ("q @ x.transpose(1, 2)", "torch.einsum('b j d, b i d -> b i j', x, q)", "matmul → einsum(abc,adc->adb)"),
    ],
)
def test_indices_and_einsums_are_written_as_in_the_source(old: str, new: str, expected: str) -> None:
    source = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 8)
        self.register_buffer("ids", torch.zeros(2, dtype=torch.long))

    def forward(self, x):
        q = self.a(x)
        y = q @ x.transpose(1, 2)
        return x[:, -1:], y
"""
    sides = [measure(lambda text=text: build(text), torch.zeros(2, 4, 8)) for text in (source, source.replace(old, new))]
    assert list_forward_changes(compare_plain(*sides).modules)[:1] == [expected]


def test_equal_operators_at_one_place_are_counted_and_a_module_that_is_called_more_often_is_one_sentence() -> None:
    source = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.up = nn.Linear(8, 8), nn.Upsample(scale_factor=1)

    def forward(self, x):
        y = self.a(x)
        return self.up(y)
"""
    more = source.replace("self.up(y)\n", "self.up(torch.cat([y, self.up(torch.cat([y, self.up(torch.cat([y, self.up(y)]))]))]))\n")
    sides = [measure(lambda text=text: build(text), torch.zeros(2, 4, 8)) for text in (source, more)]
    report = compare_plain(*sides)
    assert flow_of(report).sentences[:2] == ("cat added (3 times)", "up is called 4 times instead of 1")
    assert list_forward_changes(report.modules) == ["3 cat added"]
    assert [part.kind for part in flow_of(report).parts].count("operator") == 3  # each cat is a step, and `up` is another
