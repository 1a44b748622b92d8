from __future__ import annotations

import pytest
import torch

from archaudit.measure.formulas import count_operator

pytestmark = pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta")

DENSE = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 4.0]])  # 4 entries of 4 x 3
rand = torch.rand


def coo():
    return DENSE.to_sparse()


def csr():
    return DENSE.to_sparse_csr()


@pytest.mark.parametrize("make", [coo, csr])
def test_only_stored_entries_are_multiplied(count, make):
    sparse = make()
    assert count(lambda: torch.sparse.mm(sparse, rand(3, 5)), "cpu").macs == 4 * 5
    assert count(lambda: sparse @ rand(3, 5), "cpu").macs == 4 * 5
    assert count(lambda: sparse @ rand(3), "cpu").macs == 4
    assert count(lambda: torch.addmm(rand(4, 5), sparse, rand(3, 5)), "cpu").macs == 4 * 5


def test_dense_times_sparse(count):
    sparse = csr()
    assert count(lambda: rand(2, 4) @ sparse, "cpu").macs == 2 * 4


def test_sparse_addmm_through_its_own_operator(count):
    sparse = coo()
    seen = count(lambda: torch.sparse.addmm(rand(4, 5), sparse, rand(3, 5)), "cpu")
    assert seen.counted == ["aten::_sparse_addmm"]
    assert seen.macs == 4 * 5


def test_batch_of_sparse_matrices(count):
    batch = torch.stack([DENSE, DENSE]).to_sparse()
    assert count(lambda: torch.bmm(batch, rand(2, 3, 5)), "cpu").macs == 8 * 5


def test_sampled_product_computes_only_the_pattern():
    pattern = csr()
    work = count_operator(torch.ops.aten.sparse_sampled_addmm.default, (pattern, rand(4, 7), rand(7, 3)), {}, pattern)
    assert work.macs == 4 * 7


def test_sparse_times_sparse_is_unknown(count):
    left, right = coo(), DENSE.t().to_sparse()
    assert any("sparse times sparse" in str(note) for note in count(lambda: torch.sparse.mm(left, right), "cpu").unknown.values())


def test_entries_are_not_known_without_values():
    work = count_operator(torch.ops.aten.mm.default, (coo().to("meta"), rand(3, 5)), {}, rand(4, 5))
    assert work.status == "unknown"
    assert "number of stored entries is not known" in work.note


def test_zeros_of_a_dense_weight_are_multiplied(count):
    assert count(lambda: DENSE @ rand(3, 5), "cpu").macs == 4 * 3 * 5


def test_semi_structured_weights_store_half():
    packet = getattr(torch.ops.aten, "_sparse_semi_structured_linear", None)
    if packet is None:
        pytest.skip("this torch does not have it")
    compressed, pattern = rand(32, 16), rand(32, 4)  # of a dense 32 x 32
    work = count_operator(packet.default, (rand(5, 32), compressed, pattern), {}, rand(5, 32))
    assert work.macs == 5 * 32 * 32 // 2
    product = count_operator(torch.ops.aten._sparse_semi_structured_mm.default, (compressed, pattern, rand(32, 7)), {}, rand(32, 7))
    assert product.macs == 32 * 32 * 7 // 2
    library = count_operator(torch.ops.aten._cslt_sparse_mm.default, (rand(576), rand(32, 7)), {}, rand(32, 7))
    assert library.macs == 32 * 32 * 7 // 2
