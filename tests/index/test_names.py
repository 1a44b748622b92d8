"""Families of types, and how similar types and names are: tables worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest
from factories import make_module, make_tensor

from archaudit.index.layers import Layer, compare_containers, compare_layers, compare_names, find_family, read_layer, read_weight
from archaudit.index.program_texts import _join


@pytest.mark.parametrize(
    ("type_name", "family"),
    [
        ("Conv2d", "conv"), ("LazyConvTranspose3d", "conv"), ("Conv1d", "conv"), ("Conv1D", "linear"), ("WSConv2d", "conv"),
        ("Linear", "linear"), ("NonDynamicallyQuantizableLinear", "linear"), ("Bilinear", "linear"),
        ("ReLU", "activation"), ("GELUActivation", "activation"), ("PReLU", "activation"), ("ReLUX", ""),
        ("BatchNorm2d", "norm"), ("LlamaRMSNorm", "norm"), ("Conv2dNormActivation", "norm"),
        ("Dropout2d", "dropout"), ("DropPath", "dropout"), ("StochasticDepth", "dropout"), ("AdaptiveAvgPool2d", "pool"),
        ("EmbeddingBag", "embedding"), ("Upsample", "resize"), ("PixelShuffle", "resize"), ("LSTM", "recurrent"), ("GRUCell", "recurrent"),
        ("MultiheadAttention", "attention"), ("ZeroPad2d", "padding"), ("Sequential", ""), ("Block", ""),
    ],
)  # fmt: skip
def test_the_family_of_a_type(type_name: str, family: str) -> None:
    assert find_family(type_name) == family


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("ReLU", "ReLU", 1.0),
        ("ReLU", "GELU", 0.5),
        ("ReLU", "Conv2d", 0.0),
        ("Linear", "Block", 0.0),
        ("Block", "Linear", 0.0),
        ("FastBlock", "SlowBlock", 0.5),  # of no family: one word of two each
        ("Block", "Unit", 0.0),
    ],
)
def test_how_similar_two_types_of_layer_are(one: str, other: str, alike: float) -> None:
    assert compare_layers(one, other) == compare_layers(other, one) == alike


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Sequential", "Sequential", 1.0),
        ("ReLU", "GELU", 0.0),  # containers have no family
        ("ViTBlock", "ViTLayer", 0.5),
        ("HTTPServer", "HTTPClient", 0.5),  # a run of capitals is a word
        ("A1", "A2", 0.5),  # and so is a number
        ("", "", 1.0),
        ("_", "__", 0.0),
    ],
)
def test_how_similar_two_types_of_container_are(one: str, other: str, alike: float) -> None:
    assert compare_containers(one, other) == compare_containers(other, one) == alike


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("fc", "fc", 1),
        ("0", "0", 1),
        ("0", "1", 0),
        ("0", "fc", None),
        ("a", "b", 0),
        ("conv1", "conv2", Fraction(4, 5)),  # four letters of five; one word of two is less
        ("norm", "norm_layer", Fraction(2, 3)),  # one word of one and two: 2/3; four letters of ten are less
        ("left_proj", "right_proj", Fraction(1, 2)),
        ("abc", "abd", Fraction(2, 3)),
        ("xabc", "yabc", 0),
        ("_", "-", 0),  # no words at all
        ("_", "_a", Fraction(1, 2)),
    ],
)
def test_how_similar_two_names_are(one: str, other: str, alike: Fraction | None) -> None:
    found = compare_names(one, other)
    assert found == compare_names(other, one)
    assert found == (None if alike is None else pytest.approx(float(alike)))


def weight(type_name: str, *shape: int, **settings: object) -> object:
    return make_module(0, type_name, tensors=(make_tensor("bias", (3,)), make_tensor("weight", shape)), settings=settings)


@pytest.mark.parametrize(
    ("record", "sizes"),
    [
        (weight("Conv2d", 6, 2, 3, 5, groups=4), Layer(8, 6, (3, 5), 4)),
        (weight("ConvTranspose2d", 8, 2, 3, 5, groups=4, transposed=True), Layer(8, 8, (3, 5), 4)),
        (weight("Conv2d", 6, 2, 3, 5), Layer(2, 6, (3, 5), 1)),
        (weight("Linear", 6, 2), Layer(2, 6, (), 1)),
        (weight("Linear", 6, 2, groups=4), Layer(2, 6, (), 1)),  # a linear layer has no groups
        (weight("Conv1D", 6, 2), Layer(6, 2, (), 1)),
        (weight("Embedding", 6, 2), Layer(2, 6, (), 1)),
        (weight("Conv2d", 6, 2, 3, groups=0), None),
        (weight("Conv2d", 6, 2, 3, groups="2"), None),
        (weight("BatchNorm2d", 6), None),
    ],
)
def test_the_sizes_of_a_weight(record: object, sizes: Layer | None) -> None:
    assert read_weight(record) == sizes  # type: ignore[arg-type]


def test_only_convolutions_and_linear_layers_are_layers() -> None:
    kinds = [("Conv2d", (6, 2, 3)), ("Linear", (6, 2)), ("Embedding", (6, 2)), ("Linear", (6, 2, 3)), ("Conv2d", (6, 2))]
    assert [read_layer(weight(name, *shape)) is not None for name, shape in kinds] == [True, True, False, False, False]  # type: ignore[arg-type]
    buffer = make_module(0, "Linear", tensors=(make_tensor("weight", (6, 2), kind="buffer"),))
    assert read_layer(buffer) is None


def test_roles_and_weights() -> None:
    layers = [
        Layer(8, 8, (3, 3), 8),
        Layer(8, 5, (1, 1), 1),
        Layer(8, 5, (), 1),
        Layer(8, 5, (3, 1), 1),
        Layer(8, 6, (3, 3), 2),
        Layer(1, 4, (3,), 1),
    ]
    assert [layer.role for layer in layers] == ["depthwise", "pointwise", "pointwise", "dense", "grouped", "dense"]
    assert [layer.weights for layer in layers] == [72, 40, 40, 120, 216, 12]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (list("abcde"), "a, b, c, d and e"),
        (list("abcdef"), "a, b, c, d and 2 more"),
    ],
)
def test_operands_are_listed_up_to_five(names, text):
    assert _join(names) == text
