"""The same contraction as einsum is counted; as an elementwise product and a sum it is named in an assumption."""

import pytest
import torch
from modeling import measure
from torch import nn

from archaudit.metrics.catalog import METRICS, measure_scope

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


ROWS, OTHERS = torch.zeros(10, 7), torch.zeros(12, 7)
EDGES, WEIGHTS = torch.zeros(2, 50, dtype=torch.long), torch.zeros(50, 1)


def spread(edges):
    return edges[1][:, None].expand(-1, 7)


@pytest.mark.parametrize(
    "run",
    [
        lambda q, k: torch.linalg.vecdot(q, k),
        lambda q, k: (q * k * 0.5).sum(-1),
        lambda q, k: ((q * k) / 3).mean(-1),
        lambda q, k: (q * k).masked_fill(q > 1, 0).sum(-1),
        lambda q, k: torch.where(q > 0, q * k, 0.0).sum(-1),
        lambda q, k: torch.addcmul(torch.zeros_like(q), q, k).sum(-1),
        lambda q, k: torch.cosine_similarity(q, k, -1),
        lambda q, k: (q * k).nansum(-1),
    ],
    ids=["vecdot", "scaled", "divided", "masked", "where", "addcmul", "cosine", "nansum"],
)
def test_other_ways_to_multiply_and_sum_are_recognized(run):
    assert count(run, QUERY, KEY) == PRODUCTS


@pytest.mark.parametrize(
    "run",
    [
        lambda x, y: (x[:, None] - y[None]).pow(2).sum(-1),
        lambda x, y: ((x[:, None] - y[None]) ** 2).mean(-1).sqrt(),
        lambda x, y: (x[:, None] - y[None]).norm(dim=-1),
        lambda x, y: (x[:, None] * y[None]).sum(-1),
    ],
    ids=["squares", "mean", "norm", "products"],
)
def test_distances_of_all_pairs_are_recognized_as_cdist_is_counted(run):
    pairs = 10 * 12 * 7
    assert measure(lambda: Run(torch.cdist), ROWS, OTHERS).totals.macs == pairs
    assert count(run, ROWS, OTHERS) == pairs


@pytest.mark.parametrize(
    "run",
    [
        lambda x, e, w: torch.zeros_like(x).index_add_(0, e[1], x[e[0]] * w),
        lambda x, e, w: torch.zeros_like(x).scatter_add(0, spread(e), x[e[0]] * w),
        lambda x, e, w: torch.zeros_like(x).scatter_reduce(0, spread(e), x[e[0]] * w, "sum"),
        lambda x, e, w: torch.zeros_like(x).scatter_reduce_(0, spread(e), x[e[0]], "mean"),
        lambda x, e, w: torch.zeros_like(x).index_put((e[1],), x[e[0]] * w, accumulate=True),
        lambda x, e, w: torch.segment_reduce(x[e[0]] * w, "sum", lengths=torch.full((10,), 5)),
        lambda x, e, w: x[e[0].view(10, 5)].mean(1),
        lambda x, e, w: torch.nn.functional.embedding_bag(e[0].view(10, 5), x, mode="sum"),
    ],
    ids=["index_add_", "scatter_add", "scatter_reduce", "average", "index_put", "segment_reduce", "neighbours", "embedding_bag"],
)
def test_sums_of_messages_are_recognized_as_a_sparse_product_is_counted(run):
    assert count(run, ROWS, EDGES, WEIGHTS) == 50 * 7


@pytest.mark.parametrize(
    "run",
    [
        lambda x, e, w: torch.zeros_like(x).index_put((e[1],), x[e[0]] * w),
        lambda x, e, w: torch.zeros_like(x).scatter(0, spread(e), x[e[0]] * w),
        lambda x, e, w: torch.zeros_like(x).scatter_reduce(0, spread(e), x[e[0]] * w, "amax"),
        lambda x, e, w: torch.nn.functional.embedding_bag(e[0].view(10, 5), x, mode="max"),
        lambda x, e, w: (x - x.mean(0)).pow(2).mean(0),
        lambda x, e, w: x[e[0, :4]].mean(0),  # a choice of rows, each once
        lambda x, e, w: torch.nn.functional.embedding(e[0].view(10, 5), x).mean(1),  # the mean of the words of a text
    ],
    ids=["replaced", "scattered", "largest", "largest in a bag", "variance", "few rows", "words"],
)
def test_rows_that_are_not_added_are_not(run):
    assert count(run, ROWS, EDGES, WEIGHTS) == 0


def count(run, *inputs):
    """The metric `summed_products`; the MACs are 0."""
    profile = measure(lambda: Run(run), *inputs)
    assert profile.totals.macs == 0
    found = measure_scope(profile, METRICS["summed_products"]).value
    assert profile.summed_products == ({"": found} if found else {})
    return found
