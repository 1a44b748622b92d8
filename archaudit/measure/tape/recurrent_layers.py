"""Recurrent layers as each device runs them: oneDNN's and cuDNN's layers, and the input products of all steps at once on the CPU.

All functions take the arguments of `aten::lstm.input` and its relatives: input, states, weights, `has_biases`, `num_layers`, `dropout`,
`train`, `bidirectional`, `batch_first`. The weights of each layer and direction are `w_ih, w_hh[, b_ih, b_hh]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

aten = torch.ops.aten

# The numbers of the kinds of layers in oneDNN and cuDNN.
_MODES = {"relu": 0, "tanh": 1, "lstm": 2, "gru": 3}

_FLOAT_BYTES, _CACHE_LINE_BYTES, _PAGE_BYTES = 4, 64, 4096

# Runs one layer in one direction: `(input, position in the states, weights, is reversed)` to the output and the last states.
RunDirection = Callable[[Tensor, int, Sequence[Tensor], bool], tuple[Tensor, tuple[Tensor, ...]]]


def run_lstm_with_mkldnn(
    data: Tensor,
    hx: Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    """An LSTM on the CPU: one operator for each layer and direction.

    Source: ATen/native/mkldnn/RNN.cpp, `mkldnn_rnn`.
    """

    def run_direction(inputs: Tensor, place: int, weights: Sequence[Tensor], is_reversed: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        state, cell = hx[0][place], hx[1][place]
        biases = weights[2:] if has_biases else [torch.zeros(weight.shape, dtype=data.dtype, device=data.device) for weight in weights]
        shape = (_MODES["lstm"], hx[0].shape[-1], num_layers, has_biases, bidirectional, False, train)
        output, *last, _ = aten.mkldnn_rnn_layer(inputs, *weights[:2], *biases, state, cell, is_reversed, [], *shape)
        return output, tuple(last)

    inputs = data.transpose(0, 1).contiguous() if batch_first else data.contiguous()
    directions = 2 if bidirectional else 1
    output, states = _run_layers(run_direction, inputs, params, num_layers, directions, dropout if train else 0.0)
    return output.transpose(0, 1) if batch_first else output, *states


def count_lstm_workspace(inputs: Sequence[int], hidden: int, element_bytes: int) -> int:
    """The bytes that oneDNN's LSTM keeps for its backward pass: gates, hidden states, states and gradients of states of all steps.

    `inputs` is (steps, batch, width). Each part starts a new page. Source: oneDNN, src/cpu/rnn/rnn_utils.hpp, `set_conf`, and
    rnn_utils.cpp, `set_offsets` and `get_good_ld`.
    """
    steps, batch, width = inputs
    rows, states, widest = steps * batch, 2 * (steps + 1) * batch, max(width, hidden)
    parts = (
        rows * _align_row(4 * hidden, element_bytes),
        rows * _align_row(hidden, element_bytes),
        states * _align_row(widest, element_bytes),
        *[states * _align_row(widest, _FLOAT_BYTES)] * 2,
        states * hidden * element_bytes,
        states * hidden * _FLOAT_BYTES,
    )
    return sum(-(-part // _PAGE_BYTES) * _PAGE_BYTES for part in parts)


def _align_row(elements: int, element_bytes: int) -> int:
    """The bytes of a row that starts at a cache line, and whose elements are no multiple of 256, which would alias in the cache."""
    in_line = _CACHE_LINE_BYTES // element_bytes
    aligned = -(-elements // in_line) * in_line
    return (aligned + in_line if aligned % 256 == 0 else aligned) * element_bytes


def run_gru(data: Tensor, hx: Tensor, params: Sequence[Tensor], *settings: Any) -> Any:
    """A GRU on the CPU: the input products of all steps at once, then step by step.

    Source: ATen/native/RNN.cpp, `GRUCell`.
    """

    def step(gates: Tensor, state: Tensor, hidden: Tensor) -> Tensor:
        from_input, from_state = gates.unsafe_chunk(3, 1), hidden.unsafe_chunk(3, 1)
        reset = from_state[0].add_(from_input[0]).sigmoid_()
        update = from_state[1].add_(from_input[1]).sigmoid_()
        new = from_input[2].add(from_state[2].mul_(reset)).tanh_()
        return (state - new).mul_(update).add_(new)

    return _run_steps(step, data, hx, params, *settings)


def run_plain_rnn(activation: Callable[[Tensor], Tensor], data: Tensor, hx: Tensor, params: Sequence[Tensor], *settings: Any) -> Any:
    """An RNN without gates on the CPU.

    Source: ATen/native/RNN.cpp, `SimpleCell`.
    """

    def step(gates: Tensor, state: Tensor, hidden: Tensor) -> Tensor:
        return activation(hidden.add_(gates))

    return _run_steps(step, data, hx, params, *settings)


def _run_steps(
    step: Callable[[Tensor, Tensor, Tensor], Tensor],
    data: Tensor,
    hx: Tensor,
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    def run_direction(inputs: Tensor, place: int, weights: Sequence[Tensor], is_reversed: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        biases = weights[2:] if has_biases else (None, None)
        gates = functional.linear(inputs, weights[0], biases[0]).unbind(0)
        state, outputs = hx[place], []
        for gate in reversed(gates) if is_reversed else gates:
            state = step(gate, state, functional.linear(state, weights[1], biases[1]))
            outputs.append(state)
        return torch.stack(outputs[::-1] if is_reversed else outputs, 0), (state,)

    inputs = data.transpose(0, 1) if batch_first else data
    directions = 2 if bidirectional else 1
    output, states = _run_layers(run_direction, inputs, params, num_layers, directions, dropout if train else 0.0)
    return output.transpose(0, 1) if batch_first else output, *states


def _run_layers(
    run_direction: RunDirection, inputs: Tensor, params: Sequence[Tensor], num_layers: int, directions: int, dropout: float
) -> tuple[Tensor, list[Tensor]]:
    """The output of the last layer, and the last states of all layers and directions, each stacked."""
    each = len(params) // (num_layers * directions)
    states: list[tuple[Tensor, ...]] = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            place = layer * directions + direction
            output, last = run_direction(inputs, place, params[place * each : (place + 1) * each], direction == 1)
            outputs.append(output)
            states.append(last)
        inputs = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        if dropout and layer < num_layers - 1:
            inputs = functional.dropout(inputs, dropout)
    return inputs, [torch.stack(of_kind, 0) for of_kind in zip(*states, strict=True)]


def run_on_cudnn(
    kind: str,
    data: Tensor,
    hx: Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    """All layers of a recurrent network as one operator of cuDNN; the memory that it reserves for the backward pass is not known.

    Source: ATen/native/cudnn/RNN.cpp, `_cudnn_impl`.
    """
    cell = hx[1] if len(hx) > 1 else None
    hidden = (cell if cell is not None else hx[0]).shape[-1]
    projected = hx[0].shape[-1] if hx[0].shape[-1] != hidden else 0
    packed = data.new_empty(0)  # nn.LSTM packs the weights on CUDA when it is moved there; the packed copy replaces them
    weights, stride = list(params), 4 if has_biases else 2
    shape: tuple[Any, ...] = (_MODES[kind], hidden, projected, num_layers, batch_first, dropout, train, bidirectional, [], None)
    output, state, last_cell, *_ = aten._cudnn_rnn(data, weights, stride, packed, hx[0], cell, *shape)
    return output, state, last_cell
