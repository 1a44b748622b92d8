"""Weights of one model loaded into another way of writing it: joined, split, transposed or folded, and proven by running both."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from modeling import measure
from torch import nn
from torch.nn import functional

from archaudit.align import align
from archaudit.diff.checkpoint.weight_sources import WeightMap, map_weights
from archaudit.measure.weight_copying import copy_weights

WIDTH, HEADS = 8, 2


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int = HEADS, kv_heads: int = HEADS) -> torch.Tensor:
    q = q.unflatten(-1, (heads, -1)).transpose(1, 2)
    k, v = (each.unflatten(-1, (kv_heads, -1)).transpose(1, 2).repeat_interleave(heads // kv_heads, 1) for each in (k, v))
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Separate(nn.Module):
    """Query, key and value by layers of their own; fewer heads for the last two where `narrow`."""

    def __init__(self, *, narrow: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.kv_heads = 1 if narrow else HEADS
        self.q_proj = nn.Linear(WIDTH, WIDTH, bias)
        self.k_proj = nn.Linear(WIDTH, WIDTH * self.kv_heads // HEADS, bias)
        self.v_proj = nn.Linear(WIDTH, WIDTH * self.kv_heads // HEADS, bias)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), kv_heads=self.kv_heads))


class Fused(nn.Module):
    """One layer for all three, whose rows are those of `order`; or interleaved by heads."""

    def __init__(self, order: str = "qkv", *, narrow: bool = False, by_heads: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.order, self.by_heads, self.kv_heads = order, by_heads, 1 if narrow else HEADS
        part = WIDTH * self.kv_heads // HEADS
        self.sizes = [WIDTH if each == "q" else part for each in order]
        self.qkv = nn.Linear(WIDTH, sum(self.sizes), bias)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.qkv(x)
        if self.by_heads:
            found = {name: part.flatten(2) for name, part in zip("qkv", rows.unflatten(-1, (HEADS, 3, -1)).unbind(-2), strict=True)}
        else:
            found = dict(zip(self.order, rows.split(self.sizes, -1), strict=True))
        return self.proj(attend(found["q"], found["k"], found["v"], kv_heads=self.kv_heads))


class Library(nn.Module):
    """torch's own attention, which holds the three in a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attn(x, x, x, need_weights=False)[0]


class Holder(nn.Module):
    """Another attention under the same name."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attn = attention

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attn(x)


class Normed(nn.Module):
    """A convolution and its norm."""

    def __init__(self, *, bias: bool = False, affine: bool = True, transposed: bool = False) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(3, 4, 3, bias=bias) if transposed else nn.Conv2d(3, 4, 3, bias=bias)
        self.norm = nn.BatchNorm2d(4, eps=1e-3, affine=affine)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)).relu()


class Folded(nn.Module):
    """The convolution alone, or with something that does nothing where the norm was."""

    def __init__(self, *, identity: bool = False, transposed: bool = False) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(3, 4, 3) if transposed else nn.Conv2d(3, 4, 3)
        self.norm = nn.Identity() if identity else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return (x if self.norm is None else self.norm(x)).relu()


class Conv1D(nn.Module):
    """A linear layer with its weight the other way round."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias


class One(nn.Module):
    """One layer; `channels` first where it is a convolution."""

    def __init__(self, layer: nn.Module, *, channels: bool = False) -> None:
        super().__init__()
        self.layer = layer
        self.channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.transpose(1, 2)[..., None])[..., 0].transpose(1, 2) if self.channels else self.layer(x)


def find(before: nn.Module, after: nn.Module, *shape: int) -> list[WeightMap]:
    profiles = [measure(partial(copy.deepcopy, model), lambda: torch.randn(shape or (2, 5, WIDTH))) for model in (before, after)]
    return list(map_weights(*profiles, align(*profiles)))


def list_same(before: nn.Module, after: nn.Module, *shape: int) -> list[bool]:
    """For each map of weights, whether both models have equal outputs."""
    torch.manual_seed(0)
    found = find(before, after, *shape)
    models = [copy.deepcopy(model).eval().double() for model in (before, after)]
    for tensor in models[0].state_dict().values():
        if tensor.is_floating_point():  # a norm as it was built would do nothing
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    x = torch.randn(*(shape or (2, 5, WIDTH)), dtype=torch.float64)
    same = []
    with torch.no_grad():
        for weight_map in found:
            assert weight_map.new == weight_map.mismatched == ()
            copy_weights(models[1].state_dict(), models[0].state_dict(), weight_map.sources)
            same.append(torch.allclose(models[0](x), models[1](x), rtol=1e-10, atol=1e-12))
    return same


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Separate(), Fused()),
        (Fused(), Separate()),
        (Separate(bias=False), Fused(bias=False)),
        (Separate(narrow=True), Fused(narrow=True)),
        (Fused(narrow=True), Separate(narrow=True)),
        (Library(), Holder(Fused())),
        (Library(), Holder(Separate())),
        (Holder(Fused()), Library()),
        (Holder(Separate()), Library()),
    ],
    ids=lambda model: type(model.attn if isinstance(model, Holder) else model).__name__.lower(),
)
def test_projections_are_joined_and_divided_in_their_order(before, after):
    assert list_same(before, after)[0]


@pytest.mark.parametrize("order", ["kqv", "vqk", "vkq"])
def test_another_order_of_rows_is_found(order):
    same = list_same(Separate(), Fused(order))
    assert sum(same) == 1
    assert 0 < same.index(True) < 6
    assert sum(list_same(Fused(order), Separate())) == 1


def test_rows_interleaved_by_heads_are_found_by_the_number_that_a_setting_has():
    for sides in ((Separate(), Fused(by_heads=True)), (Fused(by_heads=True), Separate())):
        same = list_same(*sides)
        assert len(same) == 12  # six orders, of all rows and within each head
        assert sum(same) == 1
        assert same.index(True) == 6


def test_rows_of_grouped_heads_lie_beside_the_heads_that_share_them():
    class Grouped(Fused):
        """Of each head of keys its queries, the key, the value."""

        def __init__(self) -> None:
            super().__init__()
            self.num_key_value_heads, self.width = 2, 2
            self.qkv = nn.Linear(WIDTH, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.qkv(x).unflatten(-1, (2, 8)).split([4, 2, 2], -1)
            return self.proj(attend(q.flatten(2), k.flatten(2), v.flatten(2), heads=4, kv_heads=2))

    class Four(Separate):
        def __init__(self) -> None:
            super().__init__(narrow=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), heads=4, kv_heads=2))

    same = list_same(Four(), Grouped())
    assert same.index(True) == 6


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_a_norm_is_folded_into_the_layer_before_it(bias, affine, identity, transposed):
    before = Normed(bias=bias, affine=affine, transposed=transposed)
    assert list_same(before, Folded(identity=identity, transposed=transposed), 2, 3, 6, 6) == [True]


def test_the_folded_layer_should_give_what_the_norm_gave():
    (found,) = find(Normed(), Folded(), 2, 3, 6, 6)
    assert found.modules["conv"] == "norm"


def test_a_norm_that_keeps_no_variance_cannot_be_folded():
    before = Normed()
    before.norm = nn.BatchNorm2d(4, track_running_stats=False)
    (found,) = find(before, Folded(), 2, 3, 6, 6)
    assert found.new == ("conv.bias",)


def test_a_norm_that_only_one_reader_of_the_layer_saw_cannot_be_folded():
    class Skipped(Normed):
        def __init__(self) -> None:
            super().__init__()
            self.side = nn.Conv2d(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return self.norm(x).relu() + self.side(x)

    class SkippedFolded(Skipped):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.norm = nn.Identity()

    (found,) = find(Skipped(), SkippedFolded(), 2, 3, 6, 6)
    assert found.new == ("conv.bias",)


def test_a_linear_layer_and_a_convolution_of_one_by_one_hold_the_same_weights():
    assert list_same(One(nn.Linear(WIDTH, 3)), One(nn.Conv2d(WIDTH, 3, 1), channels=True)) == [True]
    assert list_same(One(nn.Conv2d(WIDTH, 3, 1), channels=True), One(nn.Linear(WIDTH, 3))) == [True]


def test_a_linear_layer_on_what_was_flattened_and_a_convolution_over_all_of_it_hold_the_same_weights():
    class Flattened(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3 * 4 * 4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.flatten(1))

    class Convolved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Conv2d(3, 5, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x).flatten(1)

    same = list_same(Flattened(), Convolved(), 2, 3, 4, 4)
    assert (same[0], sum(same)) == (True, 1)  # pixels can be the rows or the columns of what was flattened, too


def test_a_weight_stored_with_inputs_first_is_transposed():
    assert list_same(One(Conv1D(3, WIDTH)), One(nn.Linear(WIDTH, 3))) == [True]
    # nothing shows how the class stores a square weight: both orders are tried
    assert list_same(One(nn.Linear(WIDTH, WIDTH)), One(Conv1D(WIDTH, WIDTH))) == [True, False]


def test_what_has_another_size_does_not_fit():
    (found,) = find(One(nn.Linear(WIDTH, 3)), One(nn.Linear(WIDTH, 4)))
    assert found.mismatched == ("layer.weight is 4x8, before 3x8", "layer.bias is 4, before 3")
