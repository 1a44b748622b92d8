"""The bytes that operators read and write, worked out by hand for a table lookup, an expanded tensor and an operator in place."""

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
