"""Sparse and complex tensors in live models and in inputs: only stored entries are multiplied, and complex numbers once."""

import pytest
import torch
from torch import nn

import archaudit

pytestmark = pytest.mark.filterwarnings("ignore:Sparse ")

# 3 entries of a 10 x 10 matrix; a linear layer of 16 x 8 at 10 nodes runs before the product
LAYER, PRODUCT = 10 * 16 * 8, 3 * 8


def coo():
    return torch.sparse_coo_tensor([[0, 2, 5], [1, 7, 7]], [1.0, 2.0, 3.0], (10, 10)).coalesce()


class Given(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 8, bias=False)

    def forward(self, x, adjacency):
        return adjacency @ self.layer(x)


class Held(Given):
    def __init__(self, adjacency):
        super().__init__()
        self.register_buffer("adjacency", adjacency)

    def forward(self, x):
        return super().forward(x, self.adjacency)


@pytest.mark.parametrize("convert", [lambda matrix: matrix, lambda matrix: matrix.to_sparse_csr()], ids=["coo", "csr"])
def test_live_models_and_inputs_with_sparse_tensors(convert):
    adjacency = convert(coo())
    given = archaudit.profile(Given(), (torch.zeros(10, 16), adjacency))
    held = archaudit.profile(Held(adjacency), (torch.zeros(10, 16),))
    assert (given.totals.macs, given.flops_complete) == (LAYER + PRODUCT, True)
    assert (held.totals.macs, held.flops_complete) == (LAYER + PRODUCT, True)
    assert adjacency.layout in (torch.sparse_coo, torch.sparse_csr)


def test_a_dense_matrix_with_zeros_is_multiplied_whole():
    profile = archaudit.profile(Held(coo().to_dense()), (torch.zeros(10, 16),))
    assert profile.totals.macs == LAYER + 10 * 10 * 8


@pytest.mark.parametrize(
    ("convert", "indices"),
    [(lambda matrix: matrix, 2 * 3), (lambda matrix: matrix.to_sparse_csr(), 11 + 3), (lambda matrix: matrix.to_sparse_csc(), 11 + 3)],
    ids=["coo", "csr", "csc"],
)
def test_a_sparse_buffer_has_the_elements_that_it_stores(convert, indices):
    profile = archaudit.profile(Held(convert(coo())), (torch.zeros(10, 16),))
    assert profile.totals.buffers == 3
    dense = archaudit.profile(Held(coo().to_dense()), (torch.zeros(10, 16),))
    assert dense.totals.buffers == 100
    # the product reads the indices (8 bytes each) and the values instead of 100 elements
    assert dense.totals.moved_bytes - profile.totals.moved_bytes == 4 * 100 - (8 * indices + 4 * 3)


class Mix(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.mix = kind(8, 16, 1, bias=False, dtype=torch.complex64)

    def forward(self, x):
        return self.mix(x)


class ByHand(nn.Module):
    def __init__(self, _kind):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(16, 8, 1, 1, dtype=torch.complex64))

    def forward(self, x):
        real = torch.conv2d(x.real, self.w.real) - torch.conv2d(x.imag, self.w.imag)
        return torch.complex(real, torch.conv2d(x.real, self.w.imag) + torch.conv2d(x.imag, self.w.real))


IMAGE = torch.zeros(1, 8, 6, 6, dtype=torch.complex64)


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize(
    "compile",
    [lambda m: m, torch.jit.script, lambda m: torch.jit.trace(m, IMAGE), lambda m: torch.export.export(m, (IMAGE,)).module()],
    ids=["eager", "script", "trace", "export"],
)
def test_a_complex_convolution_counts_one_product_for_each_complex_one(kind, compile):
    profile = archaudit.profile(compile(Mix(kind).eval()), (IMAGE,))
    assert (profile.totals.macs, profile.flops_complete) == (36 * 8 * 16, True)


def test_parts_of_a_complex_convolution_may_be_copied_in_between():
    """One dimension, kernel 3, on a slice that is not contiguous: 8 x 16 x 3 products at 4 places."""

    class Copied(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Conv1d(8, 16, 3, bias=False, dtype=torch.complex64)

        def forward(self, x):
            return self.mix(x.transpose(1, 2))

    profile = archaudit.profile(Copied(), (torch.zeros(1, 6, 8, dtype=torch.complex64),))
    assert (profile.totals.macs, profile.flops_complete) == (4 * 8 * 16 * 3, True)


def test_four_real_convolutions_by_hand_are_four():
    assert archaudit.profile(ByHand(None), (IMAGE,)).totals.macs == 4 * 36 * 8 * 16
