"""Each formula on arguments whose sizes all differ, so that a wrong size gives another product; the products are worked out by hand.

The formulas get arguments as torch passes them, and no operator is run: many need a device or a build that a test machine does not have.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from measure.formulas.backward_cases import BACKWARD_CASES

from archaudit.measure.formulas import count_operator
from archaudit.measure.formulas.registry import find_formula, formula_names, read_products


def T(*shape: int) -> torch.Tensor:
    return torch.empty(shape)


def count_work(name: str, *args: Any, out: Any, **kwargs: Any) -> list[tuple[int, ...]]:
    """The products of an operator's formula without grouping, the factors of each sorted and without ones."""
    operator, _, overload = name.partition(".")
    function = find_formula(operator, overload or "default")
    assert function is not None
    products = read_products(function(*args, **kwargs, out=out))
    flat = [[size for factor in product for size in (factor if isinstance(factor, tuple) else (factor,))] for product in products]
    return sorted(tuple(sorted(size for size in product if size != 1)) for product in flat)


class Packed:
    """A packed weight, which `unpack` returns."""

    def __init__(self, *shape: int) -> None:
        self.weight = T(*shape)

    def unpack(self) -> tuple[torch.Tensor, None]:
        return self.weight, None


def sparse(rows: int, columns: int, entries: int) -> torch.Tensor:
    """A matrix with that number of stored entries, in COO layout."""
    places = torch.tensor([[number // columns, number % columns] for number in range(entries)]).T
    return torch.sparse_coo_tensor(places, torch.ones(entries), (rows, columns), check_invariants=True).coalesce()


# (2 in the batch,) 3 heads, 5 queries of size 7, 11 keys, values of size 13
ATTENTION = [(2, 3, 5, 7, 11), (2, 3, 5, 11, 13)]
HEADS_FIRST = (T(2, 3, 5, 7), T(2, 3, 11, 7), T(2, 3, 11, 13)), T(2, 3, 5, 13)
LENGTH_FIRST = (T(2, 5, 3, 7), T(2, 11, 3, 7), T(2, 11, 3, 13)), T(2, 5, 3, 13)
# a convolution of 2 images: 3 groups of 5 channels to 3 groups of 7, kernel 11 x 13, output 17 x 19
GROUPED, GROUPED_OUT, GROUPED_IN = T(21, 5, 11, 13), T(2, 21, 17, 19), T(2, 15, 23, 29)
CONVOLUTION = [(2, 5, 11, 13, 17, 19, 21)]
# transposed: 15 channels in, 3 groups of 7 out, at 17 x 19 input positions
TRANSPOSED, TRANSPOSED_IN, TRANSPOSED_OUT = T(15, 7, 11, 13), T(2, 15, 17, 19), T(2, 21, 23, 29)
TRANSPOSED_PRODUCTS = [(2, 7, 11, 13, 15, 17, 19)]
# 5 steps of 3 sequences, 7 features, 11 hidden; a bidirectional LSTM of 2 layers would have more
STEPS, STATE = T(5, 3, 7), T(1, 3, 11)

OFFSETS, KEY_OFFSETS = torch.tensor([0, 2, 5]), torch.tensor([0, 4, 9])
PACKED = [(3, 7, 2 * 4 + 3 * 5), (3, 13, 2 * 4 + 3 * 5)]

CASES: list[tuple[str, tuple[Any, ...], Any, list[tuple[int, ...]]]] = [
    # --- products of matrices and vectors
    ("aten::mm", (T(2, 3), T(3, 5)), T(2, 5), [(2, 3, 5)]),
    ("aten::addmm", (T(5), T(2, 3), T(3, 5)), T(2, 5), [(2, 3, 5)]),
    ("aten::bmm", (T(2, 3, 5), T(2, 5, 7)), T(2, 3, 7), [(2, 3, 5, 7)]),
    ("aten::baddbmm", (T(7), T(2, 3, 5), T(2, 5, 7)), T(2, 3, 7), [(2, 3, 5, 7)]),
    ("aten::addbmm", (T(7), T(2, 3, 5), T(2, 5, 7)), T(3, 7), [(2, 3, 5, 7)]),
    ("aten::mv", (T(2, 3), T(3)), T(2), [(2, 3)]),
    ("aten::addmv", (T(2), T(2, 3), T(3)), T(2), [(2, 3)]),
    ("aten::dot", (T(3), T(3)), T(), [(3,)]),
    ("aten::matmul", (T(2, 3, 5), T(5, 7)), T(2, 3, 7), [(2, 3, 5, 7)]),
    ("aten::inner", (T(2, 3), T(5, 3)), T(2, 5), [(2, 3, 5)]),
    ("aten::inner", (T(2, 3), T()), T(2, 3), []),
    ("aten::inner", (T(), T(2, 3)), T(2, 3), []),
    ("aten::tensordot", (T(2, 3, 5), T(5, 3, 7), [1, 2], [1, 0]), T(2, 7), [(2, 3, 5, 7)]),
    ("aten::linear", (T(2, 3, 5), T(7, 5)), T(2, 3, 7), [(2, 3, 5, 7)]),
    ("aten::_foreach_mm", ([T(2, 3), T(7, 11)], [T(3, 5), T(11, 13)]), [], [(2, 3, 5), (7, 11, 13)]),
    ("inductor::_mm_plus_mm", (T(2, 3), T(3, 5), T(2, 7), T(7, 5)), T(2, 5), [(2, 3, 5), (2, 5, 7)]),
    # rows 2, outputs 7, first 3, second 5: the first operand is summed away, then the second
    ("aten::bilinear", (T(2, 3), T(2, 5), T(7, 3, 5)), T(2, 7), [(2, 3, 5, 7), (2, 5, 7)]),
    # as nn.Bilinear calls it: axes are (row, output, first, second)
    ("aten::_trilinear", (T(2, 3), T(7, 3, 5), T(2, 5), [1, 3], [0], [1, 2], [2, 3]), T(2, 7), [(2, 3, 5, 7), (2, 5, 7)]),
    # an axis that the second operand has too is summed in the second step
    ("aten::_trilinear", (T(2, 3), T(7, 3, 5), T(2, 3, 5), [1, 3], [0], [1], [2, 3]), T(2, 7), [(2, 3, 5, 7), (2, 3, 5, 7)]),
    ("aten::_euclidean_dist", (T(2, 3), T(5, 3)), T(2, 5), [(2, 3, 5)]),
    ("aten::_cdist_forward", (T(2, 3), T(5, 3), 2.0), T(2, 5), [(2, 3, 5)]),
    ("aten::_cdist_forward", (T(2, 3), T(5, 3)), T(2, 5), [(2, 3, 5)]),
    ("aten::_cdist_forward", (T(2, 3), T(5, 3), 1.0), T(2, 5), []),
    ("aten::_pdist_forward", (T(4, 3), 2.0), T(6), [(3, 6)]),
    ("aten::_pdist_forward", (T(4, 3),), T(6), [(3, 6)]),
    ("aten::_pdist_forward", (T(4, 3), 3.0), T(6), []),
    # --- triangular systems: 5 unknowns, so 0 + 1 + 2 + 3 + 4 = 10 products for each of 7 right-hand sides; from the right, 11 of them
    ("aten::linalg_solve_triangular", (T(2, 5, 5), T(2, 5, 7)), T(2, 5, 7), [(2, 7, 10)]),
    ("aten::linalg_solve_triangular", (T(2, 5, 5), T(2, 11, 5)), T(2, 11, 5), [(2, 10, 11)]),
    ("aten::triangular_solve", (T(5, 7), T(5, 5)), (T(5, 7), T(5, 5)), [(7, 10)]),
    # Cholesky, 5 x 5: column j has 5 - j elements of j products: 0*5 + 1*4 + 2*3 + 3*2 + 4*1 = 20
    ("aten::linalg_cholesky_ex", (T(3, 5, 5),), (T(3, 5, 5), T(3)), [(3, 20)]),
    # LU, 5 x 5: 4*4 + 3*3 + 2*2 + 1*1 = 30; 7 x 4: 6*3 + 5*2 + 4*1 = 32, and as many for 4 x 7
    ("aten::linalg_lu_factor_ex", (T(2, 5, 5),), (T(2, 5, 5), T(2, 5), T(2)), [(2, 30)]),
    ("aten::linalg_lu_factor_ex", (T(7, 4),), (T(7, 4), T(4), T()), [(32,)]),
    ("aten::linalg_lu", (T(4, 7),), (T(4, 4), T(4, 4), T(4, 7)), [(32,)]),
    ("aten::_linalg_det", (T(2, 5, 5),), (T(2), T(2, 5, 5), T(2, 5)), [(2, 30)]),
    ("aten::_linalg_slogdet", (T(2, 5, 5),), (T(2), T(2), T(2, 5, 5), T(2, 5)), [(2, 30)]),
    # each of 3 right-hand sides for each of 2 matrices: substituted forward and backward, 2 * (0 + 1 + 2 + 3 + 4) = 5 * 4
    ("aten::_linalg_solve_ex", (T(2, 5, 5), T(2, 5, 3)), (T(2, 5, 3), T(2, 5, 5), T(2, 5), T(2)), [(2, 30), (4, 5, 6)]),
    ("aten::_linalg_solve_ex", (T(5, 5), T(5)), (T(5), T(5, 5), T(5), T()), [(4, 5), (30,)]),
    ("aten::_linalg_solve_ex", (T(5, 5), T(2, 5, 3)), (T(2, 5, 3), T(5, 5), T(5), T()), [(4, 5, 6), (30,)]),
    ("aten::linalg_inv_ex", (T(2, 5, 5),), (T(2, 5, 5), T(2)), [(2, 30), (4, 5, 10)]),
    ("aten::linalg_lu_solve", (T(2, 5, 5), T(2, 5), T(2, 5, 3)), T(2, 5, 3), [(4, 5, 6)]),
    ("aten::linalg_ldl_solve", (T(2, 5, 5), T(2, 5), T(2, 5, 3)), T(2, 5, 3), [(4, 5, 6)]),
    ("aten::cholesky_solve", (T(2, 5, 3), T(2, 5, 5)), T(2, 5, 3), [(4, 5, 6)]),
    # the inverse of a factor takes (5^3 - 5) / 6 - 10 = 10 products, its product with its transpose 20
    ("aten::cholesky_inverse", (T(2, 5, 5),), T(2, 5, 5), [(2, 30)]),
    ("aten::linalg_ldl_factor_ex", (T(2, 5, 5),), (T(2, 5, 5), T(2, 5), T(2)), [(2, 20)]),
    # QR, 7 x 4: reflector k has 8 - k elements; its norm takes one more, and it multiplies 4 - k columns twice:
    # (8 + 2*7*3) + (7 + 2*6*2) + (6 + 2*5*1) + (5 + 0) = 102. Q of 4 columns: (2*7*3 + 1) + (2*6*2 + 1) + (2*5*1 + 1) + 1 = 80
    ("aten::geqrf", (T(7, 4),), (T(7, 4), T(4)), [(102,)]),
    ("aten::linalg_qr", (T(3, 7, 4),), (T(3, 7, 4), T(3, 4, 4)), [(3, 80), (3, 102)]),
    ("aten::linalg_qr", (T(7, 4), "r"), (T(0), T(4, 4)), [(102,)]),
    # all 7 columns: (2*7*6 + 1) + (2*6*5 + 1) + (2*5*4 + 1) + (2*4*3 + 1) = 212
    ("aten::linalg_qr", (T(7, 4), "complete"), (T(7, 7), T(7, 4)), [(102,), (212,)]),
    # 4 x 7: (5 + 2*4*6) + (4 + 2*3*5) + (3 + 2*2*4) + (2 + 2*1*3) = 114; Q: (2*4*3 + 1) + (2*3*2 + 1) + (2*2*1 + 1) + 1 = 44
    ("aten::linalg_qr", (T(4, 7),), (T(4, 4), T(4, 7)), [(44,), (114,)]),
    ("aten::linalg_householder_product", (T(7, 4), T(4)), T(7, 4), [(80,)]),
    # reflector k of 4 has 8 - k elements, and multiplies each of 3 columns twice: 3 * 2 * (7 + 6 + 5 + 4) = 3 * 4 * 11
    ("aten::ormqr", (T(7, 4), T(4), T(7, 3)), T(7, 3), [(3, 4, 11)]),
    ("aten::ormqr", (T(7, 4), T(4), T(3, 7), False), T(3, 7), [(3, 4, 11)]),
    # --- convolutions
    ("aten::convolution", (GROUPED_IN, GROUPED, None, [1], [0], [1], False), GROUPED_OUT, CONVOLUTION),
    (
        "aten::convolution_backward",
        (GROUPED_OUT, GROUPED_IN, GROUPED, None, [1], [0], [1], False, [0], 3, [True, False, True]),
        GROUPED_IN,
        CONVOLUTION,
    ),
    ("aten::convolution", (TRANSPOSED_IN, TRANSPOSED, None, [1], [0], [1], True), TRANSPOSED_OUT, TRANSPOSED_PRODUCTS),
    ("aten::conv2d", (GROUPED_IN, GROUPED), GROUPED_OUT, CONVOLUTION),
    ("aten::conv2d", (T(15, 23, 29), GROUPED), T(21, 17, 19), [(5, 11, 13, 17, 19, 21)]),  # without a batch
    ("aten::conv1d", (T(2, 15, 23), T(21, 5, 11)), T(2, 21, 17), [(2, 5, 11, 17, 21)]),
    ("aten::conv2d", (GROUPED_IN, T(21, 0, 11, 13)), GROUPED_OUT, [(0, 2, 11, 13, 17, 19, 21)]),
    ("aten::conv_transpose2d", (TRANSPOSED_IN, TRANSPOSED), TRANSPOSED_OUT, TRANSPOSED_PRODUCTS),
    ("aten::mkldnn_convolution", (GROUPED_IN, T(3, 7, 5, 11, 13)), GROUPED_OUT, CONVOLUTION),  # reordered by groups
    ("mkldnn::_convolution_pointwise.binary", (GROUPED_IN, GROUPED_OUT, T(3, 7, 5, 11, 13)), GROUPED_OUT, CONVOLUTION),
    ("mkldnn::_convolution_transpose_pointwise", (TRANSPOSED_IN, T(3, 5, 7, 11, 13)), TRANSPOSED_OUT, TRANSPOSED_PRODUCTS),
    ("onednn::qconv2d_pointwise", (GROUPED_IN, 1.0, 0, T(3, 7, 5, 11, 13)), GROUPED_OUT, CONVOLUTION),
    ("aten::conv_tbc", (T(23, 2, 3), T(5, 3, 7)), T(19, 2, 7), [(2, 3, 5, 7, 19)]),
    ("torchvision::deform_conv2d", (GROUPED_IN, GROUPED), GROUPED_OUT, CONVOLUTION),
    ("quantized::conv2d", (GROUPED_IN, Packed(21, 5, 11, 13)), GROUPED_OUT, CONVOLUTION),
    ("quantized::conv1d", (T(2, 15, 23), Packed(21, 5, 1, 11)), T(2, 21, 17), [(2, 5, 11, 17, 21)]),  # packed as a flat conv2d
    ("quantized::conv2d_add", (GROUPED_IN, GROUPED_OUT, Packed(21, 5, 11, 13)), GROUPED_OUT, CONVOLUTION),
    ("quantized::conv_transpose2d", (TRANSPOSED_IN, Packed(15, 7, 11, 13)), TRANSPOSED_OUT, TRANSPOSED_PRODUCTS),
    # --- attention
    *((f"aten::{name}", *HEADS_FIRST, ATTENTION) for name in ("scaled_dot_product_attention", "_cudnn_attention_forward")),
    *((f"aten::{name}", *LENGTH_FIRST, ATTENTION) for name in ("_flash_attention_forward", "_efficient_attention_forward")),
    # grouped queries: twelve query heads share three heads of keys, and the result says how many there are
    ("aten::scaled_dot_product_attention", (T(2, 12, 5, 7), *HEADS_FIRST[0][1:]), T(2, 12, 5, 13), [(2, 5, 7, 11, 12), (2, 5, 11, 12, 13)]),
    # a first result of another rank is no attention output and is ignored
    ("aten::scaled_dot_product_attention", HEADS_FIRST[0], (T(30, 13), None), ATTENTION),
    # 2 sequences of 3 queries and 5 keys, 14 features in 7 heads: projections of queries, keys, values and the result; then 7 heads of 2
    (
        "aten::_native_multi_head_attention",
        (T(2, 3, 14), T(2, 5, 14), T(2, 11, 14), 14, 7),
        T(2, 3, 14),
        [(2, 2, 3, 5, 7), (2, 2, 3, 5, 7), (2, 3, 14, 14), (2, 3, 14, 14), (2, 5, 14, 14), (2, 11, 14, 14)],
    ),
    # the same with itself, then 14 to 5 and back
    (
        "aten::_transformer_encoder_layer_fwd",
        (T(2, 3, 14), 14, 7, *[T(1)] * 11, T(5, 14)),
        T(2, 3, 14),
        [(2, 2, 3, 3, 7), (2, 2, 3, 3, 7), (2, 3, 5, 14), (2, 3, 5, 14), *[(2, 3, 14, 14)] * 4],
    ),
    # --- recurrent layers: rows (5 x 3) times every weight matrix; vectors are biases
    ("aten::lstm.input", (STEPS, (STATE, STATE), [T(44, 7), T(44, 11), T(44), T(44)]), (T(5, 3, 11),), [(3, 5, 7, 44), (3, 5, 11, 44)]),
    ("aten::lstm.data", (T(13, 7), T(5), (STATE, STATE), [T(44, 7), T(44, 11), T(44)]), (T(13, 11),), [(7, 13, 44), (11, 13, 44)]),
    ("aten::_cudnn_rnn", (STEPS, [T(44, 7), T(44, 11), T(44)]), (T(5, 3, 11),), [(3, 5, 7, 44), (3, 5, 11, 44)]),
    ("aten::mkldnn_rnn_layer", (STEPS, T(44, 7), T(44, 11), T(44)), (T(5, 3, 11),), [(3, 5, 7, 44), (3, 5, 11, 44)]),
    ("aten::lstm_cell", (T(3, 7), (T(3, 11), T(3, 11)), T(44, 7), T(44, 11), T(44)), (T(3, 11),), [(3, 7, 44), (3, 11, 44)]),
    # packed weights: 4 gates of 11; the input of the second layer is the output of the first
    (
        "aten::quantized_lstm.input",
        (STEPS, (STATE, STATE), None, True, 2, 0.0, False, False),
        T(5, 3, 11),
        [(3, 5, 7, 44), (3, 5, 11, 44), (3, 5, 11, 44), (3, 5, 11, 44)],
    ),
    # in both directions: the second layer has 22 inputs
    (
        "aten::quantized_lstm.input",
        (STEPS, (STATE, STATE), None, True, 2, 0.0, False, True),
        T(5, 3, 22),
        [*[(3, 5, 7, 44)] * 2, *[(3, 5, 11, 44)] * 4, *[(3, 5, 22, 44)] * 2],
    ),
    ("aten::quantized_gru.input", (STEPS, STATE, None, True, 1, 0.0, False, False), T(5, 3, 11), [(3, 5, 7, 33), (3, 5, 11, 33)]),
    ("aten::quantized_lstm.data", (T(13, 7), T(5), (STATE,), None, True, 1, 0.0, False, False), T(13, 11), [(7, 13, 44), (11, 13, 44)]),
    ("aten::quantized_gru.data", (T(13, 7), T(5), STATE, None, True, 1, 0.0, False, False), T(13, 11), [(7, 13, 33), (11, 13, 33)]),
    ("quantized::quantized_lstm_cell_dynamic", (T(3, 7), (T(3, 11), T(3, 11))), T(3, 11), [(3, 7, 44), (3, 11, 44)]),
    ("quantized::quantized_gru_cell_dynamic", (T(3, 7), T(3, 11)), T(3, 11), [(3, 7, 33), (3, 11, 33)]),
    ("quantized::quantized_rnn_relu_cell_dynamic", (T(3, 7), T(3, 11)), T(3, 11), [(3, 7, 11), (3, 11, 11)]),
    # --- quantised and grouped products
    ("aten::_int_mm", (T(2, 3), T(3, 5)), T(2, 5), [(2, 3, 5)]),
    ("aten::_scaled_mm", (T(2, 3), T(3, 5)), T(2, 5), [(2, 3, 5)]),
    ("aten::_weight_int8pack_mm", (T(2, 3), None), T(2, 5), [(2, 3, 5)]),
    ("aten::_grouped_mm", (T(2, 3), T(7, 3, 5)), T(2, 5), [(2, 3, 5)]),
    ("aten::_grouped_mm", (T(7, 2, 3), T(3, 5)), T(2, 5), [(2, 3, 5)]),
    ("aten::_grouped_mm", (T(7, 2, 3), T(7, 3, 5)), T(7, 2, 5), [(2, 3, 5, 7)]),
    ("aten::_grouped_mm", (T(2, 3), T(3, 5)), T(7, 2, 5), [(2, 3, 5)]),
    # --- sparse operands, by their stored entries
    ("aten::mm", (sparse(2, 3, 4), T(3, 5)), T(2, 5), [(4, 5)]),
    ("aten::mm", (T(2, 3), sparse(3, 5, 7)), T(2, 5), [(2, 7)]),
    ("aten::mv", (sparse(2, 3, 4), T(3)), T(2), [(4,)]),
    ("aten::_sparse_mm", (sparse(2, 3, 4), T(3, 5)), T(2, 5), [(4, 5)]),
    ("aten::_sparse_addmm", (T(5), sparse(2, 3, 4), T(3, 5)), T(2, 5), [(4, 5)]),
    ("aten::sparse_sampled_addmm", (sparse(2, 5, 7), T(2, 3), T(3, 5)), T(2, 5), [(3, 7)]),
    ("aten::_sparse_semi_structured_linear", (T(2, 3, 10), T(7, 5)), T(2, 3, 7), [(2, 3, 5, 7)]),
    ("aten::_sparse_semi_structured_mm", (T(2, 3), T(1), T(6, 5)), T(2, 5), [(2, 3, 5)]),
    ("aten::_sparse_semi_structured_addmm", (T(5), T(2, 3), T(1), T(6, 5)), T(2, 5), [(2, 3, 5)]),
    ("aten::_cslt_sparse_mm", (T(9), T(6, 5)), T(2, 5), [(3, 10)]),
    # --- Fourier transforms: 12 = 2 * 2 * 3 takes 12 * 7 operations, 10 = 2 * 5 takes 10 * 7, a prime size 7 takes 7 * 7
    ("aten::_fft_c2c", (T(3, 12), [1], 0, True), T(3, 12), [(3, 7, 12)]),
    ("aten::_fft_c2c", (T(10, 7), [0, 1], 0, True), T(10, 7), [(7, 7, 10), (7, 7, 10)]),
    ("aten::_fft_r2c", (T(3, 12), [1], 0, True), T(3, 7), [(3 * 12 * 7 // 2,)]),
    ("aten::_fft_r2c", (T(10, 12), [0, 1], 0, True), T(10, 7), [(7, 7, 10), (10 * 12 * 7 // 2,)]),
    ("aten::_fft_c2r", (T(10, 7), [0, 1], 0, 12), T(10, 12), [(7, 7, 10), (10 * 12 * 7 // 2,)]),
    # --- attention of packed sequences: 2 and 3 queries with 4 and 5 keys
    ("torch_attn::_varlen_attn", (T(5, 3, 7), T(9, 3, 7), T(9, 3, 13), OFFSETS, KEY_OFFSETS, 3, 5), T(5, 3, 13), PACKED),
    ("torch_attn::_varlen_attn_out", (T(5, 3, 13), T(5, 3, 7), T(9, 3, 7), T(9, 3, 13), OFFSETS, KEY_OFFSETS, 3, 5), T(), PACKED),
    ("flash_attn::_flash_attn_varlen_forward", (T(5, 3, 7), T(9, 3, 7), T(9, 3, 13), OFFSETS, KEY_OFFSETS), T(5, 3, 13), PACKED),
    ("aten::_flash_attention_forward", (T(5, 3, 7), T(9, 3, 7), T(9, 3, 13), OFFSETS, KEY_OFFSETS, 3, 5), T(5, 3, 13), PACKED),
    ("aten::_efficient_attention_forward", (T(1, 5, 3, 7), T(1, 9, 3, 7), T(1, 9, 3, 13), None, OFFSETS, KEY_OFFSETS), T(), PACKED),
    ("aten::_cudnn_attention_forward", (T(5, 3, 7), T(9, 3, 7), T(9, 3, 13), None, OFFSETS, KEY_OFFSETS), T(), PACKED),
    ("torch_attn::_varlen_attn", (T(5, 3, 7), T(5, 3, 7), T(5, 3, 13), OFFSETS, None, 3, 3), T(5, 3, 13), [(3, 7, 4 + 9), (3, 13, 4 + 9)]),
    ("flash_attn::_flash_attn_forward", LENGTH_FIRST[0], LENGTH_FIRST[1], ATTENTION),
    # --- quantization libraries
    ("bitsandbytes::gemv_4bit", (T(2, 3, 6), T(30, 1), [10, 6]), None, [(2, 3, 6, 10)]),
    ("bitsandbytes::gemm_4bit", (T(6), T(30, 1), [10, 6]), None, [(6, 10)]),
    ("bitsandbytes::int8_scaled_mm", (T(3, 6), T(10, 6)), None, [(3, 6, 10)]),
    ("bitsandbytes::int8_mixed_scaled_mm", (T(2, 3, 6), T(6, 6), T(10, 6)), None, [(2, 3, 6, 10)]),
    ("torchao::da8w4_linear_cpu", (T(2, 3, 6),), T(2, 3, 10), [(2, 3, 6, 10)]),
    ("torchao::int_scaled_matmul", (T(3, 6), T(6, 10), T(3, 1)), T(3, 10), [(3, 6, 10)]),
    ("torchao::qscaled_dot_product", HEADS_FIRST[0], HEADS_FIRST[1], ATTENTION),
    # --- operators that run another one
    ("higher_order::out_dtype", (torch.ops.aten.mm.default, torch.int32, T(2, 3), T(3, 5)), T(2, 5), [(2, 3, 5)]),
    ("higher_order::with_effects", (None, torch.ops.aten.mm.default, T(2, 3), T(3, 5)), (None, T(2, 5)), [(2, 3, 5)]),
    ("higher_order::with_effects", (None, torch.ops.aten.linear.default, T(2, 3), T(5, 3)), (None, T(2, 5)), [(2, 3, 5)]),
    *BACKWARD_CASES,
]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case[0] for case in CASES])
def test_the_products_of_an_operator(number: int) -> None:
    name, args, out, products = CASES[number]
    assert count_work(name, *args, out=out) == sorted(products)


def test_every_formula_has_a_case() -> None:
    refused = {find_formula("aten::_sparse_sparse_matmul", "default")}
    tried = {find_formula(name.partition(".")[0], name.partition(".")[2] or "default") for name, *_ in CASES}
    missing = [name for name in formula_names() if find_formula(name.partition(".")[0], name.partition(".")[2]) not in tried | refused]
    assert missing == []


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
def test_cells_have_a_formula_in_floats_and_quantized(name: str) -> None:
    cell = (T(3, 7), T(3, 11), T(44, 7), T(44, 11), T(44))
    for prefix in ("", "quantized_"):
        assert count_work(f"aten::{prefix}{name}_cell", *cell, out=T(3, 11)) == [(3, 7, 44), (3, 11, 44)]


def test_packed_convolutions_of_every_dimension_and_variant_have_a_formula() -> None:
    names = set(formula_names())
    for namespace in ("quantized", "_quantized"):
        for dimensions in (1, 2, 3):
            assert {f"{namespace}::conv{dimensions}d{ending}" for ending in ("", "_relu", "_dynamic")} <= names
            assert {f"{namespace}::conv_transpose{dimensions}d{ending}" for ending in ("", "_dynamic")} <= names


class Operator:
    """A replacement for an operator that this torch may not have."""

    tags = ()

    def __init__(self, name: str) -> None:
        self._schema = SimpleNamespace(name=name, overload_name="", arguments=(), returns=())


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("aten::_sparse_sparse_matmul", (sparse(2, 3, 4), sparse(3, 5, 4)), "positions of the entries"),
        ("aten::mm", (sparse(2, 3, 4), sparse(3, 5, 4)), "positions of the entries"),
        ("aten::bmm", (T(2, 3, 5), sparse(3, 5, 4)), "sparse operand"),
        ("aten::_cudnn_rnn", (STEPS, [T(1000)]), "flattened"),
        ("quantized::conv2d", (GROUPED_IN.to("meta"), Packed(21, 5, 11, 13)), "cannot be unpacked"),
        ("quantized::conv2d", (GROUPED_IN, object()), "cannot be unpacked"),
        ("higher_order::out_dtype", (torch.ops.aten.svd.default, torch.int32, T(2, 3)), "has no formula"),
        ("higher_order::out_dtype", (object(), torch.int32, T(2, 3)), "has no formula"),
        ("aten::mm", (sparse(2, 3, 4).to("meta"), T(3, 5)), "is not known"),
        ("aten::_flash_attention_forward", (*LENGTH_FIRST[0], T(3).to("meta")), "packed sequences"),
        ("aten::_efficient_attention_forward", (*LENGTH_FIRST[0], None, T(3).to("meta")), "packed sequences"),
        ("aten::_cudnn_attention_forward", (*HEADS_FIRST[0], None, T(3).to("meta")), "packed sequences"),
    ],
)
def test_work_that_shapes_do_not_determine_is_unknown_with_a_reason(name: str, args: tuple[Any, ...], why: str) -> None:
    work = count_operator(Operator(name), args, {}, GROUPED_OUT)
    assert (work.status, work.macs) == ("unknown", 0)
    assert why in (work.note or "")


@pytest.mark.parametrize("name", ["_flash_attention_forward", "_cudnn_attention_forward", "_efficient_attention_forward"])
def test_packed_lengths_given_by_name_are_unknown_too(name: str) -> None:
    keyword = "cu_seqlens_q" if "efficient" in name else "cum_seq_q"
    work = count_operator(Operator(f"aten::{name}"), LENGTH_FIRST[0], {keyword: T(3).to("meta")}, GROUPED_OUT)
    assert work.status == "unknown"
    assert count_operator(Operator(f"aten::{name}"), LENGTH_FIRST[0], {keyword: None}, LENGTH_FIRST[1]).status == "counted"


@pytest.mark.parametrize(
    ("answer", "products"),
    [(6, ((6,),)), (0, ((0,),)), ((), ()), (((2, 3), (5,)), ((2, 3), (5,))), ([[2, [3, 5]]], ((2, (3, 5)),))],
)
def test_valid_results_of_a_formula(answer: object, products: object) -> None:
    assert read_products(answer) == products


@pytest.mark.parametrize("answer", [True, -1, 1.5, "6", (6,), ((2, -3),), ((2, (3, True)),), ((2.0,),)])
def test_invalid_results_of_a_formula(answer: object) -> None:
    with pytest.raises(ValueError, match=r"size|product"):
        read_products(answer)


def test_an_in_place_operator_has_the_formula_of_its_base_and_a_dunder_has_not() -> None:
    assert find_formula("aten::addmm_", "default") is find_formula("aten::addmm", "default") is not None
    assert find_formula("aten::mm__", "default") is None
    assert find_formula("aten::lstm", "input") is not find_formula("aten::lstm", "data")
    assert find_formula("aten::lstm", "default") is None
