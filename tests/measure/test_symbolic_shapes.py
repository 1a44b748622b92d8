"""Shapes in terms of the input size, for small models whose shapes are worked out by hand."""

import pytest
import torch
from torch import nn

from archaudit.measure.recipe import measure_recipe
from archaudit.measure.symbolic_shapes import _Explainer
from archaudit.schema import InputSpec, Recipe


def resolve(build, *shapes, dtype="float32"):
    """The symbolic shape of each operator and module (of its last run), and the assumptions."""
    inputs = tuple(InputSpec(shape=shape, dtype=dtype) for shape in shapes)
    recipe = Recipe(name="toy", reference="toy", build=build, inputs=inputs)
    profile = measure_recipe(recipe, other_counters=False, symbolic=True)
    return {node.module if node.op == "call" else node.op: node.symbolic for node in profile.flow}, profile.ledger.assumptions


class Pyramid(nn.Module):
    """128 channels at a fourth of the height, on an input of 512: everything is 128."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 128, 7, stride=4, padding=3)
        self.narrow = nn.Conv2d(128, 5, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        y = self.down(x)
        self.pool(y)
        tokens = torch.cat([y.flatten(2), y.new_zeros(y.shape[0], 128, 1)], dim=2)
        return self.narrow(y), tokens, nn.functional.interpolate(x, scale_factor=2)


def test_channels_are_not_confused_with_a_quarter_of_the_height():
    shapes, assumptions = resolve(Pyramid, (1, 3, 512, 512))
    assert shapes == {
        "input": ("B", "3", "H", "W"),
        "down": ("B", "128", "H/4", "W/4"),
        "pool": ("B", "128", "1", "1"),
        "new_zeros": ("B", "128", "1"),
        "cat": ("B", "128", "H*W/16+1"),
        "narrow": ("B", "5", "H/4-2", "W/4-2"),
        "upsample_nearest2d": ("B", "3", "2*H", "2*W"),
    }
    assert assumptions == ()


def test_sizes_that_do_not_divide_are_rounded_as_the_model_does():
    # 30 -> (30 + 2 - 3) // 2 + 1 = 15 and (30 - 3) // 2 + 1 = 14; 31 -> 16 and 15
    layers = lambda: nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 1, stride=2))  # noqa: E731
    assert resolve(layers, (1, 3, 31, 30))[0]["0"] == ("B", "4", "ceil(H/2)", "W/2")
    valid = lambda: nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU())  # noqa: E731
    assert resolve(valid, (1, 3, 31, 30))[0]["0"] == ("B", "4", "floor(H/2)", "W/2-1")


def test_a_model_with_a_fixed_size_has_shapes_in_terms_of_the_batch():
    fixed = lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4 * 8 * 8, 10))  # noqa: E731
    shapes, assumptions = resolve(fixed, (1, 3, 8, 8))
    assert shapes == {"input": ("B", "3", "8", "8"), "0": ("B", "4", "8", "8"), "1": ("B", "256"), "2": ("B", "10")}
    assert len(assumptions) == 1
    assert "another size" in assumptions[0]


def test_sequences_have_a_batch_and_a_length():
    layers = lambda: nn.Sequential(nn.Embedding(50, 16), nn.LayerNorm(16), nn.Linear(16, 50))  # noqa: E731
    assert resolve(layers, (2, 24), dtype="int64")[0]["2"] == ("B", "T", "50")


def test_a_model_that_accepts_one_shape_only_has_no_symbolic_shapes():
    class Strict(nn.Module):
        def forward(self, x):
            assert x.shape == (1, 3, 8, 8)
            return x + 1

    shapes, assumptions = resolve(Strict, (1, 3, 8, 8))
    assert set(shapes.values()) == {None}
    assert len(assumptions) == 1


def test_operators_with_another_number_of_runs_stay_unknown():
    class Unrolled(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.ReLU()

        def forward(self, x):
            for _ in range(x.shape[2] // 8):
                x = x + 1
            return self.last(x)

    shapes, _ = resolve(Unrolled, (1, 3, 8, 8))
    assert shapes == {"input": ("B", "3", "H", "W"), "add": None, "last": ("B", "3", "H", "W")}


def test_shapes_are_not_resolved_by_default():
    recipe = Recipe(name="toy", reference="toy", build=nn.ReLU, inputs=(InputSpec(shape=(1, 3)),))
    assert [node.symbolic for node in measure_recipe(recipe, other_counters=False).flow] == [None, None]


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ((7, 7, 7), "7"),
        ((1, 3, 6), "B"),
        ((4, 12, 24), "4*B"),
        ((64, 72, 88), "H/8"),
        ((64, 80, 72), "W/8"),
        ((33, 37, 45), "H/16+1"),
        ((1024, 3 * 36 * 40, 6 * 44 * 36), "B*H*W/256"),
        ((5, 9, 4), None),
    ],
)
def test_the_simplest_formula_that_three_runs_agree_on(sizes, text):
    explain = _Explainer({"B": (1, 3, 6), "H": (512, 576, 704), "W": (512, 640, 576)})
    assert explain.size(sizes) == text
