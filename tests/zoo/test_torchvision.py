"""Every model of torchvision with published weights against the library's own figures for it; nothing is downloaded.

The default run measures a few of each kind; all of them: `pytest -m "zoo or not zoo" tests/zoo/test_torchvision.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torchvision.models import WeightsEnum
from zoo.published import DIGITS, Published, list_published

from archaudit.load import load_recipe, parse_reference
from archaudit.measure.building import build_fake
from archaudit.measure.recipe import measure_recipe
from archaudit.schema import InputSpec

PUBLISHED = list_published()

QUICK = {
    "alexnet-IMAGENET1K_V1",
    "inception_v3-IMAGENET1K_V1",
    "lraspp_mobilenet_v3_large-COCO_WITH_VOC_LABELS_V1",
    "mobilenet_v3_small-IMAGENET1K_V1",
    "quantized_inception_v3-IMAGENET1K_FBGEMM_V1",
    "r3d_18-KINETICS400_V1",
    "raft_small-C_T_V2",
    "regnet_y_400mf-IMAGENET1K_V1",
    "retinanet_resnet50_fpn-COCO_V1",
    "swin_v2_t-IMAGENET1K_V1",
    "vit_b_16-IMAGENET1K_SWAG_E2E_V1",
}


@dataclass(frozen=True)
class Discrepancy:
    """What archaudit measures where torchvision publishes something else, and why. None: as published."""

    reason: str
    params: int | None = None
    gmacs: float | None = None


DISCREPANCIES = {
    "quantized_inception_v3-IMAGENET1K_FBGEMM_V1": Discrepancy(
        "The builder takes the auxiliary classifier away once the weights are loaded; the published count still has its 3,326,696"
        " parameters. (That of quantized_googlenet, built the same way, is without them.)",
        params=23_834_568,
    ),
}

# Detectors of one stage run the same operators whatever the values are; in those of two stages the boxes that the first one proposes are
# the second one's batch, and trained weights propose others than random ones.
ONE_STAGE = ("fcos", "retinanet", "ssd300", "ssdlite320")


def params_of(found: list[Published]) -> list[object]:
    return [pytest.param(one, id=one.id, marks=() if one.id in QUICK else pytest.mark.zoo) for one in found]


@pytest.mark.parametrize("published", params_of([one for one in PUBLISHED if one.family != "detection"]))
def test_params_and_macs_are_as_published(published: Published) -> None:
    profile = measure_recipe(published.recipe(), other_counters=False)
    gmacs = round(profile.totals.macs / 1e9, DIGITS)
    known = DISCREPANCIES.get(published.id, Discrepancy(""))
    assert profile.flops_complete
    assert profile.provenance is not None
    assert profile.provenance.rung in ("meta", "deferred")
    assert profile.totals.params == (published.params if known.params is None else known.params)
    assert gmacs == (published.gmacs if known.gmacs is None else known.gmacs)


@pytest.mark.parametrize("published", params_of([one for one in PUBLISHED if one.family == "detection"]))
def test_the_parameters_of_detection_models_are_as_published(published: Published) -> None:
    model, _ = build_fake(published.recipe())
    assert sum(parameter.numel() for parameter in model.parameters()) == published.params


@pytest.mark.zoo
@pytest.mark.parametrize("published", [pytest.param(one, id=one.id) for one in PUBLISHED if one.model.startswith(ONE_STAGE)])
def test_one_stage_detectors_are_run_for_real_and_have_the_published_macs(published: Published) -> None:
    profile = measure_recipe(published.recipe(), other_counters=False)
    assert profile.provenance is not None
    assert profile.provenance.rung == "real"
    assert any("run for real" in text for text in profile.ledger.assumptions)
    assert profile.totals.params == published.params
    assert round(profile.totals.macs / 1e9, DIGITS) == published.gmacs


@pytest.mark.zoo
def test_macs_of_a_two_stage_detector_hold_for_this_input_and_these_weights() -> None:
    published = next(one for one in PUBLISHED if one.model == "fasterrcnn_mobilenet_v3_large_320_fpn")
    profile = measure_recipe(published.recipe(), other_counters=False)
    assert profile.totals.params == published.params
    assert profile.flops_complete
    assert profile.totals.macs / 1e9 > published.gmacs  # random weights propose more boxes than trained ones find in noise
    assert any("these random weights" in text for text in profile.ledger.assumptions)


def test_every_listed_discrepancy_is_one() -> None:
    by_id = {one.id: one for one in PUBLISHED}
    for name, known in DISCREPANCIES.items():
        assert known.reason
        assert (known.params, known.gmacs) != (None, None)
        assert known.params != by_id[name].params
        assert known.gmacs != by_id[name].gmacs


def test_the_list_has_every_model_once_and_the_quick_ones() -> None:
    names = {one.id for one in PUBLISHED}
    assert names >= QUICK
    assert len(names) == len(PUBLISHED) >= 166


@pytest.mark.parametrize(
    ("reference", "entry"),
    [
        ("torchvision:mobilenet_v2", "IMAGENET1K_V2"),
        ("torchvision:squeezenet1_1", "IMAGENET1K_V1"),
        pytest.param("torchvision:convnext_tiny", "IMAGENET1K_V1", marks=pytest.mark.zoo),
        pytest.param("torchvision:raft_large", "C_T_V1", marks=pytest.mark.zoo),
        pytest.param("torchvision:resnet50", "IMAGENET1K_V2", marks=pytest.mark.zoo),
        pytest.param("torchvision:s3d", "KINETICS400_V1", marks=pytest.mark.zoo),
        pytest.param("torchvision:fcn_resnet50(aux_loss=True)", "COCO_WITH_VOC_LABELS_V1", marks=pytest.mark.zoo),
    ],
)
def test_a_model_by_name_has_the_published_figures(reference: str, entry: str) -> None:
    name = reference.removeprefix("torchvision:").partition("(")[0]
    published = next(one for one in PUBLISHED if one.model == name and one.entry.name == entry)
    profile = measure_recipe(load_recipe(parse_reference(reference)), other_counters=False)
    assert profile.totals.params == published.params
    assert round(profile.totals.macs / 1e9, DIGITS) == published.gmacs


def test_a_large_transformer_on_large_images_is_counted_exactly() -> None:
    recipe = load_recipe(parse_reference("torchvision:vit_h_14(image_size=518)"), (InputSpec(shape=(1, 3, 518, 518)),))
    profile = measure_recipe(recipe, other_counters=False)
    assert profile.totals.params == 633_470_440
    assert round(profile.totals.macs / 1e9, DIGITS) == 1016.717


def test_patches_for_building_without_weights_are_removed() -> None:
    before = WeightsEnum.get_state_dict, torch.nn.Module.load_state_dict
    next(one for one in PUBLISHED if one.model == "squeezenet1_1").recipe().build()
    assert (WeightsEnum.get_state_dict, torch.nn.Module.load_state_dict) == before
