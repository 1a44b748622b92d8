"""Weights and memory that cannot be counted are lower bounds, and never pass a limit."""

import pytest
import torch
from torch import nn

import archaudit
from archaudit.schema import decode_profile, encode_baseline, strip_provenance

pytestmark = pytest.mark.filterwarnings("ignore")


def make_quantized():
    """Two linear layers of 64 x 128, quantized: torch packs their weights into objects; and one of 64 x 8 as it was."""
    net = nn.Sequential(nn.Linear(64, 128), nn.Linear(128, 64, bias=False))
    return nn.Sequential(torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8), nn.Linear(64, 8))


class Hidden(nn.Module):
    """A layer in a plain list: forward uses its 72 parameters, and parameters() does not have them."""

    def __init__(self):
        super().__init__()
        self.known = nn.Linear(8, 8)
        self.layers = [nn.Linear(8, 8)]

    def forward(self, x):
        return self.layers[0](self.known(x))


@pytest.mark.parametrize(
    ("make", "args", "params", "complete_parts"),
    [
        (make_quantized, (torch.zeros(2, 64),), 64 * 8 + 8, {"1"}),
        (Hidden, (torch.zeros(2, 8),), 72, {"known"}),
    ],
)
def test_weights_that_cannot_be_counted_make_params_a_lower_bound(make, args, params, complete_parts):
    profile = archaudit.profile(make(), args)
    assert (profile.totals.params, profile.params_complete) == (params, False)
    assert {module.path for module in profile.modules if module.params_complete} >= complete_parts
    assert not profile.modules[0].params_complete
    judged = profile.check(params="<1G", param_bytes="<1G")
    assert [check.outcome for check in judged.checks] == ["inconclusive", "inconclusive"]
    assert "≥" in profile.to_markdown()


def test_every_weight_counted_is_complete():
    profile = archaudit.profile(nn.Linear(8, 8), (torch.zeros(2, 8),))
    assert (profile.params_complete, profile.memory_complete) == (True, True)


@torch.library.custom_op("archaudit_tests::hides", mutates_args=())
def hides(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@hides.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


class Custom(nn.Module):
    def forward(self, x):
        return hides(x)


def test_a_custom_operator_hides_what_it_allocates():
    profile = archaudit.profile(nn.Sequential(Custom(), nn.Linear(8, 8)), (torch.zeros(2, 8),))
    assert (profile.memory_complete, profile.params_complete) == (False, True)
    assert [module.memory_complete for module in profile.modules] == [False, False, True]
    assert profile.check(peak_activation_bytes="<1G").outcome == "inconclusive"


def test_completeness_is_saved_in_a_baseline():
    profile = strip_provenance(archaudit.profile(Hidden(), (torch.zeros(2, 8),)))
    assert decode_profile(encode_baseline(profile), "x").modules == profile.modules
