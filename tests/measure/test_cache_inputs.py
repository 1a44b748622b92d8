"""Caches among the inputs: their tensors are inputs of the profile, and every run gets the cache as it was given."""

from dataclasses import dataclass, field

import pytest
import torch
from modeling import measure
from torch import nn

from archaudit.judge.evidence import describe_inputs
from archaudit.measure.recipe import measure_live
from archaudit.render.view.summary import describe_inputs as show_inputs


class Cache:
    """Keys that forward appends to, as the caches of libraries do."""

    def __init__(self, length):
        self.keys = torch.zeros(2, length, 8)
        self.owner = self

    def append(self, keys):
        self.keys = torch.cat([self.keys, keys], dim=1)
        return self.keys


class SlottedCache(Cache):
    __slots__ = ("extra",)


@dataclass
class Layers:
    caches: list = field(default_factory=list)

    def append(self, keys):
        return self.caches[0].append(keys)


class Attend(nn.Module):
    def __init__(self):
        super().__init__()
        self.key = nn.Linear(8, 8, bias=False)

    def forward(self, x, cache):
        keys = cache.append(self.key(x))
        return x @ keys.transpose(1, 2)


@pytest.mark.parametrize("make", [Cache, SlottedCache, lambda length: Layers([Cache(length)])])
def test_the_tensors_of_a_cache_are_inputs_with_the_shape_that_they_had_before(make):
    for length in (5, 11):
        cache = make(length)
        profile = measure(Attend, torch.zeros(2, 1, 8), cache=cache)
        assert [(each.name, each.shape) for each in profile.inputs] == [("0", (2, 1, 8)), ("cache.0", (2, length, 8))]
        # the projection of one token, and its product with all keys, one more than before
        assert profile.totals.macs == 2 * 8 * 8 + 2 * (length + 1) * 8
        assert [node.shape for node in profile.flow if node.op == "input"] == [(2, 1, 8), (2, length, 8)]


def test_every_counter_gets_the_cache_as_it_was_given():
    profile = measure(Attend, torch.zeros(2, 1, 8), cache=Cache(5), other_counters=True)
    fvcore = profile.other_counters["fvcore"]
    assert fvcore.totals.macs == profile.totals.macs, fvcore


def test_the_given_cache_stays_as_it_is():
    cache = Cache(5)
    keys = cache.keys
    measure_live(Attend().eval(), (torch.zeros(2, 1, 8), cache))
    assert cache.keys is keys


def test_caches_of_other_lengths_are_other_inputs():
    shorter, longer = (measure(Attend, torch.zeros(2, 1, 8), cache=Cache(length)) for length in (5, 11))
    assert describe_inputs(shorter) == "2x1x8, 2x5x8"
    assert describe_inputs(longer) == "2x1x8, 2x11x8"


def test_the_many_tensors_of_a_cache_are_one_text():
    class Last(Attend):
        def forward(self, x, cache):
            return super().forward(x, cache.caches[-1])

    profile = measure(Last, torch.zeros(2, 1, 8), cache=Layers([Cache(5) for _ in range(40)]))
    assert show_inputs(profile) == ("2×1×8 float32", "cache (40) 2×5×8 float32")
    assert describe_inputs(profile) == "2x1x8, 40 times 2x5x8"


@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")  # older releases know no other name
def test_a_cache_of_transformers_is_an_input():
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, vocab_size=50
    )
    counts = []
    for length in (3, 9):
        cache = transformers.DynamicCache(config=config)
        for layer in range(2):
            cache.update(torch.zeros(1, 1, length, 8), torch.zeros(1, 1, length, 8), layer)
        ids = torch.ones(1, 1, dtype=torch.long)
        profile = measure(lambda: transformers.LlamaForCausalLM(config), input_ids=ids, past_key_values=cache, use_cache=True)
        assert [each.shape for each in profile.inputs] == [(1, 1), *[(1, 1, length, 8)] * 4]
        counts.append(profile.totals.macs)
    # two layers, two products, two heads of size 8, six more keys
    assert counts[1] - counts[0] == 2 * 2 * 2 * 8 * 6
