"""Triangular systems, factorizations (Cholesky, LU, LDL, QR), and what torch solves with them: determinants, inverses, linear systems.

Only multiplications whose product is added to a sum count; divisions and roots do not. That is the number of additions in LAPACK Working
Note 41 (Anderson, Dongarra, Ostrouchov: Installation Guide for LAPACK, appendix C: operation counts of the BLAS and LAPACK routines). The
choice of pivots changes no count, and neither do blocks, except for the small triangular factors of a blocked QR, which are left out.

Eigenvalues, singular values, least squares by them, pseudo-inverses and matrix exponentials stay unknown: they iterate until the values are
close enough, so their work depends on the values.
"""

from __future__ import annotations

from torch import Tensor

from archaudit.measure.formulas.registry import Products, count, dense_sizes, formula, result


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


@formula("aten::linalg_lu_factor_ex", "aten::linalg_lu", "aten::_lu_with_info")
def count_lu(matrix: Tensor, *_: object, **__: object) -> Products:
    """The sum over k of (m - k)(n - k) for each matrix: step k updates the elements below and to the right of pivot k.

    That is n^3/3 - n^2/2 + n/6 for a square matrix. Source: LAPACK Working Note 41, GETRF. Leaves out: pivoting, divisions.
    """
    *batch, rows, columns = dense_sizes(matrix)
    return ((tuple(batch), _sum_lu(rows, columns)),)


def _sum_lu(rows: int, columns: int) -> int:
    long, short = max(rows, columns), min(rows, columns)
    # with j = short - k: the sum over j from 0 to short - 1 of j * (long - short + j)
    return (long - short) * short * (short - 1) // 2 + (short - 1) * short * (2 * short - 1) // 6


@formula("aten::_linalg_det", "aten::_linalg_slogdet")
def count_determinant(matrix: Tensor, **keywords: object) -> Products:
    """The LU factorization of each matrix.

    Source: LAPACK Working Note 41, GETRF. Leaves out: the product of the n pivots.
    """
    return count_lu(matrix)


@formula("aten::_linalg_solve_ex")
def count_solve(matrix: Tensor, _right: Tensor, *_: object, out: tuple[Tensor, ...], **__: object) -> Products:
    """The LU factorization of each matrix, and n (n - 1) for each right-hand side: a forward and a backward substitution.

    Source: LAPACK Working Note 41, GETRF and GETRS. Leaves out: pivoting, divisions.
    """
    return (*count_lu(matrix), *_substitute_twice(matrix, result(out)))


@formula("aten::linalg_inv_ex")
def count_inverse(matrix: Tensor, *_: object, out: tuple[Tensor, ...], **__: object) -> Products:
    """As `linalg.solve` with the identity as n right-hand sides, which is how torch inverts a matrix.

    Source: ATen/native/BatchLinearAlgebra.cpp (linalg_inv_ex); LAPACK Working Note 41, GETRF and GETRS. Leaves out: pivoting, divisions.
    """
    return count_solve(matrix, matrix, out=out)


@formula("aten::linalg_lu_solve", "aten::linalg_ldl_solve")
def count_solve_factored(factors: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """n (n - 1) for each right-hand side: a forward and a backward substitution.

    Source: LAPACK Working Note 41, GETRS and SYTRS. Leaves out: divisions, and the blocks on the diagonal of an LDL factorization.
    """
    return _substitute_twice(factors, result(out))


@formula("aten::cholesky_solve", "aten::_cholesky_solve_helper")
def count_cholesky_solve(_right: Tensor, factor: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """n (n - 1) for each right-hand side: a forward and a backward substitution.

    Source: LAPACK Working Note 41, POTRS. Leaves out: divisions.
    """
    return _substitute_twice(factor, result(out))


def _substitute_twice(matrix: Tensor, solution: Tensor) -> Products:
    size = dense_sizes(matrix)[-1]
    right_sides = count(dense_sizes(solution)) // size if size else 0
    return ((right_sides, size, max(size - 1, 0)),)


@formula("aten::cholesky_inverse")
def count_cholesky_inverse(factor: Tensor, *_: object, **__: object) -> Products:
    """n^3/3 - n^2/2 + n/6 for each matrix: the inverse of the factor, times its transpose.

    Source: LAPACK Working Note 41, POTRI. Leaves out: divisions.
    """
    *batch, size, _columns = dense_sizes(factor)
    return ((tuple(batch), _sum_lu(size, size)),)


@formula("aten::linalg_ldl_factor_ex")
def count_ldl(matrix: Tensor, *_: object, **__: object) -> Products:
    """(n^3 - n) / 6 for each matrix, as the Cholesky factorization.

    Source: LAPACK Working Note 41, SYTRF. Leaves out: pivoting, divisions.
    """
    return count_cholesky(matrix)


@formula("aten::geqrf")
def count_reflectors(matrix: Tensor, *_: object, **__: object) -> Products:
    """m n^2 - n^3/3 + n^2/2 + 5n/6 for each tall matrix: its Householder reflectors, and their products with the columns to the right.

    A wide matrix has n m^2 - m^3/3 - m^2/2 + n m + 5m/6. Source: LAPACK Working Note 41, GEQRF. Leaves out: divisions and roots.
    """
    *batch, rows, columns = dense_sizes(matrix)
    if rows >= columns:
        return ((tuple(batch), columns * (columns * (6 * rows - 2 * columns + 3) + 5) // 6),)
    return ((tuple(batch), rows * (rows * (6 * columns - 2 * rows - 3) + 6 * columns + 5) // 6),)


@formula("aten::linalg_householder_product", "aten::orgqr")
def count_householder_product(reflectors: Tensor, scales: Tensor, *_: object, **__: object) -> Products:
    """2mnk - (m + n) k^2 + 2k^3/3 + (n - m + 1/3) k for each matrix: the first n columns of the product of k reflectors.

    Source: LAPACK Working Note 41, ORGQR. Leaves out: scaling of the reflectors.
    """
    *batch, rows, columns = dense_sizes(reflectors)
    return ((tuple(batch), _expand_reflectors(rows, columns, dense_sizes(scales)[-1])),)


def _expand_reflectors(rows: int, columns: int, reflectors: int) -> int:
    bracket = 6 * rows * columns + 3 * columns - 3 * rows + 1 + reflectors * (2 * reflectors - 3 * (rows + columns))
    return reflectors * bracket // 3


@formula("aten::linalg_qr")
def count_qr(matrix: Tensor, mode: str = "reduced", **keywords: object) -> Products:
    """The Householder reflectors of each matrix, and with them Q: min(m, n) columns of it, or m in the mode `complete`.

    Source: LAPACK Working Note 41, GEQRF and ORGQR. Leaves out: divisions and roots.
    """
    *batch, rows, columns = dense_sizes(matrix)
    if mode == "r":
        return count_reflectors(matrix)
    short = min(rows, columns)
    return (*count_reflectors(matrix), (tuple(batch), _expand_reflectors(rows, rows if mode == "complete" else short, short)))


@formula("aten::ormqr")
def count_multiply_by_q(_reflectors: Tensor, scales: Tensor, other: Tensor, left: bool = True, *_: object, **__: object) -> Products:
    """n k (2m - k + 1) for each m x n matrix that k reflectors multiply from the left; from the right with m and n exchanged.

    Source: LAPACK Working Note 41, ORMQR. Leaves out: scaling of the reflectors.
    """
    *batch, rows, columns = dense_sizes(other)
    reflectors = dense_sizes(scales)[-1]
    multiplied, size = (columns, rows) if left else (rows, columns)
    return ((tuple(batch), multiplied, reflectors, 2 * size - reflectors + 1),)
