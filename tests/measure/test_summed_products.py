"""The same contraction as einsum is counted; as an elementwise product and a sum it is named in an assumption."""

import pytest
import torch
from modeling import measure
from torch import nn

# 3 sequences of 8 heads, 16 positions and 32 features
QUERY, KEY = torch.zeros(3, 8, 16, 32), torch.zeros(3, 8, 16, 32)
PRODUCTS = 3 * 8 * 16 * 32


class Run(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.run = run

    def forward(self, *inputs):
        return self.run(*inputs)


def profile(run, *inputs):
    profile = measure(lambda: Run(run), *inputs)
    notes = [text for text in profile.ledger.assumptions if "elementwise products" in text]
    return profile.totals.macs, notes


def test_an_einsum_is_counted_without_a_note():
    assert profile(lambda q, k: torch.einsum("bhtd,bhtd->bht", q, k), QUERY, KEY) == (PRODUCTS, [])


@pytest.mark.parametrize(
    "run",
    [
        lambda q, k: (q * k).sum(-1),
        lambda q, k: (q * k).mean(-1),
        lambda q, k: (q * k).transpose(1, 2).contiguous().sum((1, 3)),
        lambda q, k: q.clone().mul_(k).sum(),
    ],
    ids=["sum", "mean", "moved", "in place"],
)
def test_a_product_that_is_summed_has_a_note_with_its_size(run):
    macs, (note,) = profile(run, QUERY, KEY)
    assert macs == 0
    assert note.startswith("elementwise products or gathered rows are summed in the model itself")
    assert f"would be {PRODUCTS:,} multiply-accumulates" in note


def test_messages_along_edges_have_a_note():
    edges = torch.zeros(2, 50, dtype=torch.long)

    def weighted(x, edges, weights):
        return torch.zeros_like(x).index_add(0, edges[1], x[edges[0]] * weights)

    def plain(x, edges):
        return torch.zeros_like(x).index_add(0, edges[1], x.index_select(0, edges[0]))

    for macs, notes in (profile(weighted, torch.zeros(10, 7), edges, torch.zeros(50, 1)), profile(plain, torch.zeros(10, 7), edges)):
        assert macs == 0
        assert [f"{50 * 7} multiply-accumulates" in note for note in notes] == [True]


@pytest.mark.parametrize(
    "run",
    [
        lambda q, k: (q * q).sum(-1),
        lambda q, k: (q * 2.0).sum(-1),
        lambda q, k: (q * k + q).sum(-1),
        lambda q, k: (q * k).add_(1).sum(-1),
        lambda q, k: q * k,
        lambda q, k: ((q > 0) * (k > 0)).sum(-1),
    ],
    ids=["square", "scaled", "added", "added in place", "not summed", "masks"],
)
def test_other_elementwise_arithmetic_has_no_note(run):
    assert profile(run, QUERY, KEY) == (0, [])
