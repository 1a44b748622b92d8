"""Weights that torch does not know as parameters make an assumption in the profile."""

import pytest
import torch
from modeling import measure
from torch import nn

from archaudit.metrics.catalog import METRICS, measure_scope


class Listed(nn.Module):
    """A common mistake: layers in a plain list are no children."""

    def __init__(self, container=list):
        super().__init__()
        self.stem = nn.Linear(4, 4)
        self.layers = container([nn.Linear(4, 4), nn.Linear(4, 4, bias=False)])

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return x


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = Listed()

    def forward(self, x):
        return self.body(x)


def list_assumptions(profile):
    return [text for text in profile.ledger.assumptions if "parameter count" in text]


@pytest.mark.parametrize(("build", "name"), [(Listed, "the model itself"), (Holder, "body")])
def test_layers_in_a_plain_list(build, name):
    profile = measure(build, torch.zeros(1, 4))
    assert (profile.totals.params, profile.totals.macs) == (20, 3 * 16)
    (text,) = list_assumptions(profile)
    assert text.startswith(f"{name} uses 3 parameters (36 elements) that no module registers")


def test_registered_weights_make_no_assumption():
    assert not list_assumptions(measure(lambda: Listed(nn.ModuleList), torch.zeros(1, 4)))
    assert not list_assumptions(measure(lambda: torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), torch.zeros(1, 4)))
    tied = nn.Linear(4, 4)
    assert not list_assumptions(measure(lambda: nn.Sequential(tied, tied), torch.zeros(1, 4)))
    assert not list_assumptions(measure(lambda: nn.LSTM(4, 4, 2), torch.zeros(3, 1, 4)))


class Recast(nn.Linear):
    """Replaces the memory of its bias after the first use, as 4-bit layers of bitsandbytes do for a new dtype."""

    def forward(self, x):
        x = x @ self.weight.t() + self.bias
        self.bias.data = self.bias.data.to(torch.float64)
        return x


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_lazy_layers_and_replaced_memory_make_no_assumption():
    lazy = measure(lambda: nn.Sequential(nn.Linear(3, 4), nn.LazyLinear(2, bias=False)), torch.zeros(2, 3))
    assert not list_assumptions(lazy)
    assert lazy.totals.params == (3 * 4 + 4) + 4 * 2
    assert not list_assumptions(measure(lambda: Recast(3, 4), torch.zeros(2, 3)))


@pytest.mark.filterwarnings("ignore")
def test_packed_weights_of_quantized_layers():
    profile = measure(
        lambda: torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), {nn.Linear}), torch.zeros(1, 4)
    )
    assert list_assumptions(profile) == [
        "0._packed_params has weights packed in an object that is not a tensor: no parameter count includes them"
    ]
    for metric in ("params", "param_bytes", "trainable_params"):
        measured = measure_scope(profile, METRICS[metric])
        assert measured.value is None
        assert "packed" in measured.reason
    assert measure_scope(profile, METRICS["macs"]).value == 16


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_scripted_module_makes_no_assumption(recwarn):
    assert not list_assumptions(measure(lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU())), torch.zeros(1, 4)))
    assert not [warned for warned in recwarn if "data pointer" in str(warned.message)]
