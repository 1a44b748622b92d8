"""Models that name a device which this machine does not have: the counts do not depend on it."""

import pytest
import torch
from modeling import measure
from torch import nn

from archaudit.errors import MeasureError

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")

IGNORED = "the model names a device that this machine does not have; the device was ignored, because it changes no count"


class NamesDevice(nn.Module):
    """Moves weights, buffers and inputs to a device in every way that torch has."""

    def __init__(self, how, arithmetic=False):
        super().__init__()
        self.how = how
        width = 4 + (int(torch.rand((), device="cuda").item()) if arithmetic else 0)
        self.linear = nn.Linear(4, width).cuda()
        self.other = nn.Linear(4, width, device="cuda:0").to(torch.device("cuda", 0))
        self.other.weight = self.linear.weight
        self.register_buffer("steps", torch.arange(4, device="cuda").float())

    def forward(self, x):
        x = HOW[self.how](x)
        return self.linear(x) + self.other(x) + self.steps.to("cuda", torch.float32, non_blocking=True)


HOW = {
    "cuda()": lambda x: x.cuda(),
    "cuda(0)": lambda x: x.cuda(0, non_blocking=True),
    "to": lambda x: x.to("cuda"),
    "to with a dtype": lambda x: x.to(torch.device("cuda"), torch.float64).to("cpu").to(torch.float32),
    "to by keyword": lambda x: x.to(device="cuda:1", dtype=torch.float32),
    "to like another": lambda x: x.to(torch.ones(1, device="cuda")),
    "pinned": lambda x: x.pin_memory().to(0),
    "mps": lambda x: x.to("mps"),
    "new": lambda x: x + x.new_zeros(1, device="cuda") + torch.full((1,), 2.0, device=torch.device("cuda")),
    "a value": lambda x: x.cuda() if x.sum() >= 0 else -x.cuda(),
}


@pytest.mark.parametrize("how", HOW)
def test_the_device_of_tensors_changes_no_count(how):
    profile = measure(lambda: NamesDevice(how), torch.zeros(2, 4))
    assert (profile.totals.params, profile.totals.buffers, profile.totals.macs) == (16 + 4 + 4, 4, 2 * 2 * 16)
    assert profile.ties == (("linear.weight", "other.weight"),)
    assert IGNORED in profile.ledger.assumptions


def test_a_constructor_that_needs_values_has_them():
    profile = measure(lambda: NamesDevice("cuda()", arithmetic=True), torch.zeros(2, 4), other_counters=True)
    assert (profile.provenance.rung, profile.totals.macs) == ("deferred", 64)
    assert profile.other_counters["fvcore"].totals.macs == 64


def test_a_model_without_a_named_device_has_no_assumption():
    assert IGNORED not in measure(lambda: nn.Linear(4, 4), torch.zeros(1, 4)).ledger.assumptions


class Waits(nn.Module):
    def forward(self, x):
        torch.cuda.synchronize()
        return x


def test_a_call_that_needs_the_device_is_an_error_message():
    with pytest.raises(MeasureError, match="forward raised") as caught:
        measure(Waits, torch.zeros(1))
    assert "torch.cuda.synchronize()" in caught.value.hint
    assert "This machine does not have the device" in caught.value.hint


def test_an_error_of_the_model_is_shown_in_place_of_the_missing_device():
    class Wrong(nn.Module):
        def forward(self, x):
            return x.cuda() @ torch.zeros(3, 3)

    with pytest.raises(MeasureError, match="forward raised RuntimeError") as caught:
        measure(Wrong, torch.zeros(2, 4))
    assert "NVIDIA" not in str(caught.value)
