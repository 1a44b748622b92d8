from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

rand = torch.rand
SIZES = {"input_size": 6, "hidden_size": 5}
KINDS = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}


def run_layer(kind, shape=(7, 3, 6), **options):
    return lambda: kind(**SIZES, **options).eval()(rand(*shape))


@pytest.mark.parametrize(("kind", "gates"), KINDS.items(), ids=lambda value: getattr(value, "__name__", None))
@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_one_layer(count, kind, gates, inference, device):
    assert count(run_layer(kind), device, inference).macs == 7 * 3 * gates * 5 * (6 + 5)


@pytest.mark.parametrize(("kind", "gates"), KINDS.items(), ids=lambda value: getattr(value, "__name__", None))
@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_later_layers_have_both_directions_as_input(count, kind, gates, inference, device):
    run = run_layer(kind, num_layers=2, bidirectional=True, batch_first=True)
    first, second = gates * 5 * (6 + 5), gates * 5 * (2 * 5 + 5)
    assert count(run, device, inference).macs == 7 * 3 * 2 * (first + second)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_projection_shrinks_the_recurrent_input(count, inference, device):
    run = run_layer(nn.LSTM, proj_size=2)
    assert count(run, device, inference).macs == 7 * 3 * (4 * 5 * (6 + 2) + 5 * 2)


def test_mkldnn_lstm_on_cpu_equals_its_steps_on_meta(count):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no mkldnn")
    run = run_layer(nn.LSTM, num_layers=2, bidirectional=True)
    on_cpu = count(run, "cpu")
    assert set(on_cpu.counted) == {"aten::mkldnn_rnn_layer"}
    assert on_cpu.macs == count(run, "meta").macs


@pytest.mark.parametrize("bias", [True, False])
def test_bias_is_left_out(count, bias):
    assert count(run_layer(nn.LSTM, bias=bias), "cpu").macs == 7 * 3 * 4 * 5 * (6 + 5)


def test_unbatched_sequence(count):
    assert count(run_layer(nn.GRU, shape=(7, 6)), "cpu").macs == 7 * 3 * 5 * (6 + 5)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize(("kind", "gates"), KINDS.items(), ids=lambda value: getattr(value, "__name__", None))
def test_packed_sequences_do_not_count_padding(count, kind, gates, inference):
    def run():
        packed = pack_sequence([rand(4, 6), rand(2, 6)])
        assert isinstance(packed, PackedSequence)
        return kind(**SIZES).eval()(packed)

    assert count(run, "cpu", inference).macs == (4 + 2) * gates * 5 * (6 + 5)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTMCell, 4), (nn.GRUCell, 3), (nn.RNNCell, 1)])
def test_cells(count, kind, gates, inference):
    for device in ("meta", "cpu"):
        assert count(lambda: kind(6, 5)(rand(3, 6)), device, inference).macs == 3 * gates * 5 * (6 + 5)


def test_library_layers_are_counted_from_their_weights(count):
    from archaudit.measure.formulas import count_operator

    weights = [rand(20, 6), rand(20, 5), rand(20), rand(20)]
    out = (rand(7, 3, 5),)
    work = count_operator(torch.ops.aten._cudnn_rnn.default, (rand(7, 3, 6), weights, 4, None), {}, out)
    assert work.macs == 7 * 3 * 4 * 5 * (6 + 5)
    flattened = count_operator(torch.ops.aten._cudnn_rnn.default, (rand(7, 3, 6), [rand(260)], 4, None), {}, out)
    assert (flattened.status, flattened.note) == ("unknown", "the weight matrices are flattened into one buffer")
