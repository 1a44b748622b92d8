"""Kinds of parameters: embeddings, adapters, never executed, packed, and the active share of experts."""

import pytest
import torch
from factories import make_module, make_profile, make_tensor
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


def test_adapters_are_counted_apart_from_their_base():
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


def make_experts(children=4, top_k=2, *, stacked=(), where="", name="experts", **settings):
    """Experts of 3x5 weights below `moe`, and a router of 2x3; `top_k` is a setting of the module called `where`."""
    routed = {"": {}, "moe": {}, "moe.router": {}, f"moe.{name}": {}, where or "moe": {"top_k": top_k} | settings}
    modules = {
        "": make_module(type="Net", settings=routed[""]),
        "moe": make_module(type="Moe", settings=routed["moe"]),
        "moe.router": make_module(6, settings=routed["moe.router"], tensors=(make_tensor("weight", (2, 3)),)),
        f"moe.{name}": make_module(type="ModuleList", settings=routed[f"moe.{name}"], tensors=stacked),
    }
    expert = make_module(15, tensors=(make_tensor("weight", (3, 5)),))
    return make_profile(modules | {f"moe.{name}.{number}": expert for number in range(children)})


@pytest.mark.parametrize("where", ["moe", "moe.experts", "moe.router"])
def test_the_number_of_chosen_experts_is_read_from_the_experts_their_parent_or_its_children(where):
    # 4 experts of 15, of which 2 are chosen: 30 of 60; the router has 6
    assert value(make_experts(where=where), "active_params") == 6 + 30
    assert value(make_experts(where=where, top_k=4), "active_params") == 6 + 60
    assert value(make_experts(children=5, where=where, top_k=3), "active_params") == 6 + 45


@pytest.mark.parametrize("top_k", [0, 5, True, "2", None])
def test_a_number_of_chosen_experts_that_cannot_be_is_unknown(top_k):
    assert value(make_experts(top_k=top_k), "active_params") is None


def test_a_number_of_chosen_experts_farther_away_says_nothing():
    profile = make_experts(top_k=None)
    root = profile.modules[0]
    root.settings["top_k"] = 2
    assert value(profile, "active_params") is None


def test_stacked_experts_are_counted_by_the_first_dimension_that_all_weights_share():
    up, down = make_tensor("up", (4, 3, 5)), make_tensor("down", (4, 5, 3))
    assert value(make_experts(0, stacked=(up, down)), "active_params") == 6 + 60
    other = make_tensor("down", (5, 5, 3))
    assert value(make_experts(0, stacked=(up, other)), "active_params") is None
    # a bias for each expert has two dimensions, a buffer is no weight
    bias, buffer = make_tensor("bias", (4, 5)), make_tensor("mask", (7, 1, 1), kind="buffer")
    assert value(make_experts(0, stacked=(up, bias, buffer)), "active_params") == 6 + 40


def test_a_list_that_is_not_of_numbered_experts_is_no_set_of_experts():
    assert value(make_experts(name="expert_norms"), "active_params") == 6 + 60
    expert = make_module(15, tensors=(make_tensor("weight", (3, 5)),))
    experts = {"moe": make_module(settings={"top_k": 1}), "moe.experts": 0, "moe.experts.a": expert, "moe.experts.b": expert}
    named = make_profile(experts)
    assert value(named, "active_params") is None


def test_experts_without_parameters_are_not_missed():
    assert value(make_experts(children=0, top_k=None), "active_params") == 6


def test_the_active_share_of_a_part_of_the_model():
    profile = make_experts()
    assert value(profile, "active_params", "moe.router") == 6
    assert value(profile, "active_params", "moe.experts") == 30
    assert value(profile, "active_params", "moe.experts.0") == 15  # one expert is no set of experts


def test_tied_tensors_and_buffers_are_not_counted_and_tables_are_known_by_their_type():
    table, tied = make_tensor("weight", (7, 3)), make_tensor("weight", (7, 3), tied_to="a.weight")
    buffer = make_tensor("ids", (100,), kind="buffer")
    modules = {
        "a": make_module(21, "Embedding", tensors=(table, buffer)),
        "b": make_module(21, "ScaledEmbeddingBag", tensors=(make_tensor("weight", (7, 3)),)),
        "c": make_module(0, "Linear", tensors=(tied,)),
        "d": make_module(6, "EmbeddingHead", tensors=(make_tensor("weight", (2, 3)),)),
    }
    profile = make_profile(modules)
    assert value(profile, "embedding_params") == 42
    assert value(profile, "non_embedding_params") == 6


@pytest.mark.parametrize(
    ("path", "is_adapter"),
    [
        ("q.lora_A.default", True), ("lora_down", True), ("block.adapter", True), ("my_adapters.0", True), ("ia3_l", True),
        ("prompt_encoder.x", True), ("modules_to_save.default", True), ("adapterless", False), ("exploration", False), ("lora", False),
    ],
)  # fmt: skip
def test_adapters_are_known_by_the_names_that_libraries_give_them(path, is_adapter):
    paths = [".".join(path.split(".")[: depth + 1]) for depth in range(path.count(".") + 1)]
    layer = make_module(6, tensors=(make_tensor("weight", (2, 3)),))
    profile = make_profile(dict.fromkeys(paths[:-1], 0) | {paths[-1]: layer})
    assert (value(profile, "adapter_params"), value(profile, "base_params")) == ((6, 0) if is_adapter else (0, 6))


def test_packed_tensors_count_the_weights_that_they_hold():
    packed = make_tensor("weight", (2, 3), logical_elements=12)
    buffer = make_tensor("packed", (5,), kind="buffer", logical_elements=10)
    plain, other = make_tensor("bias", (4,)), make_tensor("table", (9,), kind="buffer")
    tied = make_tensor("again", (5,), kind="buffer", logical_elements=10, tied_to="a.packed")
    profile = make_profile({"a": make_module(10, tensors=(packed, buffer, plain, other, tied))})
    assert value(profile, "logical_params") == 12 + 10 + 4


def test_unused_parameters_are_unknown_where_one_was_not_observed():
    used, idle, unseen = (make_tensor(name, (3,), used=seen) for name, seen in (("a", True), ("b", False), ("c", None)))
    assert value(make_profile({"m": make_module(6, tensors=(used, idle))}), "unused_params") == 3
    assert value(make_profile({"m": make_module(9, tensors=(used, idle, unseen))}), "unused_params") is None
