"""Complex and sparse tensors, and derivatives inside forward: work that a counter of layers misses or counts several times."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, linear, param

_NODES, _EDGES = 40, 60


def _complexes(*shape: int) -> Any:
    return lambda: (torch.randn(shape, dtype=torch.complex64),)


def _edges() -> torch.Tensor:
    """The positions of 60 different entries of a 40 x 40 matrix: every 26th, row by row."""
    flat = torch.arange(_EDGES, device="cpu") * 26
    return torch.stack([flat // _NODES, flat % _NODES])


def _adjacency() -> torch.Tensor:
    return torch.sparse_coo_tensor(_edges(), torch.ones(_EDGES, device="cpu"), (_NODES, _NODES), device="cpu").coalesce()


def _rows() -> torch.Tensor:
    return _adjacency().to_sparse_csr()


def _propagate(model: Any, x: torch.Tensor) -> Any:
    return model.adjacency @ model.layer(x)


def _propagate_built(model: Any, x: torch.Tensor) -> Any:
    values = torch.ones(_EDGES, device=x.device)
    return torch.sparse_coo_tensor(model.edges, values, (_NODES, _NODES)) @ model.layer(x)


def _gradient_of(activation: Any) -> Any:
    def run(model: Any, x: torch.Tensor) -> Any:
        with torch.enable_grad():
            position = x.detach().requires_grad_(True)
            energy = model.second(activation(model.first(position))).sum()
            (gradient,) = torch.autograd.grad(energy, position)
        return gradient

    return run


def _image_gradient(model: Any, x: torch.Tensor) -> Any:
    with torch.enable_grad():
        picture = x.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(model.conv(picture).relu().sum(), picture)
    return gradient


def _derivative(name: str, activation: Any) -> Case:
    return Case(
        name=f"gradient_through_{name}",
        shows=f"The gradient of an energy: the products run forward and backward, and the derivative of {name} is pointwise.",
        build=lambda: Model(_gradient_of(activation), first=nn.Linear(2, 8), second=nn.Linear(8, 1)),
        args=floats(5, 2),
        params=(2 * 8 + 8) + (8 + 1),
        macs=5 * (2 * 8 + 8) + 5 * (8 + 2 * 8),  # forward; then the gradient through both layers
        tags=("autograd",),
    )


def _sparse(name: str, shows: str, run: Any, **parts: Any) -> Case:
    return Case(
        name=name,
        shows=shows,
        build=lambda: Model(run, layer=linear(16, 8), **{part: make() for part, make in parts.items()}),
        args=floats(_NODES, 16),
        params=16 * 8,
        macs=_NODES * 16 * 8 + _EDGES * 8,  # each stored entry is multiplied with one row of 8
        needs_real=True,
        tags=("sparse",),
    )


CASES = (
    Case(
        name="complex_linear",
        shows="A complex multiplication is one multiplication, in a linear layer.",
        build=lambda: nn.Sequential(nn.Linear(8, 16, bias=False, dtype=torch.complex64)),
        args=_complexes(36, 8),
        params=8 * 16,
        macs=36 * 8 * 16,
        tags=("complex",),
    ),
    Case(
        name="complex_conv2d",
        shows="A complex 1x1 convolution costs as much as the complex linear layer at the same positions.",
        build=lambda: nn.Sequential(nn.Conv2d(8, 16, 1, bias=False, dtype=torch.complex64)),
        args=_complexes(1, 8, 6, 6),
        params=8 * 16,
        macs=36 * 8 * 16,
        tags=("complex", "convolution"),  # complexPyTorch#31
    ),
    Case(
        name="complex_conv1d_with_bias",
        shows="A complex convolution over a sequence, in two groups, with a bias.",
        build=lambda: nn.Sequential(nn.Conv1d(4, 6, 3, padding=1, groups=2, dtype=torch.complex64)),
        args=_complexes(2, 4, 10),
        params=6 * (4 // 2) * 3 + 6,
        macs=2 * 10 * 6 * (4 // 2) * 3,
        tags=("complex", "convolution"),
    ),
    Case(
        name="complex_conv_transpose2d",
        shows="A complex transposed convolution is counted once for each input position.",
        build=lambda: nn.Sequential(nn.ConvTranspose2d(8, 16, 2, bias=False, dtype=torch.complex64)),
        args=_complexes(1, 8, 6, 6),
        params=8 * 16 * 4,
        macs=36 * 8 * 16 * 4,
        tags=("complex", "transposed"),
    ),
    Case(
        name="functional_complex_conv2d",
        shows="Two complex convolutions in one forward, on a parameter of the model, then a real one.",
        build=lambda: Model(
            lambda m, x: F.conv2d(F.conv2d(F.conv2d(x, m.weight, padding=1), m.weight, padding=1).real, m.real_weight),
            weight=param(4, 4, 3, 3, dtype=torch.complex64),
            real_weight=param(2, 4, 1, 1),
        ),
        args=_complexes(1, 4, 5, 5),
        params=4 * 4 * 9 + 2 * 4,
        macs=2 * 25 * 4 * 4 * 9 + 25 * 2 * 4,
        tags=("complex", "functional"),
    ),
    _sparse(
        "sparse_coo_buffer", "A graph layer multiplies the stored entries of its adjacency matrix only.", _propagate, adjacency=_adjacency
    ),
    _sparse("sparse_csr_buffer", "The same matrix, compressed by rows.", _propagate, adjacency=_rows),
    _sparse("sparse_built_in_forward", "The same matrix, made from its edges in forward.", _propagate_built, edges=_edges),
    Case(
        name="dense_adjacency",
        shows="The same matrix as a dense buffer is multiplied element by element.",
        build=lambda: Model(_propagate, layer=linear(16, 8), adjacency=torch.zeros(_NODES, _NODES)),
        args=floats(_NODES, 16),
        params=16 * 8,
        macs=_NODES * 16 * 8 + _NODES * _NODES * 8,
        tags=("sparse",),
    ),
    _derivative("tanh", torch.tanh),
    _derivative("sigmoid", torch.sigmoid),
    _derivative("silu", F.silu),
    _derivative("gelu", F.gelu),
    _derivative("softplus", F.softplus),
    _derivative("elu", F.elu),
    _derivative("hardswish", F.hardswish),
    _derivative("relu", torch.relu),
    Case(
        name="gradient_through_convolution",
        shows="The gradient of a convolution with respect to its input multiplies the same pairs again.",
        build=lambda: Model(_image_gradient, conv=nn.Conv2d(3, 6, 3, padding=1)),
        args=floats(1, 3, 8, 8),
        params=6 * 3 * 9 + 6,
        macs=2 * 64 * 6 * 3 * 9,
        tags=("autograd", "convolution"),
    ),
)
