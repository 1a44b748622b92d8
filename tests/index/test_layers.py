"""The sizes of layers, compared with real modules of torch; and the one layer whose weight is stored transposed."""

from __future__ import annotations

import pytest
from factories import make_module, make_tensor
from torch import nn

from archaudit.index import Layer, find_family, read_layer, read_weight
from archaudit.schema import ModuleRecord


def record(layer: nn.Module) -> ModuleRecord:
    shapes = {name: tuple(tensor.shape) for name, tensor in layer.named_parameters()}
    settings = {"groups": getattr(layer, "groups", 1), "transposed": getattr(layer, "transposed", False)}
    return make_module(
        type=type(layer).__name__, settings=settings, tensors=tuple(make_tensor(name, shape) for name, shape in shapes.items())
    )


@pytest.mark.parametrize(
    ("layer", "sizes", "role"),
    [
        (nn.Linear(3, 7), Layer(3, 7, (), 1), "pointwise"),
        (nn.Conv2d(4, 8, (3, 5)), Layer(4, 8, (3, 5), 1), "dense"),
        (nn.Conv2d(4, 8, 1), Layer(4, 8, (1, 1), 1), "pointwise"),
        (nn.Conv2d(4, 8, 3, groups=4), Layer(4, 8, (3, 3), 4), "depthwise"),
        (nn.Conv2d(4, 8, 3, groups=2), Layer(4, 8, (3, 3), 2), "grouped"),
        (nn.Conv1d(4, 8, 3), Layer(4, 8, (3,), 1), "dense"),
        (nn.ConvTranspose2d(4, 8, 3, groups=2), Layer(4, 8, (3, 3), 2), "grouped"),
        (nn.ConvTranspose3d(6, 2, 2), Layer(6, 2, (2, 2, 2), 1), "dense"),
    ],
)
def test_the_sizes_are_those_of_the_constructor(layer: nn.Module, sizes: Layer, role: str) -> None:
    read = read_layer(record(layer))
    assert read == sizes
    assert read is not None
    assert read.role == role
    assert read.weights == sum(parameter.numel() for name, parameter in layer.named_parameters() if name == "weight")


def test_the_weight_of_transformers_conv1d_is_stored_with_its_inputs_first() -> None:
    assert read_layer(make_module(type="Conv1D", tensors=(make_tensor("weight", (16, 64)),))) == Layer(16, 64, (), 1)
    assert find_family("Conv1D") == "linear"


def test_an_embedding_has_a_weight_and_is_not_a_convolution_or_linear_layer() -> None:
    table = record(nn.Embedding(10, 4))
    assert read_layer(table) is None
    assert read_weight(table) == Layer(4, 10, (), 1)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(4), nn.ReLU(), nn.PReLU()])
def test_a_module_without_a_matrix_has_no_sizes(layer: nn.Module) -> None:
    assert read_weight(record(layer)) is None
