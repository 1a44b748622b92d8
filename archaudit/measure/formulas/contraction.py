"""Matrix products, bilinear forms and Euclidean distances.

One multiply-accumulate is one multiplication whose product is added to a sum; a complex multiplication is one too. Every formula leaves out
the bias, `alpha` and `beta`, activations fused into the operator, and padding that a kernel adds internally. An outer product has no sum
(torch runs it as a broadcast multiplication), so `outer`, `ger`, `addr` and `kron` are zero.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from archaudit.measure.formulas.registry import (
    NoFormulaAppliesError,
    Products,
    count,
    dense_sizes,
    formula,
    is_sparse,
    result,
    sizes,
    stored_entries,
)


def multiply_matrices(left: Tensor, right: Tensor) -> Products:
    """The products of (rows, inner) @ (inner, columns). Of a sparse operand only the stored entries are multiplied."""
    (rows, inner), (_, columns) = sizes(left), sizes(right)
    match is_sparse(left), is_sparse(right):
        case False, False:
            return ((rows, inner, columns),)
        case True, False:
            return ((stored_entries(left), columns),)
        case False, True:
            return ((rows, stored_entries(right)),)
        case _:
            raise NoFormulaAppliesError("sparse times sparse: the work depends on the positions of the entries")


@formula("aten::mm")
def count_mm(left: Tensor, right: Tensor, *_: object, **__: object) -> Products:
    """rows * inner * columns; for a sparse operand its stored entries.

    Source: definition of the matrix product. Leaves out: nothing.
    """
    return multiply_matrices(left, right)


@formula("aten::addmm", "aten::_addmm_activation")
def count_addmm(_bias: Tensor, left: Tensor, right: Tensor, *_: object, **__: object) -> Products:
    """rows * inner * columns.

    Source: definition of the matrix product. Leaves out: the addition of the first argument, the activation.
    """
    return multiply_matrices(left, right)


@formula("aten::bmm")
def count_bmm(left: Tensor, right: Tensor, *_: object, **__: object) -> Products:
    """batch * rows * inner * columns; for a sparse left operand its stored entries.

    Source: definition of the matrix product. Leaves out: nothing.
    """
    columns = dense_sizes(right)[2]
    if is_sparse(left):
        return ((stored_entries(left), columns),)
    return ((*sizes(left), columns),)


@formula("aten::baddbmm", "aten::addbmm")
def count_baddbmm(_bias: Tensor, left: Tensor, right: Tensor, *_: object, **__: object) -> Products:
    """batch * rows * inner * columns, whether the batch is kept (baddbmm) or summed over (addbmm).

    Source: definition of the matrix product. Leaves out: the addition of the first argument.
    """
    return count_bmm(left, right)


@formula("aten::mv")
def count_mv(matrix: Tensor, _vector: Tensor, *_: object, **__: object) -> Products:
    """rows * inner; for a sparse matrix its stored entries.

    Source: definition of the matrix-vector product. Leaves out: nothing.
    """
    return ((stored_entries(matrix),),) if is_sparse(matrix) else (sizes(matrix),)


@formula("aten::addmv")
def count_addmv(_bias: Tensor, matrix: Tensor, vector: Tensor, *_: object, **__: object) -> Products:
    """rows * inner; for a sparse matrix its stored entries.

    Source: definition of the matrix-vector product. Leaves out: the addition of the first argument.
    """
    return count_mv(matrix, vector)


@formula("aten::dot", "aten::vdot")
def count_dot(left: Tensor, _right: Tensor, *_: object, **__: object) -> Products:
    """The length of the vectors.

    Source: definition of the inner product. Leaves out: conjugation.
    """
    return (dense_sizes(left),)


@formula("aten::matmul", "aten::linalg_matmul", "quantized::matmul")
def count_matmul(left: Tensor, right: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """Elements of the result * inner size, for every combination of vectors, matrices and broadcast batches.

    Source: each element of the result is one inner product. Leaves out: nothing.
    """
    dense_sizes(right)
    return ((dense_sizes(result(out)), dense_sizes(left)[-1]),)


@formula("aten::inner")
def count_inner(left: Tensor, right: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """Elements of the result * the last size; 0 where one operand is a scalar, because that multiplication is elementwise.

    Source: definition of the inner product. Leaves out: nothing.
    """
    if left.dim() == 0 or right.dim() == 0:
        return ()
    return ((dense_sizes(result(out)), dense_sizes(left)[-1]),)


@formula("aten::tensordot")
def count_tensordot(
    left: Tensor, right: Tensor, summed: Sequence[int], _summed_right: Sequence[int], *_: object, out: Tensor, **__: object
) -> Products:
    """Elements of the result * the summed sizes.

    Source: definition of the tensor product. Leaves out: nothing.
    """
    own = dense_sizes(left)
    dense_sizes(right)
    return ((dense_sizes(result(out)), tuple(own[axis] for axis in summed)),)


@formula("aten::linear", "aten::mkldnn_linear", "mkl::_mkl_linear", "mkldnn::_linear_pointwise")
def count_linear(inputs: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """rows * input features * output features, where rows is the product of all sizes but the last.

    Source: y = x W^T. Leaves out: the bias.
    """
    *rows, features = dense_sizes(inputs)
    return ((tuple(rows), features, sizes(result(out))[-1]),)


@formula("aten::_foreach_mm")
def count_foreach_mm(lefts: Sequence[Tensor], rights: Sequence[Tensor], *_: object, **__: object) -> Products:
    """The sum of rows * inner * columns over the pairs.

    Source: definition of the matrix product. Leaves out: nothing.
    """
    return tuple(product for left, right in zip(lefts, rights, strict=True) for product in multiply_matrices(left, right))


@formula("inductor::_mm_plus_mm")
def count_mm_plus_mm(a: Tensor, b: Tensor, c: Tensor, d: Tensor, *_: object, **__: object) -> Products:
    """Both products of a @ b + c @ d.

    Source: definition of the matrix product. Leaves out: the addition.
    """
    return multiply_matrices(a, b) + multiply_matrices(c, d)


@formula("aten::_trilinear")
def count_trilinear(
    first: Tensor,
    weight: Tensor,
    second: Tensor,
    expand_first: Sequence[int],
    expand_weight: Sequence[int],
    expand_second: Sequence[int],
    summed: Sequence[int],
    *_: object,
    **__: object,
) -> Products:
    """A bilinear form in two steps: sum over the axes that the second operand lacks, then multiply with the second operand.

    For `nn.Bilinear`: batch * outputs * first * second + batch * outputs * second.
    Source: the order in which torch contracts the three operands (`_trilinear` in ATen's Linear.cpp). Leaves out: the bias.
    """
    spread: list[dict[int, int]] = []
    for operand, expanded in ((first, expand_first), (weight, expand_weight), (second, expand_second)):
        own = iter(dense_sizes(operand))
        rank = operand.dim() + len(expanded)
        spread.append({axis: next(own) for axis in range(rank) if axis not in expanded})
    in_first, in_weight, in_second = spread
    joint = in_first | in_weight
    kept = {axis: size for axis, size in joint.items() if not (axis in summed and axis not in in_second)}
    both = kept | in_second
    return (tuple(joint[axis] for axis in sorted(joint)), tuple(both[axis] for axis in sorted(both)))


@formula("aten::bilinear")
def count_bilinear(first: Tensor, _second: Tensor, weight: Tensor, *_: object, **__: object) -> Products:
    """rows * outputs * first * second + rows * outputs * second: the two steps in which torch contracts.

    Source: y_o = x1^T W_o x2; see `_trilinear`. Leaves out: the bias.
    """
    rows = count(dense_sizes(first)[:-1])
    outputs, left, right = dense_sizes(weight)
    return ((rows, outputs, left, right), (rows, outputs, right))


@formula("aten::_euclidean_dist")
def count_euclidean_distance(first: Tensor, _second: Tensor, *, out: Tensor, **_: object) -> Products:
    """Pairs * features: the inner products in |x|^2 + |y|^2 - 2 x.y.

    Source: torch runs it as one matrix product. Leaves out: the two squared norms and the root.
    """
    return ((dense_sizes(result(out)), dense_sizes(first)[-1]),)


@formula("aten::_cdist_forward", "aten::cdist")
def count_cdist(first: Tensor, _second: Tensor, p: float = 2.0, *_: object, out: Tensor, **__: object) -> Products:
    """Pairs * features for p = 2 (a sum of squares, as in `_euclidean_dist`); 0 for other p, which multiply nothing.

    Source: definition of the distance. Leaves out: differences, roots, and distances of other p, which are elementwise.
    """
    return ((dense_sizes(result(out)), dense_sizes(first)[-1]),) if p == 2 else ()


@formula("aten::_pdist_forward", "aten::pdist")
def count_pdist(points: Tensor, p: float = 2.0, *_: object, out: Tensor, **__: object) -> Products:
    """Pairs * features for p = 2, else 0, as `cdist`.

    Source: definition of the distance. Leaves out: differences, roots, and distances of other p, which are elementwise.
    """
    return ((dense_sizes(result(out)), dense_sizes(points)[-1]),) if p == 2 else ()
