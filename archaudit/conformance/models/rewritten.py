"""The same mathematics in another form: products written as elementwise arithmetic and sums, windows, Fourier transforms, factorizations.

A product that is written as an elementwise multiplication and a sum counts as zero, as elementwise operators do; the number of einsum is
another convention.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, image, linear, param

_EDGES = 50


def _summed(name: str, shows: str, run: Callable[..., Any], products: int, args: Callable[[], tuple[Any, ...]], **parts: Any) -> Case:
    """A layer of 8 x 8 on ten rows, and then products that count as zero."""
    return Case(
        name=name,
        shows=shows,
        build=lambda: Model(run, layer=linear(8, 8), **parts),
        args=args,
        params=8 * 8,
        macs=10 * 8 * 8,
        by_convention=(10 * 8 * 8 + products,),
        tags=("elementwise",),
    )


def _graph() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ten nodes of 8 features, 50 edges with a weight each."""
    places = torch.arange(2 * _EDGES).view(2, _EDGES) % 10
    return torch.randn(10, 8), places, torch.randn(_EDGES, 1)


def _spread(edges: torch.Tensor) -> torch.Tensor:
    return edges[1][:, None].expand(-1, 8)


def _windows(model: Any, x: torch.Tensor) -> Any:
    """A convolution as a product of unfolded windows with the kernel."""
    windows = x.unfold(2, 3, 1).unfold(3, 3, 1)  # 1, 3, 6, 6, 3, 3
    return torch.einsum("bchwij,ocij->bohw", windows, model.kernel)


def _shifted(model: Any, x: torch.Tensor) -> Any:
    """A 1x3 convolution as three linear layers on shifted inputs."""
    return sum(model.taps[shift](x[:, shift : shift + 6]) for shift in range(3))


def _fourier_mixing(model: Any, x: torch.Tensor) -> Any:
    """FNet: a Fourier transform over both dimensions instead of attention."""
    return model.layer(torch.fft.fft2(x).real)


def _fourier_operator(model: Any, x: torch.Tensor) -> Any:
    """A layer of a Fourier neural operator: the lowest 4 frequencies are multiplied with a complex matrix each."""
    spectrum = torch.fft.rfft(x)
    lowest = torch.einsum("bcf,cof->bof", spectrum[..., :4], model.weight)
    return torch.fft.irfft(F.pad(lowest, (0, 5)), n=16)


def _whiten(model: Any, x: torch.Tensor) -> Any:
    """Whitening by the factor of a covariance matrix, which is given."""
    return torch.linalg.solve_triangular(torch.linalg.cholesky(model.covariance), x, upper=False)


def _linear_attention(model: Any, x: torch.Tensor) -> Any:
    """The product of keys and values first: it grows with the length, not with its square."""
    query, key, value = model.qkv(x).chunk(3, dim=-1)
    return query.relu() @ (key.relu().transpose(-2, -1) @ value)


def _window_attention(model: Any, x: torch.Tensor) -> Any:
    """Attention in windows of 4, as in Swin."""
    query, key, value = (part.view(5, 4, 8) for part in model.qkv(x).view(20, 24).chunk(3, dim=-1))
    return F.scaled_dot_product_attention(query, key, value)


def _relative_positions(model: Any, x: torch.Tensor) -> Any:
    """Attention with a product of queries and relative positions, as in Transformer-XL."""
    query, key, value = model.qkv(x).chunk(3, dim=-1)
    scores = query @ key.transpose(-2, -1) + torch.einsum("btd,tsd->bts", query, model.positions)
    return scores.softmax(-1) @ value


def _second_order(model: Any, x: torch.Tensor) -> Any:
    """A factorization machine: pairwise products of 6 fields in the form of squared sums."""
    fields = model.factors * x[..., None]
    return (fields.sum(1) ** 2 - (fields**2).sum(1)).sum(-1) + model.layer(x)


CASES = (
    _summed(
        "inner_products_by_mul", "(q * k).sum(-1).", lambda m, x, y: (m.layer(x) * y).sum(-1), 10 * 8, lambda: (torch.randn(10, 8),) * 2
    ),
    _summed("vecdot", "torch.linalg.vecdot.", lambda m, x: torch.linalg.vecdot(m.layer(x), x), 10 * 8, floats(10, 8)),
    _summed("cosine_similarity", "Cosines of pairs of rows.", lambda m, x: F.cosine_similarity(m.layer(x), x), 10 * 8, floats(10, 8)),
    _summed(
        "outer_products_by_mul",
        "All pairs of rows by broadcasting.",
        lambda m, x: (m.layer(x)[:, None] * x[None]).sum(-1),
        10 * 10 * 8,
        floats(10, 8),
    ),
    _summed(
        "distances_by_hand",
        "Squared distances of all pairs by broadcasting.",
        lambda m, x: (m.layer(x)[:, None] - x[None]).pow(2).sum(-1),
        10 * 10 * 8,
        floats(10, 8),
    ),
    _summed("average_by_mul", "Weighted averages.", lambda m, x: (m.layer(x) * x.softmax(0)).mean(0), 10 * 8, floats(10, 8)),
    _summed(
        "addcmul", "A product added into zeros, then summed.", lambda m, x: torch.addcmul(x, m.layer(x), x).sum(-1), 10 * 8, floats(10, 8)
    ),
    _summed(
        "messages_index_add",
        "Weighted messages along edges, added by index.",
        lambda m, x, e, w: torch.zeros_like(x).index_add(0, e[1], m.layer(x)[e[0]] * w),
        _EDGES * 8,
        _graph,
    ),
    _summed(
        "messages_scatter_add",
        "The same, by scatter_add.",
        lambda m, x, e, w: torch.zeros_like(x).scatter_add(0, _spread(e), m.layer(x)[e[0]] * w),
        _EDGES * 8,
        _graph,
    ),
    _summed(
        "messages_scatter_reduce",
        "Averages of messages.",
        lambda m, x, e, w: torch.zeros_like(x).scatter_reduce(0, _spread(e), m.layer(x)[e[0]] * w, "mean"),
        _EDGES * 8,
        _graph,
    ),
    _summed(
        "messages_index_put",
        "Messages accumulated by index_put.",
        lambda m, x, e, w: torch.zeros_like(x).index_put((e[1],), m.layer(x)[e[0]] * w, accumulate=True),
        _EDGES * 8,
        _graph,
    ),
    _summed(
        "neighbours_averaged",
        "The average of five neighbours.",
        lambda m, x, e, w: m.layer(x)[e[0].view(10, 5)].mean(1),
        _EDGES * 8,
        _graph,
    ),
    Case(
        name="conv_by_windows",
        shows="A convolution as an einsum over windows costs as much as the convolution.",
        build=lambda: Model(_windows, kernel=param(4, 3, 3, 3)),
        args=image(3, 8),
        params=4 * 3 * 9,
        macs=36 * 4 * 3 * 9,
        tags=("einsum", "convolution"),
    ),
    Case(
        name="conv_by_shifts",
        shows="A convolution as three linear layers on shifted inputs.",
        build=lambda: Model(_shifted, taps=nn.ModuleList([linear(8, 4) for _ in range(3)])),
        args=floats(2, 8, 8),
        params=3 * 8 * 4,
        macs=2 * 6 * 3 * 8 * 4,
        tags=("convolution",),
    ),
    Case(
        name="fft_mixing",
        shows="A Fourier transform over 8 rows of 6 complex numbers: N (p1 + p2 + ...) for each dimension.",
        build=lambda: Model(_fourier_mixing, layer=linear(6, 6)),
        args=floats(8, 6),
        params=6 * 6,
        macs=8 * 6 * (2 + 2 + 2) + 8 * 6 * (2 + 3) + 8 * 6 * 6,
        may_be_incomplete=True,
        by_convention=(8 * 6 * 6,),
        tags=("fft",),
    ),
    Case(
        name="fourier_operator",
        shows="Products of complex numbers between a Fourier transform and its inverse.",
        build=lambda: Model(_fourier_operator, weight=param(3, 5, 4, dtype=torch.complex64)),
        args=floats(2, 3, 16),
        params=3 * 5 * 4,
        macs=2 * 3 * 16 * 8 // 2 + 2 * 3 * 5 * 4 + 2 * 5 * 16 * 8 // 2,
        may_be_incomplete=True,
        by_convention=(2 * 3 * 5 * 4,),
        tags=("fft", "complex"),
    ),
    Case(
        name="whitening",
        shows="A Cholesky factorization and a triangular system.",
        build=lambda: Model(_whiten, covariance=torch.eye(6)),
        args=floats(6, 4),
        params=0,
        macs=(6**3 - 6) // 6 + 4 * (0 + 1 + 2 + 3 + 4 + 5),  # element (i, j) of the factor is a sum of j products
        may_be_incomplete=True,
        tags=("linalg",),
    ),
    Case(
        name="matrix_power",
        shows="The third power of a matrix is two products.",
        build=lambda: Model(lambda m, x: x @ torch.linalg.matrix_power(m.step, 3), step=param(8, 8)),
        args=floats(4, 8),
        params=8 * 8,
        macs=2 * 8**3 + 4 * 8 * 8,
        tags=("linalg",),
    ),
    Case(
        name="inner",
        shows="torch.inner multiplies all pairs of rows.",
        build=lambda: Model(lambda m, x: torch.inner(x, m.rows), rows=param(7, 8)),
        args=floats(5, 8),
        params=7 * 8,
        macs=5 * 7 * 8,
        tags=("operator",),
    ),
    Case(
        name="kron_is_no_contraction",
        shows="A Kronecker product sums nothing.",
        build=lambda: Model(lambda m, x: torch.kron(x, m.block), block=param(3, 3)),
        args=floats(4, 4),
        params=9,
        macs=0,
        by_convention=(16 * 9,),
        tags=("zero",),
    ),
    Case(
        name="linear_attention",
        shows="Attention without softmax: the keys and values are multiplied first.",
        build=lambda: Model(_linear_attention, qkv=linear(8, 24)),
        args=floats(2, 20, 8),
        params=8 * 24,
        macs=2 * 20 * 8 * 24 + 2 * (8 * 20 * 8) * 2,
        tags=("attention",),
    ),
    Case(
        name="window_attention",
        shows="Attention in five windows of four tokens.",
        build=lambda: Model(_window_attention, qkv=linear(8, 24)),
        args=floats(1, 20, 8),
        params=8 * 24,
        macs=20 * 8 * 24 + 5 * 2 * 4 * 4 * 8,
        tags=("attention",),
    ),
    Case(
        name="relative_position_attention",
        shows="Attention with a third product, of queries and relative positions.",
        build=lambda: Model(_relative_positions, qkv=linear(8, 24), positions=param(6, 6, 8)),
        args=floats(2, 6, 8),
        params=8 * 24 + 6 * 6 * 8,
        macs=2 * 6 * 8 * 24 + 3 * (2 * 6 * 6 * 8),
        tags=("attention", "einsum"),
    ),
    Case(
        name="factorization_machine",
        shows="Pairwise products of fields by squared sums are elementwise; the linear part is a product.",
        build=lambda: Model(_second_order, factors=param(6, 4), layer=linear(6, 1)),
        args=floats(5, 6),
        params=6 * 4 + 6,
        macs=5 * 6,
        by_convention=(5 * 6 + 5 * 6 * 4, 5 * 6 + 2 * 5 * 6 * 4),
        tags=("elementwise",),
    ),
)
