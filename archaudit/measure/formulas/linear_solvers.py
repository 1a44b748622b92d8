"""Triangular systems and the Cholesky factorization: dense linear algebra whose products follow from the shapes alone.

Only multiplications whose product is added to a sum count; divisions and roots do not. All other factorizations and solvers stay unknown,
because their work depends on the algorithm (pivoting, blocks) or on the values (iterations).
"""

from __future__ import annotations

from torch import Tensor

from archaudit.measure.formulas.registry import Products, dense_sizes, formula, result


@formula("aten::linalg_solve_triangular")
def count_solve_triangular(matrix: Tensor, _right: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """Right-hand sides * n * (n - 1) / 2: row i of the substitution multiplies i known elements, for i from 0 to n - 1.

    Source: definition of forward substitution. Leaves out: the n divisions for each right-hand side.
    """
    size = dense_sizes(matrix)[-1]
    *batch, rows, columns = dense_sizes(result(out))
    right_sides = rows * columns // size if size else 0
    return (((*batch, right_sides), size * (size - 1) // 2),)


@formula("aten::triangular_solve")
def count_triangular_solve(_right: Tensor, matrix: Tensor, *_: object, out: tuple[Tensor, ...], **__: object) -> Products:
    """As `linalg_solve_triangular`, with the operands in the other order.

    Source: definition of forward substitution. Leaves out: the n divisions for each right-hand side.
    """
    return count_solve_triangular(matrix, _right, out=result(out))


@formula("aten::linalg_cholesky_ex", "aten::cholesky")
def count_cholesky(matrix: Tensor, *_: object, **__: object) -> Products:
    """(n^3 - n) / 6 for each matrix: element (i, j) of the factor is a sum of j products, for j up to i.

    Source: definition of the factorization A = L L^T. Leaves out: divisions and roots.
    """
    *batch, size, _columns = dense_sizes(matrix)
    return ((tuple(batch), (size**3 - size) // 6),)
