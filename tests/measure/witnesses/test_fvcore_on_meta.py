"""The mode that makes a trace on meta possible: guarded, and harmless outside a trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archaudit.measure.tape.shape_cache import ShapeCache
from archaudit.measure.witnesses import run_witnesses
from archaudit.measure.witnesses.fvcore_witness import SuspendTracing
from archaudit.measure.witnesses.isolation import WitnessSkippedError


def test_a_torch_without_the_private_functions_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch._C, "_set_tracing_state")
    with pytest.raises(WitnessSkippedError, match=r"cannot trace on the meta device: no torch\._C\._set_tracing_state"):
        SuspendTracing(ShapeCache())
    with torch.device("meta"):
        model, tensor = nn.Linear(2, 2).eval(), torch.empty(1, 2)
    answers = run_witnesses(model, (tensor,), {}, {id(model): ""})
    assert (answers["fvcore"].reason or "").endswith("no torch._C._set_tracing_state")
    assert answers["torchinfo"].reason is None
    assert run_witnesses(nn.Linear(2, 2).eval(), (torch.ones(1, 2),), {}, {})["fvcore"].totals.macs == 4


def test_outside_a_trace_it_changes_nothing() -> None:
    with torch.device("meta"):
        model, image = nn.Conv2d(3, 4, 3, stride=2).eval(), torch.empty(1, 3, 9, 9)
    with torch.no_grad(), SuspendTracing(ShapeCache()):
        assert model(image).shape == (1, 4, 4, 4)
    assert torch._C._get_tracing_state() is None
