"""Modules in a program of torch.export have the cost and the calls of the modules that they come from: a profile of the eager model is the
truth."""

import pytest
import torch
from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.recipe import measure_live


class Reused(nn.Module):
    """A layer that runs twice, an activation without parameters, an argument by name, and a result in a dict."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm, self.activation = nn.Linear(8, 8), nn.LayerNorm(8), nn.GELU()

    def forward(self, x, *, scale):
        y = self.layer(self.activation(self.layer(x)))
        return {"y": self.norm(y) * scale, "sum": y.sum()}


class Nested(nn.Module):
    """Blocks in a list, with an operator of their own."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)) for _ in range(2))
        self.table = nn.Parameter(torch.zeros(8, 4))

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return x @ self.table


def build_images():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    )


MODELS = {
    "a layer that runs twice": (Reused, (torch.zeros(2, 8),), {"scale": torch.ones(1)}),
    "nested blocks": (Nested, (torch.zeros(3, 8),), {}),
    "images": (build_images, (torch.zeros(1, 3, 8, 8),), {}),
    "a recurrent layer": (lambda: nn.Sequential(nn.Linear(4, 4), nn.GRU(4, 3)), (torch.zeros(5, 1, 4),), {}),
}


def list_costs(profile):
    return {module.path: (module.own.macs, module.total.macs, module.flops_complete, len(module.calls)) for module in profile.modules}


def export(model, args, kwargs, how):
    program = torch.export.export(model, args, kwargs, strict=how == "strict")
    return (program.run_decompositions() if how == "decomposed" else program).module()


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # of a recurrent layer
@pytest.mark.parametrize("how", ["plain", "strict", "decomposed"])
@pytest.mark.parametrize("name", MODELS)
def test_modules_of_an_exported_program_have_the_costs_and_calls_of_the_eager_model(name, how):
    build, args, kwargs = MODELS[name]
    model = build().eval()
    eager = list_costs(measure_live(model, args, kwargs))
    exported = list_costs(measure_live(export(model, args, kwargs, how), args, kwargs))
    exported.pop("_guards_fn")
    assert exported == {path: eager[path] for path in exported}  # activations without parameters are not in a program
    assert exported[""][1] == sum(own for own, _, _, _ in exported.values()) > 0


@pytest.mark.parametrize("name", ["a layer that runs twice", "nested blocks"])
def test_the_peak_of_an_exported_program_is_that_of_the_eager_model(name):
    build, args, kwargs = MODELS[name]
    model = build().eval()
    assert measure_live(export(model, args, kwargs, "plain"), args, kwargs).peaks == measure_live(model, args, kwargs).peaks


def test_calls_in_an_exported_program_have_the_shapes_of_activations():
    program = torch.export.export(Nested(), (torch.zeros(3, 8),)).module()
    profile = measure_live(program, (torch.zeros(3, 8),))
    calls = {module.path: [(call.inputs, call.outputs) for call in module.calls] for module in profile.modules}
    assert calls["blocks.0.0"] == [(((3, 8),), ((3, 16),))]
    assert calls["blocks.1.2"] == [(((3, 16),), ((3, 8),))]


def test_a_program_inside_a_model_is_followed_too():
    program = torch.export.export(Nested(), (torch.zeros(3, 8),)).module()
    profile = measure_live(nn.Sequential(program, nn.Linear(4, 2)), (torch.zeros(3, 8),))
    macs = {module.path: module.own.macs for module in profile.modules}
    assert macs["0.blocks.0.0"] == macs["0.blocks.1.2"] == 3 * 8 * 16
    assert (macs["0"], macs["1"]) == (3 * 8 * 4, 3 * 4 * 2)


def test_the_program_itself_is_left_as_it_is():
    program = torch.export.export(Nested(), (torch.zeros(3, 8),)).module()
    before = program.code
    x = torch.randn(3, 8)
    expected = program(x)
    measure_live(program, (x,))
    assert program.code == before
    assert torch.equal(program(x), expected)


class Fails(nn.Module):
    """Fails on inputs of another length, in the operators of one layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return self.second(self.first(x))


def test_an_error_in_a_program_names_the_module_that_was_running():
    program = torch.export.export(Fails(), (torch.zeros(3, 8),)).module()
    program.second.weight = nn.Parameter(torch.zeros(8, 9))
    with pytest.raises(MeasureError, match="second"):
        measure_live(program, (torch.zeros(3, 8),))
