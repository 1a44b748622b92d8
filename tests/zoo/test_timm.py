"""Models of timm of many kinds against torch's own counter and a plain sum of parameters.

pytest -m "zoo or not zoo" tests/zoo/test_timm.py
"""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from archaudit.load import load_recipe, parse_reference
from archaudit.measure.recipe import measure_recipe
from archaudit.schema import Recipe

NAMES = [
    "beit_base_patch16_224",
    "botnet26t_256",
    "caformer_s18",
    "coatnet_0_rw_224",
    "convnextv2_atto",
    "crossvit_tiny_240",
    "densenet121",
    "dm_nfnet_f0",
    "efficientnet_b0",
    "eva02_tiny_patch14_224",
    "fastvit_t8",
    "ghostnetv2_100",
    "gmlp_s16_224",
    "hiera_tiny_224",
    "hrnet_w18_small",
    "lambda_resnet26t",
    "levit_128s",
    "mixer_b16_224",
    "mobilenetv4_conv_small",
    "mobilevit_xxs",
    "nest_tiny",
    "poolformer_s12",
    "pvt_v2_b0",
    "resnet10t",
    "resnetv2_50x1_bit",
    "samvit_base_patch16",
    "swinv2_tiny_window8_256",
    "tnt_s_legacy_patch16_224",
    "vit_tiny_patch16_224",
    "xcit_nano_12_p16_224",
]

# They pass an expanded parameter to a submodule, at which torch's counter fails unless grad is on.
REFUSED_BY_FLOP_COUNTER = ["cait_xxs24_224", "cait_s24_224"]

QUICK = {"resnet10t"}


@pytest.fixture(autouse=True)
def _timm() -> None:
    pytest.importorskip("timm")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.zoo) for name in [*NAMES, *REFUSED_BY_FLOP_COUNTER]]
)
def test_params_and_macs_equal_torchs_own_counts(name: str) -> None:
    recipe = load_recipe(parse_reference(f"timm:{name}"))
    profile = measure_recipe(recipe, other_counters=False)
    params, macs = count_with_torch(recipe, grad=True)
    assert profile.flops_complete
    assert profile.totals.params == params
    assert profile.totals.macs == macs


@pytest.mark.zoo
@pytest.mark.parametrize("name", REFUSED_BY_FLOP_COUNTER)
def test_torchs_counter_still_fails_on_them(name: str) -> None:
    with pytest.raises(AssertionError, match="gradient function"):
        count_with_torch(load_recipe(parse_reference(f"timm:{name}")), grad=False)


def count_with_torch(recipe: Recipe, *, grad: bool) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a recipe built and run on the meta device."""
    with torch.device("meta"):
        model = recipe.build().eval()
        counter = FlopCounterMode(display=False)
        with torch.set_grad_enabled(grad), counter:
            model(*(torch.empty(spec.shape) for spec in recipe.inputs))
    return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops() // 2
