"""Recurrent layers that run as one operator: every weight matrix is multiplied once for each row (a time step of one sequence).

This covers LSTM, GRU and plain RNN, several layers, both directions, projections and packed sequences, because each layer and direction has
its own weight matrices. All formulas leave out biases and the elementwise work of the gates (fused cells such as `_thnn_fused_lstm_cell`,
which receive the products as arguments, are zero).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from archaudit.measure.formulas.registry import Factor, NoFormulaAppliesError, Products, dense_sizes, formula

_LSTM_GATES, _GRU_GATES, _RNN_GATES = 4, 3, 1


def multiply_gates(rows: Factor, weights: Iterable[Tensor]) -> Products:
    """The products rows * weight matrix, for every matrix; vectors among the weights are biases."""
    return tuple((rows, dense_sizes(weight)) for weight in weights if weight.dim() == 2)


@formula(
    *("aten::lstm.input", "aten::gru.input", "aten::rnn_tanh.input", "aten::rnn_relu.input", "aten::_lstm_mps"),
)
def count_recurrent_layer(inputs: Tensor, _hidden: object, weights: Sequence[Tensor], *_: object, **__: object) -> Products:
    """(time * batch) * (gates * hidden) * (input or hidden), for each layer and direction; with projections also hidden * projected.

    Source: the equations in the documentation of `nn.LSTM`, `nn.GRU`, `nn.RNN`. Leaves out: biases, gate activations, dropout.
    """
    return multiply_gates(dense_sizes(inputs)[:-1], weights)


@formula("aten::lstm.data", "aten::gru.data", "aten::rnn_tanh.data", "aten::rnn_relu.data")
def count_packed_recurrent_layer(
    data: Tensor, _batch_sizes: Tensor, _hidden: object, weights: Sequence[Tensor], *_: object, **__: object
) -> Products:
    """The same for the rows of packed data, which contains no padding.

    Source: the equations in the documentation of `nn.LSTM`, `nn.GRU`, `nn.RNN`. Leaves out: biases, gate activations, dropout.
    """
    return multiply_gates(dense_sizes(data)[0], weights)


@formula("aten::_cudnn_rnn", "aten::miopen_rnn")
def count_library_recurrent_layer(inputs: Tensor, weights: Sequence[Tensor], *_: object, **__: object) -> Products:
    """rows * every weight matrix, as `lstm`; a packed input is (rows, features).

    Source: the equations in the documentation of `nn.LSTM`, `nn.GRU`, `nn.RNN`. Leaves out: biases, gate activations, dropout.
    """
    if all(weight.dim() != 2 for weight in weights):
        raise NoFormulaAppliesError("the weight matrices are flattened into one buffer")
    return multiply_gates(dense_sizes(inputs)[:-1], weights)


@formula("aten::mkldnn_rnn_layer")
def count_mkldnn_recurrent_layer(inputs: Tensor, weight_input: Tensor, weight_hidden: Tensor, *_: object, **__: object) -> Products:
    """One layer in one direction: rows * (input weights) + rows * (hidden weights).

    Source: the equations in the documentation of `nn.LSTM`. Leaves out: biases, gate activations.
    """
    return multiply_gates(dense_sizes(inputs)[:-1], (weight_input, weight_hidden))


@formula("aten::lstm_cell", "aten::gru_cell", "aten::rnn_tanh_cell", "aten::rnn_relu_cell", "aten::quantized_lstm_cell")
@formula("aten::quantized_gru_cell", "aten::quantized_rnn_tanh_cell", "aten::quantized_rnn_relu_cell")
def count_cell(inputs: Tensor, _hidden: object, weight_input: Tensor, weight_hidden: Tensor, *_: object, **__: object) -> Products:
    """One time step: rows * (input weights) + rows * (hidden weights).

    Source: the equations in the documentation of `nn.LSTMCell`, `nn.GRUCell`, `nn.RNNCell`. Leaves out: biases, gate activations.
    """
    return multiply_gates(dense_sizes(inputs)[:-1], (weight_input, weight_hidden))


def step_gates(rows: tuple[int, ...], gates: int, hidden: int, features: int) -> Products:
    """The products of one layer in one direction, from its sizes, for packed weights."""
    return ((rows, gates * hidden, features), (rows, gates * hidden, hidden))


def stack_gates(rows: tuple[int, ...], gates: int, hidden: int, features: int, layers: int, directions: int) -> Products:
    """The products of all layers: the input of the first is the features, that of the others the hidden states of every direction."""
    sizes = [features] + [hidden * directions] * (layers - 1)
    return tuple(product for size in sizes for _ in range(directions) for product in step_gates(rows, gates, hidden, size))


def _count_quantized(gates: int, inputs: Tensor, state: Tensor, layers: int, bidirectional: bool) -> Products:
    *rows, features = dense_sizes(inputs)
    return stack_gates(tuple(rows), gates, dense_sizes(state)[-1], features, layers, 2 if bidirectional else 1)


@formula("aten::quantized_lstm.input", "aten::quantized_lstm.input_legacy")
def count_quantized_lstm(
    inputs: Tensor, states: Sequence[Tensor], _weights: object, _biases: bool, layers: int, _dropout: float, _train: bool,
    bidirectional: bool, *_: object, **__: object,
) -> Products:  # fmt: skip
    """As `lstm`, from the sizes of input and state, because the weights are packed.

    Source: the equations in the documentation of `nn.LSTM`. Leaves out: biases, gate activations, quantising.
    """
    return _count_quantized(_LSTM_GATES, inputs, states[0], layers, bidirectional)


@formula("aten::quantized_gru.input", "aten::quantized_gru.input_legacy")
def count_quantized_gru(
    inputs: Tensor, state: Tensor, _weights: object, _biases: bool, layers: int, _dropout: float, _train: bool,
    bidirectional: bool, *_: object, **__: object,
) -> Products:  # fmt: skip
    """As `gru`, from the sizes of input and state, because the weights are packed.

    Source: the equations in the documentation of `nn.GRU`. Leaves out: biases, gate activations, quantising.
    """
    return _count_quantized(_GRU_GATES, inputs, state, layers, bidirectional)


@formula("aten::quantized_lstm.data", "aten::quantized_lstm.data_legacy")
def count_packed_quantized_lstm(data: Tensor, _batch_sizes: Tensor, *arguments: object, **keywords: object) -> Products:
    """As `quantized_lstm` with the rows of the packed data.

    Source: the equations in the documentation of `nn.LSTM`. Leaves out: biases, gate activations, quantising.
    """
    return count_quantized_lstm(data, *arguments, **keywords)  # type: ignore[arg-type]


@formula("aten::quantized_gru.data", "aten::quantized_gru.data_legacy")
def count_packed_quantized_gru(data: Tensor, _batch_sizes: Tensor, *arguments: object, **keywords: object) -> Products:
    """As `quantized_gru` with the rows of the packed data.

    Source: the equations in the documentation of `nn.GRU`. Leaves out: biases, gate activations, quantising.
    """
    return count_quantized_gru(data, *arguments, **keywords)  # type: ignore[arg-type]


@formula("quantized::quantized_lstm_cell_dynamic")
def count_dynamic_lstm_cell(inputs: Tensor, states: Sequence[Tensor], *_: object, **__: object) -> Products:
    """As `lstm_cell`, from the sizes of input and state, because the weights are packed.

    Source: the equations in the documentation of `nn.LSTMCell`. Leaves out: biases, gate activations, quantising.
    """
    *rows, features = dense_sizes(inputs)
    return step_gates(tuple(rows), _LSTM_GATES, dense_sizes(states[0])[-1], features)


@formula("quantized::quantized_gru_cell_dynamic")
def count_dynamic_gru_cell(inputs: Tensor, state: Tensor, *_: object, **__: object) -> Products:
    """As `gru_cell`, from the sizes of input and state, because the weights are packed.

    Source: the equations in the documentation of `nn.GRUCell`. Leaves out: biases, gate activations, quantising.
    """
    *rows, features = dense_sizes(inputs)
    return step_gates(tuple(rows), _GRU_GATES, dense_sizes(state)[-1], features)


@formula("quantized::quantized_rnn_relu_cell_dynamic", "quantized::quantized_rnn_tanh_cell_dynamic")
def count_dynamic_rnn_cell(inputs: Tensor, state: Tensor, *_: object, **__: object) -> Products:
    """As `rnn_tanh_cell`, from the sizes of input and state, because the weights are packed.

    Source: the equations in the documentation of `nn.RNNCell`. Leaves out: biases, activations, quantising.
    """
    *rows, features = dense_sizes(inputs)
    return step_gates(tuple(rows), _RNN_GATES, dense_sizes(state)[-1], features)
