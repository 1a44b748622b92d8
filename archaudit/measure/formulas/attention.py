"""Attention: the two products QK^T and AV, and the projections of fused layers.

Every query is multiplied with every key: causal masks, padding, windows, block masks and dropout reduce nothing. With grouped queries the
keys and values have fewer heads, but each query head computes its own products. All formulas leave out softmax, scaling, masks, biases,
norms and activations. A kernel that pads the head size receives it padded, and is counted with the padding.
Packed sequences of several lengths have no formula: the shapes do not say which queries are multiplied with which keys.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from archaudit.measure.formulas.registry import NoFormulaAppliesError, Products, dense_sizes, formula, result


def attend(batch: tuple[int, ...], queries: int, keys: int, query_size: int, value_size: int) -> Products:
    """QK^T: batch * queries * query size * keys; AV: batch * queries * keys * value size. Batch includes the query heads."""
    return ((batch, queries, query_size, keys), (batch, queries, keys, value_size))


@formula(
    *("aten::scaled_dot_product_attention", "aten::_scaled_dot_product_attention_math"),
    *("aten::_scaled_dot_product_attention_math_for_mps", "aten::_scaled_dot_product_flash_attention"),
    *("aten::_scaled_dot_product_efficient_attention", "aten::_scaled_dot_product_cudnn_attention"),
    *("aten::_scaled_dot_product_flash_attention_for_cpu", "aten::_scaled_dot_product_fused_attention_overrideable"),
    *("aten::_triton_scaled_dot_attention", "higher_order::flex_attention"),
)
def count_attention(query: Tensor, key: Tensor, value: Tensor, *_: object, out: Tensor | Sequence[Tensor], **__: object) -> Products:
    """QK^T and AV for (..., heads, length, size); the block mask of flex_attention reduces nothing.

    Source: Vaswani et al., Attention Is All You Need (2017), eq. 1. Leaves out: softmax, scale, masks, `score_mod`.
    """
    *batch, queries, query_size = dense_sizes(query)
    leading = dense_sizes(result(out))[:-2]
    shape = leading if len(leading) == len(batch) else tuple(batch)
    return attend(shape, queries, dense_sizes(key)[-2], query_size, dense_sizes(value)[-1])


@formula("aten::_flash_attention_forward", "aten::_flash_attention_forward_no_dropout_inplace")
def count_flash_attention(query: Tensor, key: Tensor, value: Tensor, *arguments: object, out: object, **keywords: object) -> Products:
    """QK^T and AV for (batch, length, heads, size); windows reduce nothing.

    Source: as `scaled_dot_product_attention`. Leaves out: softmax, scale. No formula with `cum_seq_q` (packed lengths).
    """
    _refuse_packed(arguments[0] if arguments else keywords.get("cum_seq_q"))
    return _count_length_first(query, key, value)


@formula("aten::_efficient_attention_forward")
def count_efficient_attention(query: Tensor, key: Tensor, value: Tensor, *arguments: object, out: object, **keywords: object) -> Products:
    """QK^T and AV for (batch, length, heads, size).

    Source: as `scaled_dot_product_attention`. Leaves out: softmax, scale, bias. No formula with `cu_seqlens_q` (packed lengths).
    """
    _refuse_packed(arguments[1] if len(arguments) > 1 else keywords.get("cu_seqlens_q"))
    return _count_length_first(query, key, value)


@formula("aten::_cudnn_attention_forward", "aten::_cudnn_attention_forward_no_dropout_inplace")
def count_cudnn_attention(query: Tensor, key: Tensor, value: Tensor, *arguments: object, out: object, **keywords: object) -> Products:
    """QK^T and AV for (batch, heads, length, size).

    Source: as `scaled_dot_product_attention`. Leaves out: softmax, scale, bias. No formula with `cum_seq_q` (packed lengths).
    """
    _refuse_packed(arguments[1] if len(arguments) > 1 else keywords.get("cum_seq_q"))
    *batch, queries, query_size = dense_sizes(query)
    return attend(tuple(batch), queries, dense_sizes(key)[-2], query_size, dense_sizes(value)[-1])


def _refuse_packed(lengths: object) -> None:
    if lengths is not None:
        raise NoFormulaAppliesError("packed sequences: the pairs of queries and keys follow from the data, not from the shapes")


def _count_length_first(query: Tensor, key: Tensor, value: Tensor) -> Products:
    batch, queries, heads, query_size = dense_sizes(query)
    return attend((batch, heads), queries, dense_sizes(key)[1], query_size, dense_sizes(value)[-1])


@formula("aten::_native_multi_head_attention", "aten::_triton_multi_head_attention")
def count_multi_head_attention(
    query: Tensor, key: Tensor, value: Tensor, embed_size: int, heads: int, *_: object, **__: object
) -> Products:
    """The four projections, then QK^T and AV in every head, for (batch, length, embed size).

    Source: Vaswani et al. (2017), section 3.2.2; the fast path of `nn.MultiheadAttention`. Leaves out: biases, softmax, averaging.
    """
    batch, queries, _size = dense_sizes(query)
    keys, values = dense_sizes(key)[1], dense_sizes(value)[1]
    projections = tuple(((batch, length), embed_size, embed_size) for length in (queries, keys, values, queries))
    head_size = embed_size // heads
    return projections + attend((batch, heads), queries, keys, head_size, head_size)


@formula("aten::_transformer_encoder_layer_fwd")
def count_encoder_layer(source: Tensor, embed_size: int, heads: int, *weights: Tensor, out: Tensor, **_: object) -> Products:
    """Self-attention with its projections, and the two linear layers of the feed-forward part.

    Source: Vaswani et al. (2017), section 3.1; the fast path of `nn.TransformerEncoderLayer`. Leaves out: biases, norms, activation.
    """
    batch, length, _size = dense_sizes(source)
    hidden, features = dense_sizes(weights[11])
    attention = count_multi_head_attention(source, source, source, embed_size, heads)
    return (*attention, ((batch, length), features, hidden), ((batch, length), hidden, features))
