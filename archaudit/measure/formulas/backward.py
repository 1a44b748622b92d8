"""Operators of the backward pass that are no products themselves: fused attention, recurrent layers, layers of libraries, distances.

(The gradients of matrix products are matrix products, and those of convolutions are in `convolution.py`.) A gradient that is not computed
(frozen weights, inputs that need none) costs nothing; a kernel that always computes all of them is counted with all.
Fused attention does not keep the scores: its backward kernel multiplies QK^T again. `RECOMPUTED` says how many products that are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from archaudit.measure.formulas.attention import attend_packed
from archaudit.measure.formulas.convolution import convolve, convolve_transposed
from archaudit.measure.formulas.recurrent import multiply_gates
from archaudit.measure.formulas.registry import NoFormulaAppliesError, Products, dense_sizes, formula

_ATTENTION = (
    "aten::_scaled_dot_product_flash_attention_backward",
    "aten::_scaled_dot_product_efficient_attention_backward",
    "aten::_scaled_dot_product_cudnn_attention_backward",
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    "aten::_scaled_dot_product_fused_attention_overrideable_backward",
)
_ATTENTION_BY_LENGTH = ("aten::_flash_attention_backward", "aten::_efficient_attention_backward")

# By operator: how many of its products, the first ones, compute again what the forward pass did not keep.
RECOMPUTED: dict[str, int] = dict.fromkeys(
    (*_ATTENTION, *_ATTENTION_BY_LENGTH, "aten::_cudnn_attention_backward", "higher_order::flex_attention_backward"), 1
)


def attend_backward(batch: tuple[int, ...], queries: int, keys: int, query_size: int, value_size: int) -> Products:
    """QK^T again; then the gradients of the values, of the weights, of the queries and of the keys. Batch includes the query heads."""
    with_queries, with_values = (batch, queries, query_size, keys), (batch, queries, keys, value_size)
    return (with_queries, with_values, with_values, with_queries, with_queries)


@formula(*_ATTENTION)
def count_attention_backward(_gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object) -> Products:
    """Five products for (batch, heads, length, size): QK^T again, and one for each gradient, as the kernels compute them all.

    Source: Dao et al., FlashAttention (2022), algorithm 4. Leaves out: softmax, scale, masks, the gradient of a bias.
    """
    *batch, queries, query_size = dense_sizes(query)
    return attend_backward(tuple(batch), queries, dense_sizes(key)[-2], query_size, dense_sizes(value)[-1])


@formula(*_ATTENTION_BY_LENGTH)
def count_length_first_attention_backward(
    _gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *arguments: Any, **keywords: Any
) -> Products:
    """As `_scaled_dot_product_flash_attention_backward`, for (batch, length, heads, size), or packed sequences.

    Source: Dao et al., FlashAttention (2022), algorithm 4. Leaves out: softmax, scale, masks, the gradient of a bias.
    """
    starts, key_starts = arguments[2:4] if len(arguments) > 3 else (keywords.get("cum_seq_q"), keywords.get("cum_seq_k"))
    if isinstance(starts, Tensor) and starts.numel():
        return _repeat(attend_packed(query, value, starts, key_starts))
    batch, queries, heads, query_size = dense_sizes(query)
    return attend_backward((batch, heads), queries, dense_sizes(key)[1], query_size, dense_sizes(value)[-1])


@formula("aten::_cudnn_attention_backward")
def count_cudnn_attention_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *arguments: Any, **keywords: Any
) -> Products:
    """As `_scaled_dot_product_cudnn_attention_backward`, also for packed sequences.

    Source: Dao et al., FlashAttention (2022), algorithm 4. Leaves out: softmax, scale, masks.
    """
    starts, key_starts = arguments[5:7] if len(arguments) > 6 else (keywords.get("cum_seq_q"), keywords.get("cum_seq_k"))
    if isinstance(starts, Tensor) and starts.numel():
        return _repeat(attend_packed(query, value, starts, key_starts))
    return count_attention_backward(gradient, query, key, value)


@formula("higher_order::flex_attention_backward")
def count_flex_attention_backward(query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object) -> Products:
    """As `_scaled_dot_product_flash_attention_backward`; the block mask reduces nothing.

    Source: Dao et al., FlashAttention (2022), algorithm 4. Leaves out: softmax, scale, `score_mod`.
    """
    return count_attention_backward(query, query, key, value)


def _repeat(forward: Products) -> Products:
    """The five products of the backward pass from the two of the forward pass."""
    with_queries, with_values = forward
    return (with_queries, with_values, with_values, with_queries, with_queries)


@formula("aten::mkldnn_rnn_layer_backward")
def count_mkldnn_recurrent_layer_backward(
    inputs: Tensor, weight_input: Tensor, weight_hidden: Tensor, *_: object, **__: object
) -> Products:
    """The products of the layer twice: for the gradients of input and state, and for those of the weights; the kernel computes all.

    Source: backpropagation through the equations in the documentation of `nn.LSTM`. Leaves out: biases, gate activations.
    """
    return multiply_gates(dense_sizes(inputs)[:-1], (weight_input, weight_hidden)) * 2


@formula("aten::_cudnn_rnn_backward", "aten::miopen_rnn_backward")
def count_library_recurrent_layer_backward(inputs: Tensor, weights: Sequence[Tensor], *arguments: Any, **keywords: Any) -> Products:
    """The products of all layers, for the gradients of inputs and states, and once more for those of the weights if they are computed.

    Source: backpropagation through the equations in the documentation of `nn.LSTM`. Leaves out: biases, gate activations, dropout.
    """
    if all(weight.dim() != 2 for weight in weights):
        raise NoFormulaAppliesError("the weight matrices are flattened into one buffer")
    mask = keywords.get("output_mask", arguments[-1] if arguments else None)
    computes_weights = not isinstance(mask, list | tuple) or bool(mask[-1])
    return multiply_gates(dense_sizes(inputs)[:-1], weights) * (2 if computes_weights else 1)


@formula("aten::linear_backward", "aten::mkldnn_linear_backward")
def count_linear_backward(
    inputs: Tensor, _gradient: Tensor, weight: Tensor, output_mask: Sequence[bool], *_: object, **__: object
) -> Products:
    """rows * inputs * outputs, for each of the gradients of input and weight that is computed.

    Source: definition of the matrix product. Leaves out: the gradient of the bias, a sum.
    """
    return ((dense_sizes(inputs)[:-1], dense_sizes(weight)),) * sum(map(bool, output_mask[:2]))


@formula("aten::mkldnn_linear_backward_input")
def count_linear_backward_input(_sizes: object, gradient: Tensor, weight: Tensor, *_: object, **__: object) -> Products:
    """rows * inputs * outputs.

    Source: definition of the matrix product. Leaves out: nothing.
    """
    return ((dense_sizes(gradient)[:-1], dense_sizes(weight)),)


@formula("aten::mkldnn_linear_backward_weights")
def count_linear_backward_weights(gradient: Tensor, _inputs: Tensor, weight: Tensor, *_: object, **__: object) -> Products:
    """rows * inputs * outputs.

    Source: definition of the matrix product. Leaves out: the gradient of the bias, a sum.
    """
    return ((dense_sizes(gradient)[:-1], dense_sizes(weight)),)


@formula("aten::_slow_conv2d_backward")
def count_slow_convolution_backward(
    gradient: Tensor, _inputs: Tensor, weight: Tensor, _kernel: object, _stride: object, _padding: object,
    output_mask: Sequence[bool] = (True, True, True), *_: object, **__: object,
) -> Products:  # fmt: skip
    """The products of the convolution, for each of the gradients of input and weight that is computed.

    Source: each gradient multiplies the same pairs as the convolution. Leaves out: the gradient of the bias, a sum.
    """
    return convolve(weight, gradient, 2) * sum(map(bool, output_mask[:2]))


@formula("aten::convolution_backward_overrideable")
def count_overrideable_convolution_backward(
    gradient: Tensor, inputs: Tensor, weight: Tensor, _stride: object, _padding: object, _dilation: object,
    transposed: bool, _output_padding: object, _groups: int, output_mask: Sequence[bool], *_: object, **__: object,
) -> Products:  # fmt: skip
    """As `convolution_backward`.

    Source: each gradient multiplies the same pairs as the convolution. Leaves out: the gradient of the bias, a sum.
    """
    dimensions = weight.dim() - 2
    forward = convolve_transposed(inputs, weight, dimensions) if transposed else convolve(weight, gradient, dimensions)
    return forward * sum(map(bool, output_mask[:2]))


@formula("torchvision::_deform_conv2d_backward")
def count_deform_conv2d_backward(gradient: Tensor, _inputs: Tensor, weight: Tensor, *_: object, **__: object) -> Products:
    """The products of the convolution twice: for the gradients of the sampled columns, and of the weight; the kernel computes both.

    Source: torchvision's csrc/ops/cpu/deform_conv2d_kernel.cpp. Leaves out: the gradients of sampling and of offsets and mask, the bias.
    """
    return convolve(weight, gradient, 2) * 2


@formula("aten::_cdist_backward")
def count_cdist_backward(_gradient: Tensor, first: Tensor, _second: Tensor, p: float, distances: Tensor, **__: object) -> Products:
    """Pairs * features for p = 2, as `_cdist_forward`: the differences of each point, weighted by the gradients, are summed.

    Source: derivative of the distance. Leaves out: differences and quotients, and distances of other p, which are elementwise.
    """
    return ((dense_sizes(distances), dense_sizes(first)[-1]),) if p == 2 else ()


@formula("aten::_pdist_backward")
def count_pdist_backward(_gradient: Tensor, points: Tensor, p: float, distances: Tensor, **__: object) -> Products:
    """Twice pairs * features for p = 2, because each pair adds to the gradients of both points; else 0.

    Source: derivative of the distance. Leaves out: differences and quotients, and distances of other p, which are elementwise.
    """
    return ((dense_sizes(distances), dense_sizes(points)[-1]),) * 2 if p == 2 else ()
