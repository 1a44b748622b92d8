"""Kinds of parameters: embeddings, adapters, never executed, packed, and the active share of experts."""

import torch
from modeling import measure, module
from torch import nn

from archaudit.metrics.catalog import METRICS, measure_scope


def value(profile, name, scope=""):
    return measure_scope(profile, METRICS[name], scope).value


class Language(nn.Module):
    """A tied table of 100x8, a position table of 16x8, a hidden layer of 8x8 without bias, and a layer that never runs."""

    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(100, 8), nn.Embedding(16, 8)
        self.hidden = nn.Linear(8, 8, bias=False)
        self.head = nn.Linear(8, 100, bias=False)
        self.head.weight = self.tokens.weight
        self.spare = nn.Linear(8, 3)

    def forward(self, ids):
        return self.head(self.hidden(self.tokens(ids) + self.positions(ids % 16)))


def test_embedding_and_unused_parameters():
    profile = measure(Language, torch.zeros(1, 4, dtype=torch.int64))
    assert value(profile, "embedding_params") == 100 * 8 + 16 * 8
    assert value(profile, "non_embedding_params") == 8 * 8 + 8 * 3 + 3
    assert value(profile, "unused_params") == 8 * 3 + 3
    assert value(profile, "unused_params", "hidden") == 0
    assert value(profile, "active_params") == profile.totals.params


class Adapted(nn.Module):
    def __init__(self):
        super().__init__()
        self.base = nn.Linear(8, 8, bias=False)
        self.lora_A, self.lora_B = nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)

    def forward(self, x):
        return self.base(x) + self.lora_B(self.lora_A(x))


def test_adapters_are_told_from_their_base():
    profile = measure(Adapted, torch.zeros(1, 8))
    assert value(profile, "adapter_params") == 8 * 2 + 2 * 8
    assert value(profile, "base_params") == 64


class Experts(nn.Module):
    """Four experts of 8x8, of which a token goes to one; and a router of 8x4."""

    def __init__(self, top_k=1):
        super().__init__()
        if top_k:
            self.top_k = top_k
        self.router = nn.Linear(8, 4, bias=False)
        self.experts = nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(4))

    def forward(self, x):
        return self.experts[0](x) * self.router(x).mean()


class Stacked(nn.Module):
    """The same with the experts' weights stacked in one tensor, and two of them chosen."""

    def __init__(self):
        super().__init__()
        self.num_experts_per_tok = 2
        self.experts = nn.Module()
        self.experts.weight = nn.Parameter(torch.zeros(4, 8, 8))

    def forward(self, x):
        return x @ self.experts.weight[0]


def test_the_active_share_of_experts():
    assert value(measure(Experts, torch.zeros(1, 8)), "active_params") == 8 * 4 + 64
    assert value(measure(Stacked, torch.zeros(1, 8)), "active_params") == 2 * 64


def test_experts_without_a_router_are_unknown_not_all_active():
    measured = measure_scope(measure(lambda: Experts(top_k=0), torch.zeros(1, 8)), METRICS["active_params"])
    assert measured.value is None
    assert "does not have what active_params is computed from" in measured.reason


def test_packed_four_bit_weights_count_twice_a_byte():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.bits = 4
            self.register_buffer("qweight", torch.zeros(2, 8, dtype=torch.int32))

        def forward(self, x):
            return x

    profile = measure(Packed, torch.zeros(1))
    assert module(profile, "").tensors[0].logical_elements == 2 * 8 * 8
    assert value(profile, "logical_params") == 128
    assert value(profile, "params") == 0


def test_bytes_follow_each_tensors_own_type():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(2, 2, bias=False).half(), nn.Linear(2, 2, bias=False).double()

        def forward(self, x):
            return self.second(self.first(x).double())

    profile = measure(Mixed, torch.zeros(1, 2, dtype=torch.float16))
    assert profile.totals.param_bytes == 4 * 2 + 4 * 8
