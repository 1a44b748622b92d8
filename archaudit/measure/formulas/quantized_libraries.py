"""Kernels of quantization libraries (bitsandbytes, torchao): as many multiply-accumulates as the plain operators.

A weight is stored as integers or packed, but every weight is multiplied. All formulas leave out quantising, scales, zero points and biases.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from archaudit.measure.formulas.attention import count_attention
from archaudit.measure.formulas.contraction import count_linear, multiply_matrices
from archaudit.measure.formulas.registry import Products, dense_sizes, formula


@formula("bitsandbytes::gemv_4bit", "bitsandbytes::gemm_4bit")
def count_4bit_linear(inputs: Tensor, _packed: Tensor, weight_shape: Sequence[int], *_: object, **__: object) -> Products:
    """rows * input features * output features; the shape of the packed weight is an argument.

    Source: `bitsandbytes/_ops.py`: the operator is `inputs @ dequantize_4bit(packed).T`. Leaves out: dequantising, bias.
    """
    outputs, features = (int(size) for size in weight_shape)
    return ((dense_sizes(inputs)[:-1], features, outputs),)


@formula("bitsandbytes::int8_linear_matmul", "bitsandbytes::int8_scaled_mm")
def count_8bit_linear(inputs: Tensor, weight: Tensor, *_: object, **__: object) -> Products:
    """rows * input features * output features, for a weight of (outputs, inputs).

    Source: `bitsandbytes/_ops.py`. Leaves out: scales, bias.
    """
    *rows, features = dense_sizes(inputs)
    return ((tuple(rows), features, dense_sizes(weight)[0]),)


@formula("bitsandbytes::int8_mixed_scaled_mm")
def count_mixed_8bit_linear(inputs: Tensor, _quantized: Tensor, weight: Tensor, *_: object, **__: object) -> Products:
    """rows * input features * output features; the columns of outliers are part of the inner size.

    Source: `bitsandbytes/_ops.py`; Dettmers et al., LLM.int8() (2022). Leaves out: scales, bias.
    """
    return count_8bit_linear(inputs, weight)


@formula("torchao::da8w4_linear_cpu", "torchao::float8_linear_cpu", "torchao::rowwise_scaled_linear_sparse_cutlass_f8f8")
def count_scaled_linear(inputs: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """rows * input features * output features, from the sizes of input and output.

    Source: `torchao/ops.py`. Leaves out: scales, zero points, bias. Of weights that are half zeros, both halves count.
    """
    return count_linear(inputs, out=out)


@formula(
    *("torchao::int_matmul", "torchao::int_scaled_matmul", "torchao::scaled_int8_mm", "torchao::swizzle_mm", "torchao::swizzle_scaled_mm"),
    *("torchao::mx_fp8_bf16", "torchao::blockwise_scaled_mm"),
)
def count_scaled_product(left: Tensor, right: Tensor, *_: object, **__: object) -> Products:
    """rows * inner * columns.

    Source: `torchao/ops.py`, `torchao/kernel/intmm_triton.py`. Leaves out: scales.
    """
    return multiply_matrices(left, right)


@formula("torchao::qscaled_dot_product")
def count_quantized_attention(query: Tensor, key: Tensor, value: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """QK^T and AV, as `scaled_dot_product_attention`.

    Source: `torchao/ops.py`. Leaves out: softmax, scales, masks.
    """
    return count_attention(query, key, value, out=out)
