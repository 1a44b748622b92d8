"""What a checkpoint of before does in after: every mapping is proven by loading it."""

import copy

import pytest
import torch
from modeling import measure
from torch import nn

from archaudit.align import Pin, align
from archaudit.diff.checkpoint.key_map import map_checkpoint, merge_sources
from archaudit.diff.checkpoint.weight_sources import map_weights
from archaudit.measure.weight_copying import copy_weights
from archaudit.schema import CheckpointMap, ReshapedKey


class Net(nn.Module):
    """Convolution, norm, head; under any names."""

    def __init__(self, names=("conv", "norm", "head"), width=4):
        super().__init__()
        self.names = names
        for name, layer in zip(names, (nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, 2, 1)), strict=True):
            self.add_module(name, layer)

    def forward(self, x):
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x


class Wrapped(nn.Module):
    """The same, the first two inside a Sequential."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.head(self.body(x))


class Language(nn.Module):
    """An embedding and an output head, tied or not, or the same layer twice."""

    def __init__(self, tied=False, alias=False):
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.layer = nn.Linear(4, 4)
        if alias:
            self.again = self.layer
        self.out = nn.Linear(4, 5, bias=False)
        if tied:
            self.out.weight = self.table.weight

    def forward(self, x):
        return self.out(self.layer(self.table(x)))


IMAGE, IDS = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, dtype=torch.long)


def map_models(before, after, example, pins=()):
    one, other = (measure(lambda model=model: model, example) for model in (before, after))
    return map_checkpoint(one, other, align(one, other, pins))


def load(mapping: CheckpointMap, before, after):
    """Loads what the mapping says loads, and checks torch's own account of what it did not fill."""
    state = before.state_dict()
    mapped = {mapping.renamed.get(key, key): state[key] for key in (*mapping.same, *mapping.renamed)}
    mapped |= {key: state[source] for key, source in mapping.tied.items()}
    after = copy.deepcopy(after)
    result = after.load_state_dict(mapped, strict=False)
    assert result.unexpected_keys == []
    assert set(result.missing_keys) == {*mapping.missing, *(row.after for row in mapping.reshaped)}
    assert set(state) == {*mapping.same, *mapping.renamed, *mapping.unused, *(row.before for row in mapping.reshaped)} | set(
        mapping.tied.values()
    )
    return after


def test_a_model_loads_into_itself_key_by_key():
    model = Net()
    mapping = map_models(model, Net(), IMAGE)
    assert mapping == CheckpointMap(same=tuple(model.state_dict()))
    after = load(mapping, model, Net())
    after.load_state_dict(model.state_dict(), strict=True)


@pytest.mark.parametrize("build", [Wrapped, lambda: Net(("first", "second", "third"))])
def test_a_renamed_or_wrapped_model_computes_the_same_after_loading(build):
    before = Net().eval()
    nn.init.normal_(before.norm.running_mean)
    mapping = map_models(before, build(), IMAGE)
    assert mapping.missing == mapping.unused == mapping.reshaped == ()
    after = load(mapping, before, build()).eval()
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(before(x), after(x))


def test_other_shapes_are_named_with_both():
    mapping = map_models(Net(), Net(width=6), IMAGE)
    assert mapping.reshaped[0] == ReshapedKey(
        before="conv.weight", after="conv.weight", before_shape=(4, 3, 3, 3), after_shape=(6, 3, 3, 3)
    )
    assert set(mapping.same) == {"norm.num_batches_tracked", "head.bias"}
    load(mapping, Net(), Net(width=6))


def test_new_and_gone_keys_are_told_apart():
    class Longer(Net):
        def __init__(self):
            super().__init__()
            self.extra = nn.Linear(2, 2)

    mapping = map_models(Net(), Longer(), IMAGE)
    assert mapping.missing == ("extra.weight", "extra.bias")
    assert map_models(Longer(), Net(), IMAGE).unused == ("extra.weight", "extra.bias")
    load(mapping, Net(), Longer())


def test_buffers_that_no_checkpoint_keeps_are_left_out():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("kept", torch.zeros(2))
            self.register_buffer("made", torch.zeros(2), persistent=False)

        def forward(self, x):
            return x + self.kept.sum() + self.made.sum()

    assert map_models(Table(), Table(), IMAGE).same == ("kept",)


def test_tied_keys_on_both_sides_load_as_they_are():
    before, after = Language(tied=True), Language(tied=True)
    mapping = map_models(before, after, IDS)
    assert {"table.weight", "out.weight"} <= set(mapping.same)
    assert mapping.conflicts == ()
    assert torch.equal(load(mapping, before, after).out.weight, before.table.weight)


def test_two_tensors_that_become_one_are_a_conflict():
    mapping = map_models(Language(), Language(tied=True), IDS)
    assert mapping.conflicts == (("table.weight", "out.weight"),)
    assert map_models(Language(tied=True), Language(), IDS).conflicts == ()


def test_a_new_key_that_is_tied_to_a_known_one_is_filled_from_it():
    class Headless(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(5, 4)
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.table(x))

    before, after = Headless(), Language(tied=True)
    mapping = map_models(before, after, IDS)
    assert mapping.tied == {"out.weight": "table.weight"}
    assert torch.equal(load(mapping, before, after).out.weight, before.table.weight)


def test_a_module_under_two_names_has_keys_under_both():
    before, after = Language(alias=True), Language(alias=True)
    mapping = map_models(before, after, IDS)
    assert {"layer.weight", "again.weight"} <= set(mapping.same)
    load(mapping, before, after).load_state_dict(before.state_dict(), strict=True)
    single = map_models(Language(), Language(alias=True), IDS)
    assert single.tied == {"again.weight": "layer.weight", "again.bias": "layer.bias"}
    load(single, Language(), Language(alias=True))


def test_layers_that_changed_places_are_followed():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.b(self.a(x))

    before, after = Two(), Two()
    mapping = map_models(before, after, torch.zeros(1, 4), [Pin(before="a", after="b"), Pin(before="b", after="a")])
    assert mapping.renamed == {"b.weight": "a.weight", "b.bias": "a.bias", "a.weight": "b.weight", "a.bias": "b.bias"}
    assert torch.equal(load(mapping, before, after).a.weight, before.b.weight)


class Attention(nn.Module):
    """Query, key and value by one layer, or by one each."""

    def __init__(self, fused):
        super().__init__()
        self.fused = fused
        for name, width in [("qkv", 12)] if fused else [("q", 4), ("k", 4), ("v", 4)]:
            self.add_module(name, nn.Linear(4, width))
        self.out = nn.Linear(4, 4)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1) if self.fused else (self.q(x), self.k(x), self.v(x))
        return self.out((q @ k.transpose(-1, -2)).softmax(-1) @ v)


class Folded(nn.Module):
    """A convolution with its norm folded in, and the head."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.head(self.conv(x))


ROWS = torch.zeros(2, 3, 4)


@pytest.mark.parametrize(
    ("before", "after", "example", "built"),
    [
        (Attention(fused=False), Attention(fused=True), ROWS, {"qkv.weight", "qkv.bias"}),
        (Attention(fused=True), Attention(fused=False), ROWS, {"q.weight", "q.bias", "k.weight", "k.bias", "v.weight", "v.bias"}),
        (Net(), Folded(), IMAGE, {"conv.weight", "conv.bias"}),
    ],
    ids=["joined", "divided", "folded"],
)
def test_keys_that_are_put_together_make_the_same_model(before, after, example, built):
    one, other = (measure(lambda model=model: copy.deepcopy(model), example) for model in (before, after))
    matches = align(one, other)
    mapping = merge_sources(map_checkpoint(one, other, matches), one, other, next(map_weights(one, other, matches)).sources)
    assert set(mapping.built) == built
    assert mapping.missing == mapping.reshaped == mapping.unused == ()
    if isinstance(before, Net):
        nn.init.uniform_(before.norm.running_var, 0.5, 2)
        nn.init.normal_(before.norm.running_mean)
    given = before.state_dict()
    after.load_state_dict({mapping.renamed.get(key, key): given[key] for key in (*mapping.same, *mapping.renamed)}, strict=False)
    copy_weights(after.state_dict(), given, mapping.built)
    x = torch.randn(*example.shape)
    torch.testing.assert_close(after.eval()(x), before.eval()(x))
