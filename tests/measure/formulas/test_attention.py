from __future__ import annotations

import contextlib

import pytest
import torch
import torch.nn.functional as F
from torch import nn

rand = torch.rand
BACKENDS = pytest.mark.parametrize("device", ["meta", "cpu"])


@contextlib.contextmanager
def fast_path(enabled):
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def attend(queries=6, keys=10, value_size=8, **options):
    return lambda: F.scaled_dot_product_attention(rand(2, 4, queries, 8), rand(2, 4, keys, 8), rand(2, 4, keys, value_size), **options)


@BACKENDS
@pytest.mark.parametrize("inference", [False, True])
def test_attention_is_two_products(count, device, inference):
    assert count(attend(), device, inference).macs == 2 * 4 * 6 * 8 * 10 + 2 * 4 * 6 * 10 * 8


@BACKENDS
def test_values_may_have_another_size(count, device):
    assert count(attend(value_size=16), device).macs == 2 * 4 * 6 * 8 * 10 + 2 * 4 * 6 * 10 * 16


@BACKENDS
def test_causal_masks_reduce_nothing(count, device):
    assert count(attend(keys=6, is_causal=True), device).macs == count(attend(keys=6), device).macs == 2 * (2 * 4 * 6 * 8 * 6)


def test_cpu_flash_attention_equals_meta(count):
    on_cpu = count(attend(), "cpu")
    assert on_cpu.counted == ["aten::_scaled_dot_product_flash_attention_for_cpu"]
    assert on_cpu.macs == count(attend(), "meta").macs


@BACKENDS
@pytest.mark.parametrize("inference", [False, True])
def test_grouped_queries_count_every_query_head(count, device, inference):
    def run():
        return F.scaled_dot_product_attention(rand(2, 8, 6, 16), rand(2, 2, 10, 16), rand(2, 2, 10, 16), enable_gqa=True)

    assert count(run, device, inference).macs == 2 * (2 * 8 * 6 * 16 * 10)


HEADS_FIRST = [
    "scaled_dot_product_attention",
    "_scaled_dot_product_attention_math",
    "_scaled_dot_product_attention_math_for_mps",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_fused_attention_overrideable",
    "_cudnn_attention_forward",
]
LENGTH_FIRST = ["_flash_attention_forward", "_efficient_attention_forward"]
# 2 in the batch, 4 heads, 6 queries and 10 keys of size 8, values of size 16: QK^T, then AV.
OTHER_VALUE_SIZE = 2 * 4 * 6 * 8 * 10 + 2 * 4 * 6 * 10 * 16


def count_kernel(name, query, key, value, out):
    """The work of one kernel by its formula. Torch rejects such values for most kernels, or decomposes them into products."""
    from archaudit.measure.formulas import count_operator

    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        pytest.skip("this torch does not have it")
    return count_operator(packet.default, (query, key, value), {}, (out,))


@pytest.mark.parametrize("name", HEADS_FIRST)
def test_fused_kernels_with_values_of_another_size(name):
    work = count_kernel(name, rand(2, 4, 6, 8), rand(2, 4, 10, 8), rand(2, 4, 10, 16), rand(2, 4, 6, 16))
    assert (work.status, work.macs) == ("counted", OTHER_VALUE_SIZE)


@pytest.mark.parametrize("name", LENGTH_FIRST)
def test_length_first_kernels_with_values_of_another_size(name):
    work = count_kernel(name, rand(2, 6, 4, 8), rand(2, 10, 4, 8), rand(2, 10, 4, 16), rand(2, 6, 4, 16))
    assert (work.status, work.macs) == ("counted", OTHER_VALUE_SIZE)


@pytest.mark.parametrize(
    ("operator", "extra"),
    [
        ("_scaled_dot_product_flash_attention", ()),
        ("_scaled_dot_product_efficient_attention", (None, False)),
        ("_scaled_dot_product_cudnn_attention", (None, False)),
        ("_scaled_dot_product_fused_attention_overrideable", ()),
        ("_scaled_dot_product_attention_math", ()),
    ],
)
def test_every_fused_kernel_costs_the_same(count, operator, extra):
    packet = getattr(torch.ops.aten, operator, None)
    if packet is None:
        pytest.skip("this torch does not have it")
    seen = count(lambda: packet(rand(2, 4, 6, 8), rand(2, 4, 10, 8), rand(2, 4, 10, 8), *extra))
    assert seen.macs == 2 * (2 * 4 * 6 * 8 * 10)


def test_length_first_kernels(count):
    flash = lambda: torch.ops.aten._flash_attention_forward(  # noqa: E731
        rand(2, 6, 4, 8), rand(2, 10, 4, 8), rand(2, 10, 4, 8), None, None, 6, 10, 0.0, False, False
    )
    efficient = lambda: torch.ops.aten._efficient_attention_forward(  # noqa: E731
        rand(2, 6, 4, 8), rand(2, 10, 4, 8), rand(2, 10, 4, 8), None, None, None, None, None, 0.0, 0
    )
    assert count(flash).macs == count(efficient).macs == 2 * (2 * 4 * 6 * 8 * 10)


def test_packed_sequences_are_unknown(count):
    lengths = lambda: torch.tensor([0, 2, 6], dtype=torch.int32)  # noqa: E731
    run = lambda: torch.ops.aten._flash_attention_forward(  # noqa: E731
        rand(6, 4, 8), rand(6, 4, 8), rand(6, 4, 8), lengths(), lengths(), 4, 4, 0.0, False, False
    )
    assert "packed sequences" in count(run).unknown["aten::_flash_attention_forward"]


def test_fused_multi_head_attention_equals_its_parts(count):
    def run():
        layer = nn.MultiheadAttention(16, 4, batch_first=True).eval()
        return layer(*[rand(2, 5, 16)] * 3)

    with fast_path(True):
        fused = count(run, "cpu")
    with fast_path(False):
        parts = count(run, "cpu")
    assert fused.counted == ["aten::_native_multi_head_attention"]
    assert fused.macs == parts.macs == count(run, "meta").macs == 4 * (2 * 5 * 16 * 16) + 2 * (2 * 4 * 5 * 4 * 5)


@pytest.mark.parametrize("norm_first", [False, True])
def test_fused_encoder_layer_equals_its_parts(count, norm_first):
    def run():
        return nn.TransformerEncoderLayer(16, 4, 48, batch_first=True, norm_first=norm_first).eval()(rand(2, 5, 16))

    with fast_path(True):
        fused = count(run, "cpu")
    with fast_path(False):
        parts = count(run, "cpu")
    assert fused.counted == ["aten::_transformer_encoder_layer_fwd"]
    hand = 4 * (2 * 5 * 16 * 16) + 2 * (2 * 4 * 5 * 4 * 5) + 2 * (2 * 5 * 16 * 48)
    assert fused.macs == parts.macs == count(run, "meta").macs == hand


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_nested_encoder_input_is_unknown(count):
    """The encoder packs padded rows into a nested tensor, whose sizes differ from row to row."""

    def run():
        encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 48, batch_first=True), 1, enable_nested_tensor=True).eval()
        return encoder(rand(2, 5, 16), src_key_padding_mask=torch.tensor([[False] * 5, [False] * 3 + [True] * 2]))

    with fast_path(True):
        seen = count(run, "cpu")
    assert "nested tensor" in seen.unknown["aten::_transformer_encoder_layer_fwd"]


def test_flex_attention_is_counted_in_full(count):
    flex = pytest.importorskip("torch.nn.attention.flex_attention")
    query, key = torch.rand(2, 8, 128, 16), torch.rand(2, 2, 256, 16)

    from archaudit.measure.formulas import count_operator

    work = count_operator(flex.flex_attention_hop, (query, key, key, None, None), {}, (query, None))
    assert work.macs == 2 * (2 * 8 * 128 * 16 * 256)
