"""Products of quantised, scaled, grouped and packed operands: as many multiply-accumulates as the plain operators.

A packed weight hides its shape. For a linear layer the shape follows from input and output; for a convolution the weight is unpacked.
All formulas leave out quantising, scales, zero points, biases, fused activations and additions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archaudit.measure.formulas.contraction import count_linear, multiply_matrices
from archaudit.measure.formulas.convolution import convolve, convolve_transposed
from archaudit.measure.formulas.registry import NoFormulaAppliesError, Products, dense_sizes, formula, result

_PACKED_FLOAT4 = getattr(torch, "float4_e2m1fn_x2", None)


@formula("aten::_int_mm")
def count_integer_mm(left: Tensor, right: Tensor, *_: object, **__: object) -> Products:
    """rows * inner * columns.

    Source: definition of the matrix product. Leaves out: nothing.
    """
    return multiply_matrices(left, right)


@formula("aten::_scaled_mm", "aten::_scaled_mm_v2", "aten::_scaled_addmm")
def count_scaled_mm(left: Tensor, right: Tensor, *_: object, **__: object) -> Products:
    """rows * inner * columns; the inner size of 4-bit floats is twice the stored one (two in a byte).

    Source: definition of the matrix product. Leaves out: scales, bias.
    """
    (rows, inner), columns = dense_sizes(left), dense_sizes(right)[1]
    return ((rows, inner * _packing(left), columns),)


@formula("aten::_grouped_mm", "aten::_scaled_grouped_mm", "aten::_scaled_grouped_mm_v2")
def count_grouped_mm(left: Tensor, right: Tensor, *_: object, **__: object) -> Products:
    """Each row is multiplied with the matrix of its group only, so the sum over the groups is one matrix product.

    (rows, inner) with (groups, inner, columns): rows * inner * columns. (groups, rows, inner) with (inner, columns): the same.
    Both with groups: groups * rows * inner * columns. Neither: the groups split the inner size, rows * inner * columns.
    Source: `torch.nn.functional.grouped_mm`. Leaves out: scales, bias; rows after the last offset are counted too.
    """
    lefts, rights = dense_sizes(left), dense_sizes(right)
    groups = (lefts[0],) if len(lefts) == 3 and len(rights) == 3 else ()
    return ((*groups, lefts[-2], lefts[-1] * _packing(left), rights[-1]),)


def _packing(tensor: Tensor) -> int:
    return 2 if _PACKED_FLOAT4 is not None and tensor.dtype is _PACKED_FLOAT4 else 1


@formula(
    *("aten::_weight_int8pack_mm", "aten::_weight_int4pack_mm", "aten::_weight_int4pack_mm_for_cpu"),
    *("aten::_weight_int4pack_mm_with_scales_and_zeros", "aten::_dyn_quant_matmul_4bit", "aten::_mixed_dtypes_linear"),
    *("aten::_wrapped_quantized_linear_prepacked", "_quantized::_wrapped_quantized_linear_prepacked"),
    *("_quantized::wrapped_quantized_linear", "_quantized::wrapped_fbgemm_linear_fp16_weight"),
    *("aten::fbgemm_linear_int8_weight", "aten::fbgemm_linear_int8_weight_fp32_activation"),
    *("aten::fbgemm_linear_fp16_weight", "aten::fbgemm_linear_fp16_weight_fp32_activation"),
    *("quantized::linear", "quantized::linear_relu", "quantized::linear_leaky_relu", "quantized::linear_tanh"),
    *("quantized::linear_dynamic", "quantized::linear_relu_dynamic", "quantized::linear_dynamic_fp16"),
    *("quantized::linear_relu_dynamic_fp16", "quantized::linear_dynamic_fp16_unpacked_weight"),
    *("quantized::linear_with_input_q_dq_qweight_dq_output_fp32", "quantized::linear_with_input_q_dq_qweight_dq_relu_output_fp32"),
    *("quantized::int4mm_packed_weight_cpu", "_quantized::linear", "_quantized::linear_dynamic"),
    *("onednn::qlinear_pointwise", "onednn::linear_dynamic_fp16", "onednn::linear_relu_dynamic_fp16"),
)
def count_packed_linear(inputs: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """rows * input features * output features, from the sizes of input and output.

    Source: y = x W^T. Leaves out: quantising, scales, bias, fused activation or addition.
    """
    return count_linear(inputs, out=out)


_CONVOLUTIONS = tuple(
    f"{namespace}::conv{dimensions}d{ending}"
    for namespace in ("quantized", "_quantized")
    for dimensions in (1, 2, 3)
    for ending in ("", "_relu", "_dynamic")
)
_TRANSPOSED = tuple(
    f"{namespace}::conv_transpose{dimensions}d{ending}"
    for namespace in ("quantized", "_quantized")
    for dimensions in (1, 2, 3)
    for ending in ("", "_dynamic")
)


@formula(*_CONVOLUTIONS)
def count_packed_convolution(inputs: Tensor, packed: Any, *_: object, out: Tensor, **__: object) -> Products:
    """The plain convolution; the weight is unpacked to read its shape.

    Source: definition of the convolution. Leaves out: quantising, bias, fused activation.
    """
    return convolve(_unpack_weight(packed, inputs), result(out), inputs.dim() - 2)


@formula("quantized::conv2d_add", "quantized::conv2d_add_relu")
def count_packed_convolution_add(inputs: Tensor, _added: Tensor, packed: Any, *_: object, out: Tensor, **__: object) -> Products:
    """The plain convolution; the second argument is only added.

    Source: definition of the convolution. Leaves out: quantising, bias, the addition, fused activation.
    """
    return convolve(_unpack_weight(packed, inputs), result(out), inputs.dim() - 2)


@formula(*_TRANSPOSED)
def count_packed_transposed_convolution(inputs: Tensor, packed: Any, *_: object, **__: object) -> Products:
    """The plain transposed convolution; the weight is unpacked to read its shape.

    Source: each input position is multiplied with the whole kernel once. Leaves out: quantising, bias.
    """
    return convolve_transposed(inputs, _unpack_weight(packed, inputs), inputs.dim() - 2)


def _unpack_weight(packed: Any, inputs: Tensor) -> Tensor:
    unpack = getattr(packed, "unpack", None)
    if unpack is None or inputs.device.type == "meta":
        raise NoFormulaAppliesError("the packed weight cannot be unpacked to read its shape")
    weight: Tensor = unpack()[0]
    return weight.squeeze(2) if weight.dim() > inputs.dim() else weight


@formula(
    *("onednn::qconv_pointwise", "onednn::qconv1d_pointwise", "onednn::qconv2d_pointwise", "onednn::qconv3d_pointwise"),
)
def count_onednn_convolution(
    inputs: Tensor, _scale: object, _zero_point: object, weight: Tensor, *_: object, out: Tensor, **__: object
) -> Products:
    """The plain convolution; the weight may be reordered: its number of elements is the same.

    Source: definition of the convolution. Leaves out: quantising, bias, fused activation or addition.
    """
    return convolve(weight, result(out), inputs.dim() - 2)
