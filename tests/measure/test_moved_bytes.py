"""The bytes that operators read and write, worked out by hand for a table lookup, an expanded tensor and an operator in place."""

import pytest
import torch
from modeling import measure
from torch import nn

FLOAT, INDEX = 4, 8
IDS = torch.zeros(1, 10, dtype=torch.int64)


def count_moved(build, *inputs):
    return measure(build, *inputs).totals.moved_bytes


def test_a_lookup_reads_only_the_rows_that_it_returns():
    written = 10 * 16 * FLOAT
    assert count_moved(lambda: nn.Embedding(1000, 16), IDS) == written + written + 10 * INDEX


def test_a_lookup_in_a_table_smaller_than_its_result_reads_the_table_once():
    table, written = 4 * 16 * FLOAT, 10 * 16 * FLOAT
    assert count_moved(lambda: nn.Embedding(4, 16), IDS) == written + table + 10 * INDEX


class Select(nn.Module):
    """Selects rows of an input with each of torch's lookup operators."""

    def __init__(self, operator):
        super().__init__()
        self.operator = operator

    def forward(self, x):
        ids = torch.zeros(3, dtype=torch.int64, device=x.device)
        if self.operator == "index":
            return x[ids]
        if self.operator == "index_select":
            return x.index_select(0, ids)
        return x.gather(0, ids.view(3, 1))


def test_every_lookup_operator_reads_only_the_selected_rows():
    made = 3 * INDEX  # the ids, written by `zeros` and read by the lookup
    rows = 3 * 8 * FLOAT
    x = torch.zeros(500, 8)
    assert count_moved(lambda: Select("index"), x) == made + rows + rows + made
    assert count_moved(lambda: Select("index_select"), x) == made + rows + rows + made
    assert count_moved(lambda: Select("gather"), x) == made + 2 * (3 * FLOAT) + made


class AddExpanded(nn.Module):
    def forward(self, x, row):
        return x + row.expand(100, 6)


def test_an_expanded_tensor_is_read_as_the_memory_behind_it():
    whole, row = 100 * 6 * FLOAT, 6 * FLOAT
    assert count_moved(AddExpanded, torch.zeros(100, 6), torch.zeros(1, 6)) == whole + row + whole


class AddInPlace(nn.Module):
    def forward(self, x):
        x.add_(1)
        return x.view(-1)


def test_an_operator_in_place_reads_and_writes_its_argument_and_a_view_moves_nothing():
    profile = measure(AddInPlace, torch.zeros(5, 4))
    assert profile.totals.moved_bytes == 2 * (5 * 4 * FLOAT)
    assert profile.totals.activation_bytes == 0


class Run(nn.Module):
    """Runs one function of the input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


X = torch.zeros(4, 6)
WHOLE = 4 * 6 * FLOAT
VIEWS = {
    "view": lambda x: x.view(24),
    "_unsafe_view": lambda x: torch.ops.aten._unsafe_view(x, [24]),
    "reshape without a copy": lambda x: x.reshape(2, 12),
    "flatten": lambda x: x.flatten(),
    "expand": lambda x: x.unsqueeze(0).expand(9, -1, -1),
    "chunk": lambda x: x.chunk(2)[0],
    "unsafe_chunk": lambda x: x.unsafe_chunk(2, 1)[1],
    "unsafe_split": lambda x: x.unsafe_split(2)[1],
    "unbind": lambda x: x.unbind(1)[0],
    "as_strided": lambda x: x.as_strided((3, 3), (1, 2)),
    "detach": lambda x: x.detach(),
    "alias": lambda x: torch.ops.aten.alias(x),
    "contiguous of contiguous": lambda x: x.contiguous(),
    "to its own dtype": lambda x: x.to(torch.float32),
    "transpose": lambda x: x.mT,
    "unfold": lambda x: x.unfold(1, 2, 1),
    "diagonal": lambda x: x.diagonal(),
    "view of another dtype": lambda x: x.view(torch.int32),
    "movedim, narrow and squeeze": lambda x: x[None].movedim(0, 2).narrow(0, 1, 2).squeeze(),
    "dropout in eval mode": lambda x: nn.functional.dropout(x, training=False),
}
COPIES = {
    "clone": lambda x: x.clone(),
    "contiguous of a transpose": lambda x: x.t().contiguous(),
    "reshape of a transpose": lambda x: x.t().reshape(24),
    "flatten of a transpose": lambda x: x.t().flatten(),
    "view_copy": lambda x: torch.ops.aten.view_copy(x, [24]),
    "to a dtype of the same size": lambda x: x.to(torch.int32),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_moves_and_allocates_nothing(name):
    totals = measure(lambda: Run(VIEWS[name]), X).totals
    assert (totals.moved_bytes, totals.activation_bytes) == (0, 0)


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_reads_and_writes_once(name):
    totals = measure(lambda: Run(COPIES[name]), X).totals
    assert (totals.moved_bytes, totals.activation_bytes) == (2 * WHOLE, WHOLE)


def test_memory_without_values_is_not_moved():
    assert count_moved(lambda: Run(torch.empty_like), X) == 0


def test_what_is_overwritten_is_not_read():
    assert count_moved(lambda: Run(lambda x: x.fill_(1)), X) == WHOLE
    assert count_moved(lambda: Run(lambda x: torch.empty_like(x).copy_(x)), X) == 2 * WHOLE
    assert count_moved(lambda: Run(lambda x: torch.add(x, 1, out=torch.empty_like(x))), X) == 2 * WHOLE


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_moves_its_input_weight_and_output_once(bias):
    # the batch is flattened for the product: `_unsafe_view` and `view` around it are views
    sizes = 5 * 6 + 6 * 8 + 5 * 8 + bias * 8
    assert count_moved(lambda: nn.Linear(6, 8, bias=bias), torch.zeros(1, 5, 6)) == sizes * FLOAT
