"""Models whose operators depend on chance or on computed values: a figure that another run would not repeat is incomplete.

Every layer is a Linear(8, 8) without bias on three rows: 3 * 8 * 8 MACs.
"""

import random

import numpy
import pytest
import torch
from modeling import measure, module
from torch import nn

from archaudit.measure.recipe import measure_live
from archaudit.metrics.catalog import METRICS, measure_scope

LAYER = 3 * 8 * 8


class Layers(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(8, 8, bias=False) for _ in range(3))
        self.run = run

    def forward(self, x):
        return self.run(self, x)


def profile(run):
    return measure(lambda: Layers(run), torch.ones(3, 8))


def drop_by_chance(model, x):
    return model.a(model.b(x) if random.random() < 0.5 else x)


def drop_by_numpy(model, x):
    return model.a(model.b(x) if numpy.random.rand() < 0.5 else x)


def drop_by_torch(model, x):
    return model.a(model.b(x) if torch.rand(()).item() < 0.5 else x)


def repeat_by_chance(model, x):
    x = model.a(x)
    for _ in range(random.choice([0, 1, 2])):
        x = model.b(x)
    return x


def exit_early(model, x):
    x = model.a(x)
    if x.softmax(-1).max() > 0.13:  # 1/8 if all were equal: true for nearly all weights
        return x
    return model.b(x)


@pytest.mark.parametrize("run", [drop_by_chance, drop_by_numpy, drop_by_torch, repeat_by_chance, exit_early])
def test_costs_that_differ_between_runs_are_incomplete(run):
    found = profile(run)
    assert not found.flops_complete
    assert found.totals.macs == LAYER  # the cheapest run: a lower bound
    assert module(found, "a").flops_complete
    assert not module(found, "b").flops_complete
    measured = measure_scope(found, METRICS["macs"])
    assert measured.value is None
    assert f"{LAYER:,} MACs in one run and " in measured.reason
    assert [text for text in found.ledger.assumptions if text.startswith("FLOPs are incomplete: ")]


def test_the_reason_says_what_decides():
    assert "random numbers decide what runs" in measure_scope(profile(drop_by_chance), METRICS["macs"]).reason
    reason = measure_scope(profile(exit_early), METRICS["flops"]).reason
    assert "a branch at test_differing_runs.py:" in reason
    assert "random weights" in reason


def test_two_measurements_of_a_model_that_depends_on_chance_are_the_same():
    assert profile(drop_by_chance) == profile(drop_by_chance)


def test_the_total_is_complete_if_only_the_modules_inside_differ():
    found = profile(lambda model, x: model.a(x) if random.random() < 0.5 else model.b(x))
    assert found.flops_complete
    assert measure_scope(found, METRICS["macs"]).value == LAYER
    assert [module(found, name).flops_complete for name in "abc"] == [False, False, True]
    assert measure_scope(found, METRICS["macs"], "b").value is None


def test_random_numbers_that_decide_no_cost_change_nothing():
    found = profile(lambda model, x: model.a(x) * random.random() + model.b(torch.randn(3, 8)))
    assert found.flops_complete
    assert found.totals.macs == 2 * LAYER
    assert not [text for text in found.ledger.assumptions if "incomplete" in text]


def test_the_random_states_of_the_process_stay():
    random.seed(5)
    expected = random.random()
    random.seed(5)
    profile(drop_by_chance)
    assert random.random() == expected


def test_a_live_model_has_its_own_weights_so_its_branch_is_known():
    model = Layers(exit_early).eval()
    with torch.no_grad():
        model.a.weight.zero_()  # all outputs equal: the softmax is 1/8
    found = measure_live(model, (torch.ones(3, 8),))
    assert found.flops_complete
    assert found.totals.macs == 2 * LAYER


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8, bias=False)
        self.inner = nn.Sequential(nn.Linear(8, 8, bias=False), nn.ReLU(), nn.Linear(8, 8, bias=False))

    def forward(self, x):
        return self.inner(self.first(x))


@pytest.mark.parametrize("compile", [torch.jit.script, lambda model: torch.jit.trace(model, torch.zeros(3, 8))], ids=["script", "trace"])
def test_modules_inside_torchscript_are_unknown_and_the_whole_is_complete(compile):
    def build():
        return nn.Sequential(compile(Scripted().eval()), nn.Linear(8, 8, bias=False))

    found = measure(build, torch.zeros(3, 8))
    assert found.flops_complete
    assert found.totals.macs == 4 * LAYER
    assert {each.path: each.flops_complete for each in found.modules} == {
        "": True,
        "0": True,
        "0.first": False,
        "0.inner": False,
        "0.inner.0": False,
        "0.inner.1": False,
        "0.inner.2": False,
        "1": True,
    }
    assert measure_scope(found, METRICS["macs"], "0").value == 3 * LAYER
    inside = measure_scope(found, METRICS["macs"], "0.inner")
    assert inside.value is None
    assert "it runs inside the TorchScript module 0, which counts it" in inside.reason
    (note,) = [text for text in found.ledger.assumptions if "TorchScript" in text]
    assert note.startswith("TorchScript's interpreter runs 0: the FLOPs count there")


@pytest.mark.parametrize("compile", [torch.jit.script, lambda model: torch.jit.trace(model, torch.zeros(3, 8))], ids=["script", "trace"])
def test_live_modules_of_torchscript_are_copied(compile):
    model = compile(Scripted().eval())
    assert measure_live(model, (torch.zeros(3, 8),)).totals.macs == 3 * LAYER
