"""The initialisation of each parameter, recorded while the model is built; the expected notes are worked out by hand."""

import pytest
import torch
from modeling import module
from torch import nn

from archaudit.measure.building import build_deferred, build_on_meta
from archaudit.measure.recipe import measure_recipe
from archaudit.schema import Recipe


def read_inits(build, builder=build_on_meta):
    """The note on each parameter, by name."""
    model, _ = builder(Recipe(name="toy", reference="toy", build=build))
    return {name: getattr(parameter, "_archaudit_init", None) for name, parameter in model.named_parameters()}


def initialise(*functions):
    """A function that builds a linear layer, 8 to 4, and calls each of `functions` on its weight."""

    def build():
        layer = nn.Linear(8, 4)
        for function in functions:
            function(layer.weight)
        return layer

    return build


@pytest.mark.parametrize("builder", [build_on_meta, build_deferred])
def test_default_initialisation_of_layers_is_not_noted(builder):
    layers = lambda: nn.Sequential(  # noqa: E731
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 4), nn.Embedding(5, 4, padding_idx=0), nn.LSTM(4, 4), nn.PReLU(),
        nn.MultiheadAttention(4, 2), nn.TransformerEncoderLayer(4, 2), nn.LayerNorm(4), nn.Bilinear(2, 2, 2),
    )  # fmt: skip
    assert set(read_inits(layers, builder).values()) == {None}


@pytest.mark.parametrize("builder", [build_on_meta, build_deferred])
@pytest.mark.parametrize(
    ("function", "note"),
    [
        (nn.init.zeros_, "zeros_()"),
        (nn.init.ones_, "ones_()"),
        (lambda weight: nn.init.constant_(weight, 0.5), "fill_(0.5)"),
        (lambda weight: nn.init.normal_(weight, std=0.02), "normal_(mean=0, std=0.02)"),
        (lambda weight: weight.data.normal_(0, 0.02), "normal_(mean=0, std=0.02)"),
        (lambda weight: nn.init.uniform_(weight, -1, 1), "uniform_(a=-1, b=1)"),
        # std of He's values for 4 outputs and ReLU: sqrt(2 / 4)
        (
            lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu"),
            "kaiming_normal_(a=0, mode='fan_out', nonlinearity='relu') = normal_(mean=0, std=0.707107)",
        ),
        # bound of Glorot's values: sqrt(6 / (8 + 4))
        (nn.init.xavier_uniform_, "xavier_uniform_(gain=1) = uniform_(a=-0.707107, b=0.707107)"),
        (lambda weight: nn.init.trunc_normal_(weight, std=0.02), "trunc_normal_(mean=0, std=0.02, a=-2, b=2)"),
        (lambda weight: nn.init.orthogonal_(weight), "orthogonal_(gain=1)"),
        (lambda weight: weight.data.mul_(0.5), "mul_(0.5)"),
        (lambda weight: weight.data.zero_(), "zeros_()"),
    ],
)
def test_the_function_is_noted_with_its_arguments(builder, function, note):
    assert read_inits(initialise(function), builder) == {"weight": note, "bias": None}


def test_the_last_initialisation_counts_and_arithmetic_adds_to_it():
    normal = lambda weight: nn.init.normal_(weight, std=0.02)  # noqa: E731
    assert read_inits(initialise(nn.init.ones_, normal))["weight"] == "normal_(mean=0, std=0.02)"
    assert read_inits(initialise(normal, lambda weight: weight.data.div_(2)))["weight"] == "normal_(mean=0, std=0.02), div_(2)"
    assert (
        read_inits(initialise(normal, lambda weight: weight.data[0].zero_()))["weight"] == "normal_(mean=0, std=0.02), zeros_() in a part"
    )
    assert read_inits(lambda: (layer := initialise(normal)()).reset_parameters() or layer)["weight"] is None


class Positions(nn.Module):
    """Parameters that the class creates itself."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.scale = nn.Parameter(torch.ones(4) * 1e-6)
        self.table = nn.Parameter(torch.randn(1, 9, 4) * 0.02)
        self.empty = nn.Parameter(torch.empty(2))
        self.layer = nn.Linear(4, 4)
        self.apply(self.initialise)

    @staticmethod
    def initialise(layer):
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        return self.layer(x + self.table) * self.scale


@pytest.mark.parametrize("builder", [build_on_meta, build_deferred])
def test_parameters_of_user_classes_have_the_operators_that_created_them(builder):
    assert read_inits(Positions, builder) == {
        "token": "zeros_()",
        "scale": "ones_(), mul(1e-06)",
        "table": "normal_(mean=0, std=1), mul(0.02)",
        "empty": None,
        "layer.weight": None,
        "layer.bias": "zeros_()",
    }


def test_the_profile_has_the_notes_and_the_library_of_each_class():
    recipe = Recipe(name="toy", reference="toy", build=Positions, example_inputs=lambda: torch.zeros(1, 9, 4))
    profile = measure_recipe(recipe, other_counters=False)
    assert {tensor.name: tensor.init for tensor in module(profile, "").tensors}["token"] == "zeros_()"
    assert [tensor.init for tensor in module(profile, "layer").tensors] == [None, "zeros_()"]
    assert [record.defined_in for record in profile.modules] == ["", "torch"]


def test_a_live_model_is_not_labelled():
    model = initialise(nn.init.zeros_)()
    recipe = Recipe(name="toy", reference="toy", build=lambda: model, example_inputs=lambda: torch.zeros(1, 8), instance=True)
    measure_recipe(recipe, other_counters=False)
    assert vars(model.weight) == {}
    assert nn.init.orthogonal_.__module__ == "torch.nn.init"
    assert not hasattr(nn.init.orthogonal_, "__wrapped__")


def test_parameters_made_from_numpy_and_lists_are_read():
    numpy = pytest.importorskip("numpy")

    class FromNumpy(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.from_numpy(numpy.zeros(3, dtype="float32")))
            self.b = nn.Parameter(torch.tensor([1.0, 2.0]))
            self.c = nn.Parameter(torch.tensor(torch.ones(2).numpy() if self.a.device.type == "cpu" else [1.0]))

    assert set(read_inits(FromNumpy, build_deferred)) == {"a", "b", "c"}
