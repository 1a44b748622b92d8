"""The tensors inside the arguments and results of modules."""

from __future__ import annotations

import torch
from torch import nn

from archaudit.measure.tensors import iterate_tensors_in, list_tensors_in


def test_tensors_are_listed_in_order_once_for_each_occurrence() -> None:
    first, second, third = torch.zeros(1), torch.zeros(2), nn.Parameter(torch.zeros(3))
    nested = ({"a": [first, None, 3, "text"]}, (second, first))
    assert [tensor.numel() for tensor in list_tensors_in(nested, {"mask": third})] == [1, 2, 1, 3]
    assert [tensor.numel() for tensor in iterate_tensors_in(nested)] == [1, 2, 1]
