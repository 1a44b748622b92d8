"""Operators that run while dispatch modes are switched off are not counted, and the FLOPs are incomplete."""

import pytest
import torch
from modeling import measure
from torch import nn
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes


class Net(nn.Module):
    """The layer `seen` costs 4 x 4 MACs, the layer `hidden` 4 x 400."""

    def __init__(self):
        super().__init__()
        self.seen, self.hidden = nn.Linear(4, 4), nn.Linear(4, 400)

    def forward(self, x):
        self.hide(x)
        return self.seen(x)


class DisablesModes(Net):
    def hide(self, x):
        with _disable_current_modes():
            self.hidden(x)


class WithoutDispatch(Net):
    def hide(self, x):
        with no_dispatch():
            x @ self.hidden.weight.T


class ExcludesTheKey(Net):
    def hide(self, x):
        with torch._C._DisableTorchDispatch():
            nn.functional.linear(x, self.hidden.weight)


class DisablesFunctionsToo(Net):
    def hide(self, x):
        with torch._C.DisableTorchFunction(), _disable_current_modes():
            self.hidden(x)


@pytest.mark.parametrize("kind", [DisablesModes, WithoutDispatch, ExcludesTheKey, DisablesFunctionsToo])
def test_hidden_operators_make_the_flops_incomplete(kind):
    profile = measure(kind, torch.zeros(1, 4))
    assert profile.totals.macs == 4 * 4
    assert not profile.flops_complete
    assert profile.ledger.unknown >= 1
    assert any(record.name == "what ran without dispatch modes" for record in profile.ledger.operators)


class OwnMode(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class UsesItsOwnMode(Net):
    def hide(self, x):
        with OwnMode():
            self.hidden(x)


class UsesInferenceMode(Net):
    def hide(self, x):
        with torch.inference_mode():
            self.hidden(x)


@pytest.mark.parametrize("kind", [UsesItsOwnMode, UsesInferenceMode])
def test_other_modes_hide_nothing(kind):
    profile = measure(kind, torch.zeros(1, 4))
    assert profile.totals.macs == 4 * 4 + 4 * 400
    assert profile.flops_complete
