"""Recurrent layers: one product with the input and one with the state, for each gate and step."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from torch.nn.utils import rnn

from archaudit.conformance.case import Case
from archaudit.conformance.models.building import Model, floats, linear


def _stepped(model: Any, x: torch.Tensor) -> Any:
    state = (torch.zeros(x.shape[1], 8, device=x.device), torch.zeros(x.shape[1], 8, device=x.device))
    for step in x:
        state = model.cell(step, state)
    return model.head(state[0])


def _two_cells(model: Any, x: torch.Tensor) -> Any:
    lower, upper = x.new_zeros(x.shape[1], 8), x.new_zeros(x.shape[1], 4)
    for step in x:
        lower = model.first(step, lower)
        upper = model.second(lower, upper)
    return upper


def _packed(model: Any, x: torch.Tensor) -> Any:
    lengths = torch.tensor([10, 6], device="cpu")
    output, _ = model.lstm(rnn.pack_padded_sequence(x, lengths, batch_first=True))
    return rnn.pad_packed_sequence(output, batch_first=True)[0]


def _projected(model: Any, x: torch.Tensor) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN", UserWarning)
        return model.lstm(x)[0]


CASES = (
    Case(
        name="lstm",
        shows="An LSTM layer over ten steps.",
        build=lambda: nn.LSTM(16, 32, bias=False),
        args=floats(10, 1, 16),
        params=4 * 32 * (16 + 32),  # four gates
        macs=10 * 4 * 32 * (16 + 32),
        tags=("recurrent",),  # fvcore#98
    ),
    Case(
        name="lstm_bidirectional_two_layers",
        shows="Both directions, and a second layer that takes both as input.",
        build=lambda: nn.LSTM(6, 8, num_layers=2, bidirectional=True, batch_first=True),
        args=floats(3, 5, 6),
        params=2 * 4 * 8 * (6 + 8 + 2) + 2 * 4 * 8 * (2 * 8 + 8 + 2),  # two biases a gate
        macs=3 * 5 * 2 * 4 * 8 * ((6 + 8) + (2 * 8 + 8)),
        by_convention=(3 * 5 * 2 * 4 * 8 * ((6 + 8 + 2) + (2 * 8 + 8 + 2)),),
        tags=("recurrent", "bias"),
    ),
    Case(
        name="lstm_projected",
        shows="An LSTM that projects its state: the gates take the smaller state, and the projection is a product too.",
        build=lambda: Model(_projected, lstm=nn.LSTM(6, 8, proj_size=3, bias=False)),
        args=floats(5, 2, 6),
        params=4 * 8 * (6 + 3) + 3 * 8,
        macs=2 * 5 * (4 * 8 * (6 + 3) + 3 * 8),
        tags=("recurrent",),
    ),
    Case(
        name="gru",
        shows="A GRU has three gates.",
        build=lambda: nn.GRU(6, 8, bias=False, batch_first=True),
        args=floats(2, 5, 6),
        params=3 * 8 * (6 + 8),
        macs=2 * 5 * 3 * 8 * (6 + 8),
        tags=("recurrent",),
    ),
    Case(
        name="gru_unbatched",
        shows="A sequence without a batch dimension.",
        build=lambda: nn.GRU(6, 8, bias=False),
        args=floats(5, 6),
        params=3 * 8 * (6 + 8),
        macs=5 * 3 * 8 * (6 + 8),
        tags=("recurrent", "unbatched"),
    ),
    Case(
        name="rnn_tanh",
        shows="A plain recurrent layer has one gate.",
        build=lambda: nn.RNN(6, 8, bias=False),
        args=floats(5, 2, 6),
        params=8 * (6 + 8),
        macs=2 * 5 * 8 * (6 + 8),
        tags=("recurrent",),
    ),
    Case(
        name="lstm_cell_loop",
        shows="A cell called in a Python loop is counted at each step.",
        build=lambda: Model(_stepped, cell=nn.LSTMCell(6, 8, bias=False), head=linear(8, 4)),
        args=floats(5, 2, 6),
        params=4 * 8 * (6 + 8) + 8 * 4,
        macs=5 * 2 * 4 * 8 * (6 + 8) + 2 * 8 * 4,
        modules={"cell": (4 * 8 * (6 + 8), 5 * 2 * 4 * 8 * (6 + 8)), "head": (8 * 4, 2 * 8 * 4)},
        tags=("recurrent", "reused"),
    ),
    Case(
        name="gru_cell",
        shows="One step of a GRU cell, with its biases.",
        build=lambda: Model(lambda m, x: m.cell(x), cell=nn.GRUCell(6, 8)),
        args=floats(2, 6),
        params=3 * 8 * (6 + 8 + 2),
        macs=2 * 3 * 8 * (6 + 8),
        by_convention=(2 * 3 * 8 * (6 + 8 + 2),),
        tags=("recurrent", "bias"),
    ),
    Case(
        name="lstm_packed_lengths",
        shows="Packed sequences of ten and six steps are sixteen steps, not twenty.",
        build=lambda: Model(_packed, lstm=nn.LSTM(6, 8, bias=False, batch_first=True)),
        args=floats(2, 10, 6),
        params=4 * 8 * (6 + 8),
        macs=(10 + 6) * 4 * 8 * (6 + 8),
        needs_real=True,
        may_be_incomplete=True,
        tags=("recurrent", "data dependent"),
    ),
    Case(
        name="gru_bidirectional_two_layers",
        shows="The second layer takes the results of both directions.",
        build=lambda: Model(lambda m, x: m.gru(x)[0], gru=nn.GRU(6, 8, num_layers=2, bidirectional=True, bias=False)),
        args=floats(5, 2, 6),
        params=2 * 3 * 8 * (6 + 8) + 2 * 3 * 8 * (16 + 8),
        macs=5 * 2 * (2 * 3 * 8 * (6 + 8) + 2 * 3 * 8 * (16 + 8)),
        tags=("recurrent",),
    ),
    Case(
        name="rnn_relu_batch_first",
        shows="A plain recurrent layer with relu, batch first.",
        build=lambda: Model(lambda m, x: m.rnn(x)[0], rnn=nn.RNN(6, 8, nonlinearity="relu", batch_first=True, bias=False)),
        args=floats(2, 5, 6),
        params=8 * (6 + 8),
        macs=2 * 5 * 8 * (6 + 8),
        tags=("recurrent",),
    ),
    Case(
        name="rnn_cell_of_two_sizes",
        shows="Two cells on top of each other in a loop over time.",
        build=lambda: Model(_two_cells, first=nn.RNNCell(6, 8, bias=False), second=nn.RNNCell(8, 4, bias=False)),
        args=floats(5, 2, 6),
        params=8 * (6 + 8) + 4 * (8 + 4),
        macs=5 * 2 * (8 * (6 + 8) + 4 * (8 + 4)),
        tags=("recurrent", "reused"),
    ),
)
