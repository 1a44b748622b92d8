"""Sparse tensors in live models and in inputs keep their layout: only stored entries are multiplied."""

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
