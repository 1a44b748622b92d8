from __future__ import annotations

import pytest
import torch

from archaudit.measure.formulas import count_operator

rand = torch.rand
aten = torch.ops.aten


def integers(*shape, dtype=torch.int8):
    return torch.randint(-5, 5, shape, dtype=dtype)


def count_work(operator, *args, out, **kwargs):
    """For operators that only run on other devices: the formula with their schema's arguments."""
    packet = getattr(torch.ops.aten, operator, None)
    if packet is None:
        pytest.skip(f"this torch has no {operator}")
    return count_operator(packet.default, args, kwargs, out)


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_integer_product(count, device):
    assert count(lambda: torch._int_mm(integers(32, 16), integers(16, 8)), device).macs == 32 * 16 * 8


def test_int8_weights(count):
    run = lambda: aten._weight_int8pack_mm(rand(3, 16).bfloat16(), integers(8, 16), rand(8).bfloat16())  # noqa: E731
    assert count(run, "cpu").macs == 3 * 16 * 8


def test_int4_weights():
    out = rand(3, 8)
    assert count_work("_weight_int4pack_mm", rand(3, 64), integers(1, 1, 32, 4), 32, rand(2, 8, 2), out=out).macs == 3 * 64 * 8
    assert count_work("_dyn_quant_matmul_4bit", rand(3, 64), integers(99), 32, 64, 8, out=out).macs == 3 * 64 * 8


def test_scaled_product(count):
    def run():
        left, right = rand(16, 32).to(torch.float8_e4m3fn), rand(16, 32).to(torch.float8_e4m3fn).t()
        return torch._scaled_mm(left, right, rand(()), rand(()), out_dtype=torch.bfloat16)

    assert count(run).macs == 16 * 32 * 16


def test_two_four_bit_floats_in_a_byte():
    packed = getattr(torch, "float4_e2m1fn_x2", None)
    if packed is None:
        pytest.skip("this torch has no packed 4-bit floats")
    left, right = (torch.empty(shape, dtype=packed, device="meta") for shape in ((16, 32), (32, 8)))
    assert count_work("_scaled_mm", left, right, None, None, out=rand(16, 8)).macs == 16 * 64 * 8


@pytest.mark.parametrize(
    ("left", "right", "offsets", "expected"),
    [
        pytest.param((32, 16), (4, 16, 8), True, 32 * 16 * 8, id="rows of experts"),
        pytest.param((4, 8, 16), (16, 32), True, 8 * 16 * 32, id="columns of experts"),
        pytest.param((4, 8, 16), (4, 16, 32), False, 4 * 8 * 16 * 32, id="batch"),
        pytest.param((8, 32), (32, 16), True, 8 * 32 * 16, id="inner size split"),
    ],
)
def test_grouped_product(count, left, right, offsets, expected):
    if not hasattr(aten, "_grouped_mm"):
        pytest.skip("this torch has no _grouped_mm")

    def run():
        groups = torch.arange(8, 33, 8, dtype=torch.int32) if offsets else None
        return torch._grouped_mm(rand(left).bfloat16(), rand(right).bfloat16(), groups)

    assert count(run).macs == expected


@pytest.mark.filterwarnings("ignore")  # torch.ao quantisation announces its deprecation in several ways
@pytest.mark.parametrize("name", ["linear", "linear_dynamic"])
def test_packed_linear(count, name):
    dynamic = name.endswith("dynamic")

    def run():
        weight = torch.quantize_per_tensor(rand(5, 4), 0.1, 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(weight, rand(5))
        if dynamic:
            return torch.ops.quantized.linear_dynamic(rand(2, 3, 4), packed)
        return torch.ops.quantized.linear(torch.quantize_per_tensor(rand(2, 3, 4), 0.1, 0, torch.quint8), packed, 0.1, 0)

    assert count(run, "cpu").macs == 2 * 3 * 4 * 5


@pytest.mark.filterwarnings("ignore")
def test_packed_convolutions(count):
    def quantize(*shape, dtype=torch.qint8):
        return torch.quantize_per_tensor(rand(*shape), 0.1, 0, dtype)

    ops = torch.ops.quantized

    def grouped():
        packed = ops.conv2d_prepack(quantize(8, 2, 3, 3), None, [1, 1], [0, 0], [1, 1], 2)
        return ops.conv2d(quantize(1, 4, 6, 6, dtype=torch.quint8), packed, 0.1, 0)

    def one_dimension():
        packed = ops.conv1d_prepack(quantize(8, 2, 3), None, [1], [0], [1], 1)
        return ops.conv1d(quantize(2, 2, 6, dtype=torch.quint8), packed, 0.1, 0)

    def transposed():
        packed = ops.conv_transpose2d_prepack(quantize(4, 2, 3, 3), None, [2, 2], [0, 0], [0, 0], [1, 1], 1)
        return ops.conv_transpose2d(quantize(1, 4, 5, 5, dtype=torch.quint8), packed, 0.1, 0)

    assert count(grouped, "cpu").macs == 16 * 8 * 2 * 9
    assert count(one_dimension, "cpu").macs == 2 * 4 * 8 * 2 * 3
    assert count(transposed, "cpu").macs == 25 * 4 * 2 * 9


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("layer", "gates"), [(torch.nn.LSTM, 4), (torch.nn.GRU, 3)])
def test_dynamically_quantized_recurrent_layer(count, layer, gates):
    from torch.ao.quantization import quantize_dynamic

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer(6, 5, num_layers=2)

        def forward(self, inputs):
            return self.layer(inputs)

    net = quantize_dynamic(Net().eval(), {layer})
    assert count(lambda: net(rand(7, 3, 6)), "cpu").macs == 7 * 3 * gates * 5 * ((6 + 5) + (5 + 5))


def test_weights_that_cannot_be_unpacked_are_unknown():
    operator = torch.ops.quantized.conv2d.new
    work = count_operator(operator, (rand(1, 4, 6, 6), object(), 0.1, 0), {}, rand(1, 8, 4, 4))
    assert (work.status, work.note) == ("unknown", "the packed weight cannot be unpacked to read its shape")


def test_onednn_products(count):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no mkldnn")
    scale, zero = torch.ones(1), torch.zeros(1, dtype=torch.int64)
    onednn = torch.ops.onednn

    def convolve():
        weight = onednn.qconv_prepack(integers(8, 2, 3, 3), torch.ones(8), 1.0, 0, [1, 1], [0, 0], [1, 1], 2, [1, 4, 6, 6])
        inputs = integers(1, 4, 6, 6, dtype=torch.int32).abs().to(torch.uint8)
        return onednn.qconv2d_pointwise(
            inputs, 1.0, 0, weight, torch.ones(8), torch.zeros(8, dtype=torch.int64), None,
            [1, 1], [0, 0], [1, 1], 2, 1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip

    def multiply():
        weight = onednn.qlinear_prepack(integers(5, 4), None)
        inputs = integers(3, 4, dtype=torch.int32).abs().to(torch.uint8)
        return onednn.qlinear_pointwise(inputs, 1.0, 0, weight, scale, zero, None, 1.0, 0, torch.float32, "none", [], "")

    if not hasattr(onednn, "qconv2d_pointwise"):
        pytest.skip("this torch has another name for it")
    assert count(convolve, "cpu").macs == 16 * 8 * 2 * 9
    assert count(multiply, "cpu").macs == 3 * 4 * 5
