"""The record of one pass: own and total costs, calls, aliases, for models whose costs are worked out by hand."""

import torch
import torch.nn.functional as F
from modeling import measure, module
from torch import nn

from archaudit.schema import sum_costs


class Functional(nn.Module):
    """A linear layer called functionally, a parameter used directly, and a matrix product between activations."""

    def __init__(self):
        super().__init__()
        self.child = nn.Linear(4, 8)  # 4*8 + 8 = 40
        self.scale = nn.Parameter(torch.ones(8))  # 8

    def forward(self, x):
        y = F.linear(x, self.child.weight)  # rows 3: 3*4*8 = 96, run by the root
        return (y * self.scale) @ y.T  # 3*8*3 = 72


def test_functional_work_belongs_to_the_module_that_runs_it():
    profile = measure(Functional, torch.zeros(3, 4))
    assert profile.totals.params == 48
    assert profile.totals.macs == 96 + 72
    assert module(profile, "").own.macs == 168
    assert module(profile, "").own.params == 8
    assert module(profile, "child").total.macs == 0
    assert module(profile, "child").calls == ()


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4, bias=False)

    def forward(self, x):
        return self.layer(self.layer(x))


def test_a_module_called_twice_costs_its_parameters_once_and_its_work_twice():
    profile = measure(Twice, torch.zeros(1, 4))
    assert profile.totals.params == 16
    assert profile.totals.macs == 32
    calls = module(profile, "layer").calls
    assert [call.inputs_from for call in calls] == [(), ("layer",)]


class Direct(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4, bias=False)

    def forward(self, x):
        return self.layer.forward(x)


def test_a_direct_call_of_forward_counts_for_the_child():
    profile = measure(Direct, torch.zeros(1, 4))
    assert module(profile, "layer").own.macs == 16
    assert module(profile, "").own.macs == 0


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(100, 16)
        self.head = nn.Linear(16, 100, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.embed(ids))


def test_tied_weights_count_once_and_are_named():
    profile = measure(Tied, torch.zeros(1, 10, dtype=torch.int64))
    assert profile.totals.params == 1600
    assert profile.totals.macs == 10 * 16 * 100
    assert profile.ties == (("embed.weight", "head.weight"),)
    assert module(profile, "head").tensors[0].tied_to == "embed.weight"


class OldWeightNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.utils.parametrizations.weight_norm(nn.Linear(16, 8, bias=False))

    def forward(self, x):
        return self.layer(x)


def test_a_parametrized_layer_counts_its_own_work():
    profile = measure(OldWeightNorm, torch.zeros(1, 16))
    assert profile.totals.params == 8 * 16 + 8
    assert profile.totals.macs == 128


def test_own_costs_add_up_to_every_total():
    profile = measure(
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False), torch.zeros(5, 1, 8)
    )
    assert sum_costs(record.own for record in profile.modules) == profile.totals
    for record in profile.modules:
        below = [
            other.own
            for other in profile.modules
            if other.path == record.path or other.path.startswith(f"{record.path}.") or not record.path
        ]
        assert sum_costs(below) == record.total


def test_attention_is_counted_in_full():
    # projections: 10 tokens * 16 * 48, and * 16 * 16; QK^T and AV: 2 heads * 10 * 10 * 8 each
    profile = measure(lambda: nn.MultiheadAttention(16, 2, batch_first=True), *[torch.zeros(1, 10, 16)] * 3)
    assert profile.totals.macs == 10 * 16 * 48 + 10 * 16 * 16 + 2 * (2 * 10 * 10 * 8)


def test_activation_bytes_count_what_operators_allocate():
    # linear allocates 2x8 floats; relu in place allocates nothing; the view allocates nothing
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 8, bias=False)

        def forward(self, x):
            return F.relu(self.layer(x), inplace=True).view(16)

    profile = measure(Model, torch.zeros(2, 4))
    assert profile.totals.activation_bytes == 2 * 8 * 4
    assert profile.peaks.activation_bytes == (2 * 4 + 2 * 8) * 4


def test_peak_bytes_do_not_include_freed_tensors():
    class Chain(nn.Module):
        def forward(self, x):
            for _ in range(10):
                x = x + 1
            return x

    profile = measure(Chain, torch.zeros(1000))
    # the caller holds the input; of the sums, the last two are live at the same time
    assert profile.peaks.activation_bytes == 3 * 4000
    assert profile.totals.activation_bytes == 10 * 4000


def test_saved_bytes_are_the_tensors_that_autograd_saves():
    # relu saves its output (2x8 floats) and linear its input (2x4 floats)
    profile = measure(lambda: nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU()), torch.zeros(2, 4))
    assert profile.peaks.saved_bytes == (2 * 8 + 2 * 4) * 4


def test_unused_parameters_are_known():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used = nn.Linear(2, 2)
            self.spare = nn.Linear(2, 2)

        def forward(self, x):
            return self.used(x)

    profile = measure(Unused, torch.zeros(1, 2))
    assert [tensor.used for tensor in module(profile, "used").tensors] == [True, True]
    assert [tensor.used for tensor in module(profile, "spare").tensors] == [False, False]


def test_nested_240_deep():
    def build():
        model = nn.Linear(3, 3, bias=False)
        for _ in range(240):
            model = nn.Sequential(model)
        return model

    profile = measure(build, torch.zeros(1, 3))
    assert profile.totals.macs == 9
    assert len(profile.modules) == 241
