from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

rand = torch.rand

DENSE = [
    ("mm", lambda: torch.mm(rand(3, 4), rand(4, 5)), 3 * 4 * 5),
    ("mm_out", lambda: torch.mm(rand(3, 4), rand(4, 5), out=torch.empty(3, 5)), 3 * 4 * 5),
    ("mm_empty", lambda: torch.mm(rand(0, 4), rand(4, 5)), 0),
    ("addmm", lambda: torch.addmm(rand(5), rand(3, 4), rand(4, 5)), 3 * 4 * 5),
    ("addmm_in_place", lambda: rand(3, 5).addmm_(rand(3, 4), rand(4, 5)), 3 * 4 * 5),
    ("addmm_activation", lambda: torch._addmm_activation(rand(5), rand(3, 4), rand(4, 5)), 3 * 4 * 5),
    ("bmm", lambda: torch.bmm(rand(2, 3, 4), rand(2, 4, 5)), 2 * 3 * 4 * 5),
    ("baddbmm", lambda: torch.baddbmm(rand(2, 3, 5), rand(2, 3, 4), rand(2, 4, 5)), 2 * 3 * 4 * 5),
    ("addbmm", lambda: torch.addbmm(rand(3, 5), rand(2, 3, 4), rand(2, 4, 5)), 2 * 3 * 4 * 5),
    ("mv", lambda: torch.mv(rand(3, 4), rand(4)), 3 * 4),
    ("addmv", lambda: torch.addmv(rand(3), rand(3, 4), rand(4)), 3 * 4),
    ("addmv_in_place", lambda: rand(3).addmv_(rand(3, 4), rand(4)), 3 * 4),
    ("dot", lambda: torch.dot(rand(7), rand(7)), 7),
    ("vdot", lambda: torch.vdot(rand(7), rand(7)), 7),
    ("matmul_vectors", lambda: torch.matmul(rand(7), rand(7)), 7),
    ("matmul_matrix_vector", lambda: torch.matmul(rand(3, 7), rand(7)), 3 * 7),
    ("matmul_vector_batch", lambda: torch.matmul(rand(4), rand(2, 4, 5)), 2 * 4 * 5),
    ("matmul_broadcast", lambda: torch.matmul(rand(6, 1, 3, 4), rand(2, 4, 5)), 6 * 2 * 3 * 4 * 5),
    ("linear", lambda: F.linear(rand(2, 3, 4), rand(5, 4), rand(5)), 2 * 3 * 4 * 5),
    ("linear_vector", lambda: F.linear(rand(4), rand(5, 4)), 4 * 5),
    ("linalg_matmul", lambda: torch.linalg.matmul(rand(3, 4), rand(4, 5)), 3 * 4 * 5),
    ("inner", lambda: torch.inner(rand(3, 4), rand(5, 4)), 3 * 5 * 4),
    ("inner_scalar", lambda: torch.inner(rand(3, 4), rand(())), 0),
    ("tensordot", lambda: torch.tensordot(rand(2, 3, 4), rand(4, 3, 5), dims=([1, 2], [1, 0])), 2 * 5 * 3 * 4),
    ("outer", lambda: torch.outer(rand(3), rand(4)), 0),
    ("addr", lambda: torch.addr(rand(3, 4), rand(3), rand(4)), 0),
    ("kron", lambda: torch.kron(rand(2, 2), rand(3, 3)), 0),
    ("vecdot", lambda: torch.linalg.vecdot(rand(3, 4), rand(3, 4)), 0),
    ("bilinear", lambda: F.bilinear(rand(2, 3), rand(2, 4), rand(6, 3, 4), rand(6)), 2 * 6 * 3 * 4 + 2 * 6 * 4),
    ("bilinear_3d", lambda: F.bilinear(rand(5, 2, 3), rand(5, 2, 4), rand(6, 3, 4)), 10 * 6 * 3 * 4 + 10 * 6 * 4),
    ("cdist_small", lambda: torch.cdist(rand(4, 5), rand(3, 5)), 4 * 3 * 5),
    ("cdist_large", lambda: torch.cdist(rand(40, 5), rand(30, 5)), 40 * 30 * 5),
    ("cdist_batch", lambda: torch.cdist(rand(2, 40, 5), rand(2, 30, 5)), 2 * 40 * 30 * 5),
    ("cdist_manhattan", lambda: torch.cdist(rand(4, 5), rand(3, 5), p=1.0), 0),
    ("pdist", lambda: F.pdist(rand(4, 5)), 6 * 5),
    ("complex_mm", lambda: torch.mm(rand(3, 4).to(torch.complex64), rand(4, 5).to(torch.complex64)), 3 * 4 * 5),
]
PARTS = [
    ("einsum", lambda: torch.einsum("bij,jk->bik", rand(2, 3, 4), rand(4, 5)), 2 * 3 * 4 * 5),
    ("multi_dot", lambda: torch.linalg.multi_dot([rand(10, 100), rand(100, 5), rand(5, 50)]), 10 * 100 * 5 + 10 * 5 * 50),
]


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(("run", "expected"), [pytest.param(run, macs, id=name) for name, run, macs in DENSE + PARTS])
def test_products_equal_hand_counts(count, device, run, expected):
    assert count(run, device).macs == expected


@pytest.mark.parametrize(("run", "expected"), [pytest.param(run, macs, id=name) for name, run, macs in DENSE])
def test_composites_that_are_not_decomposed_cost_the_same(count, run, expected):
    assert count(run, inference=True).macs == expected


@pytest.mark.parametrize("run", [pytest.param(run, id=name) for name, run, _ in PARTS])
def test_composites_without_formula_that_are_not_decomposed_are_unknown(count, run):
    (note,) = count(run, inference=True).unknown.values()
    assert "its parts have to be counted" in note


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_bilinear_contracts_in_two_steps(count, device):
    work = count(lambda: F.bilinear(rand(2, 3), rand(2, 4), rand(6, 3, 4)), device).of("aten::_trilinear")
    assert work.terms == ((2, 6, 3, 4), (2, 6, 4))


def test_foreach_mm_is_the_sum_of_its_products(count):
    if not hasattr(torch.ops.aten, "_foreach_mm"):
        pytest.skip("this torch has no _foreach_mm")
    pairs = lambda: torch.ops.aten._foreach_mm([rand(2, 3), rand(4, 5)], [rand(3, 6), rand(5, 7)])  # noqa: E731
    assert count(pairs, "cpu").macs == 2 * 3 * 6 + 4 * 5 * 7


def test_arguments_given_by_name_arrive_in_order(count):
    assert count(lambda: torch.ops.aten.mm(self=rand(3, 4), mat2=rand(4, 5))).macs == 3 * 4 * 5
