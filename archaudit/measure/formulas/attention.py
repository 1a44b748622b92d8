"""Attention: the two products QK^T and AV, and the projections of fused layers.

Every query is multiplied with every key: causal masks, padding, windows, block masks and dropout reduce nothing. With grouped queries the
keys and values have fewer heads, but each query head computes its own products. All formulas leave out softmax, scaling, masks, biases,
norms and activations. A kernel that pads the head size receives it padded, and is counted with the padding.
For packed sequences of several lengths the values of their offsets are needed: the shapes do not say which queries are multiplied with
which keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from archaudit.measure.formulas.registry import Products, dense_sizes, formula, read_lengths, result


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
def count_flash_attention(query: Tensor, key: Tensor, value: Tensor, *arguments: Any, out: object, **keywords: Any) -> Products:
    """QK^T and AV for (batch, length, heads, size), or packed as (tokens, heads, size); windows reduce nothing.

    Source: as `scaled_dot_product_attention`. Leaves out: softmax, scale.
    """
    named = keywords.get("cum_seq_q"), keywords.get("cum_seq_k")
    starts, key_starts = (*arguments, None, None)[:2] if arguments else named
    if starts is None:
        return _count_length_first(query, key, value)
    return attend_packed(query, value, starts, key_starts)


@formula("aten::_efficient_attention_forward")
def count_efficient_attention(query: Tensor, key: Tensor, value: Tensor, *arguments: Any, out: object, **keywords: Any) -> Products:
    """QK^T and AV for (batch, length, heads, size), or packed in a batch of one.

    Source: as `scaled_dot_product_attention`. Leaves out: softmax, scale, bias.
    """
    starts, key_starts = (
        (*arguments, None, None)[1:3] if len(arguments) > 1 else (keywords.get("cu_seqlens_q"), keywords.get("cu_seqlens_k"))
    )
    if starts is None:
        return _count_length_first(query, key, value)
    return attend_packed(query, value, starts, key_starts)


@formula("aten::_cudnn_attention_forward", "aten::_cudnn_attention_forward_no_dropout_inplace")
def count_cudnn_attention(query: Tensor, key: Tensor, value: Tensor, *arguments: Any, out: object, **keywords: Any) -> Products:
    """QK^T and AV for (batch, heads, length, size), or packed as (tokens, heads, size).

    Source: as `scaled_dot_product_attention`. Leaves out: softmax, scale, bias.
    """
    named = keywords.get("cum_seq_q"), keywords.get("cum_seq_k")
    starts, key_starts = (*arguments, None, None)[1:3] if len(arguments) > 1 else named
    if starts is not None:
        return attend_packed(query, value, starts, key_starts)
    *batch, queries, query_size = dense_sizes(query)
    return attend(tuple(batch), queries, dense_sizes(key)[-2], query_size, dense_sizes(value)[-1])


@formula("torch_attn::_varlen_attn", "flash_attn::_flash_attn_varlen_forward")
def count_packed_attention(
    query: Tensor, _key: Tensor, value: Tensor, starts: Tensor, key_starts: Tensor | None, *_: object, out: object, **__: object
) -> Products:
    """QK^T and AV of every sequence, for sequences packed as (tokens, heads, size).

    Source: `torch.nn.attention.varlen`, and the package flash-attn. Leaves out: softmax, scale.
    """
    return attend_packed(query, value, starts, key_starts)


@formula("torch_attn::_varlen_attn_out")
def count_packed_attention_out(_out: Tensor, *arguments: Any, out: object, **keywords: Any) -> Products:
    """As `_varlen_attn`.

    Source: `torch.nn.attention.varlen`. Leaves out: softmax, scale.
    """
    return count_packed_attention(*arguments, out=out, **keywords)


@formula("flash_attn::_flash_attn_forward")
def count_flash_attention_package(query: Tensor, key: Tensor, value: Tensor, *_: object, out: object, **__: object) -> Products:
    """QK^T and AV for (batch, length, heads, size); windows reduce nothing.

    Source: the package flash-attn. Leaves out: softmax, scale.
    """
    return _count_length_first(query, key, value)


def attend_packed(query: Tensor, value: Tensor, starts: Tensor, key_starts: Tensor | None) -> Products:
    """QK^T and AV of every sequence. `starts` are the offsets of the sequences, those of the keys if they differ in `key_starts`."""
    *_tokens, heads, query_size = dense_sizes(query)
    lengths = read_lengths(starts)
    key_lengths = lengths if key_starts is None else read_lengths(key_starts)
    pairs = sum(queries * keys for queries, keys in zip(lengths, key_lengths, strict=True))
    return ((heads, pairs, query_size), (heads, pairs, dense_sizes(value)[-1]))


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
