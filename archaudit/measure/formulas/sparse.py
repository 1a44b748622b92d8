"""Products with sparse operands: only stored entries are multiplied, so their number must be known. On meta tensors it is not.

The zeros of masks and of pruned dense weights are multiplied like any other number, and are counted.
"""

from __future__ import annotations

from torch import Tensor

from archaudit.measure.formulas.contraction import multiply_matrices
from archaudit.measure.formulas.registry import NoFormulaAppliesError, Products, count, dense_sizes, formula, result, sizes, stored_entries


@formula("aten::_sparse_mm", "aten::_sparse_mm_reduce_impl", "aten::hspmm", "aten::smm")
def count_sparse_mm(left: Tensor, right: Tensor, *_: object, **__: object) -> Products:
    """Stored entries of the sparse operand * columns (or rows) of the dense one.

    Source: each stored entry is multiplied once for each column. Leaves out: index arithmetic. No formula for sparse times sparse.
    """
    return multiply_matrices(left, right)


@formula("aten::_sparse_addmm", "aten::sspaddmm")
def count_sparse_addmm(_bias: Tensor, left: Tensor, right: Tensor, *_: object, **__: object) -> Products:
    """Stored entries of the sparse operand * columns (or rows) of the dense one.

    Source: each stored entry is multiplied once for each column. Leaves out: the addition, index arithmetic.
    """
    return multiply_matrices(left, right)


@formula("aten::sparse_sampled_addmm")
def count_sampled_addmm(pattern: Tensor, left: Tensor, _right: Tensor, *_: object, **__: object) -> Products:
    """Stored entries of the pattern * inner size: only these elements of the dense product are computed.

    Source: documentation of `torch.sparse.sampled_addmm`. Leaves out: the addition.
    """
    return ((stored_entries(pattern), sizes(left)[-1]),)


@formula("aten::_sparse_sparse_matmul")
def count_sparse_sparse(*_: object, **__: object) -> Products:
    """No formula.

    Source: the number of pairs of entries depends on their positions. Leaves out: everything; the work is unknown.
    """
    raise NoFormulaAppliesError("sparse times sparse: the work depends on the positions of the entries")


@formula("aten::_sparse_semi_structured_linear")
def count_semi_structured_linear(inputs: Tensor, weight: Tensor, *_: object, **__: object) -> Products:
    """rows * stored weights: two of four are stored, half of the dense product.

    Source: the compressed weight is (outputs, inputs / 2). Leaves out: the bias, the activation.
    """
    return ((dense_sizes(inputs)[:-1], dense_sizes(weight)),)


@formula("aten::_sparse_semi_structured_mm")
def count_semi_structured_mm(compressed: Tensor, _pattern: Tensor, dense: Tensor, *_: object, **__: object) -> Products:
    """Stored entries * columns: two of four are stored, half of the dense product.

    Source: the compressed operand is (rows, inner / 2). Leaves out: nothing.
    """
    return ((dense_sizes(compressed), dense_sizes(dense)[1]),)


@formula("aten::_sparse_semi_structured_addmm")
def count_semi_structured_addmm(_bias: Tensor, *operands: Tensor, out: Tensor, **__: object) -> Products:
    """Stored entries * columns: two of four are stored, half of the dense product.

    Source: the compressed operand is (rows, inner / 2). Leaves out: the addition.
    """
    return count_semi_structured_mm(*operands)


@formula("aten::_cslt_sparse_mm")
def count_cslt_mm(_compressed: Tensor, dense: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """Elements of the result * half of the inner size: the compressed operand stores two of four.

    Source: documentation of `torch.sparse.to_sparse_semi_structured`. Leaves out: the bias, scaling.
    """
    return ((count(dense_sizes(result(out))), dense_sizes(dense)[0] // 2),)
