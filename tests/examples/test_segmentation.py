"""The example's models have exactly the numbers that were worked out by hand from the change's description."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archaudit.examples.segmentation import after, before

PARAMS = {
    before: {
        "": 6_831_509,
        "backbone": 927_008,
        "low_level_project": 864,
        "aspp": 4_606_976,
        "decoder": 1_291_264,
        "decoder.0": 700_416,
        "decoder.3": 589_824,
        "classifier": 5_397,
    },
    after: {
        "": 2_516_853,
        "backbone": 927_008,
        "low_level_project": 576,
        "mid_level_project": 832,
        "aspp": 1_541_376,
        "decoder_stage1": 22_176,
        "decoder_stage2": 22_176,
        "classifier": 2_709,
    },
}
MACS = {before: 26_349_592_576, after: 2_552_217_600}
INITIALISED = {
    before: ["low_level_project", "decoder", "classifier"],
    after: ["low_level_project", "mid_level_project", "decoder_stage1", "decoder_stage2", "classifier"],
}
SIDES = pytest.mark.parametrize("side", [before, after], ids=["before", "after"])


def build_on_meta(side: ModuleType) -> nn.Module:
    with torch.device("meta"):
        model = side.LightweightSegmentationModel().eval()
    assert isinstance(model, nn.Module)
    return model


@SIDES
def test_params_of_every_section_are_those_worked_out_by_hand(side: ModuleType) -> None:
    model = build_on_meta(side)
    counted = {path: sum(parameter.numel() for parameter in model.get_submodule(path).parameters()) for path in PARAMS[side]}
    assert counted == PARAMS[side]
    children = {name for name, _ in model.named_children()}
    assert sum(PARAMS[side][name] for name in children) == PARAMS[side][""]


@SIDES
def test_macs_at_512_are_those_worked_out_by_hand(side: ModuleType) -> None:
    model = build_on_meta(side)
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        scores = model(side.example_inputs())
    assert scores.shape == (1, 21, 512, 512)
    assert counter.get_total_flops() == 2 * MACS[side]


@SIDES
@pytest.mark.parametrize("size", [(64, 64), (72, 104)])
def test_scores_have_the_size_of_the_image(side: ModuleType, size: tuple[int, int]) -> None:
    model = side.LightweightSegmentationModel(num_classes=5).eval()
    with torch.no_grad():
        scores = model(torch.zeros(2, 3, *size))
    assert scores.shape == (2, 5, *size)
    assert bool(scores.isfinite().all())


@SIDES
def test_a_training_step_reaches_every_parameter(side: ModuleType) -> None:
    model = side.LightweightSegmentationModel(num_classes=3)
    model(torch.zeros(2, 3, 64, 64)).sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(("size", "low", "mid", "encoded"), [(64, 16, 8, 4), (128, 32, 16, 8)])
def test_backbone_is_tapped_at_strides_4_8_and_16(size: int, low: int, mid: int, encoded: int) -> None:
    model = build_on_meta(after)
    features = model.get_submodule("backbone")(torch.zeros(1, 3, size, size, device="meta"))
    assert [tuple(level.shape) for level in features] == [(1, 16, low, low), (1, 24, mid, mid), (1, 576, encoded, encoded)]


@SIDES
def test_initialisation_covers_exactly_the_decoder_modules(side: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    initialised: list[nn.Module] = []
    monkeypatch.setattr(side, "initialise_weights", initialised.extend)
    model = build_on_meta(side)
    names = {id(module): name for name, module in model.named_children()}
    assert [names[id(module)] for module in initialised] == INITIALISED[side]


@SIDES
def test_initialised_layers_are_he_normal_with_identity_norms_and_zero_biases(side: ModuleType) -> None:
    torch.manual_seed(0)
    model = side.LightweightSegmentationModel()
    for name in INITIALISED[side]:
        for layer in model.get_submodule(name).modules():
            if isinstance(layer, nn.Conv2d):
                fan_out = layer.out_channels * layer.kernel_size[0] ** 2
                assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.15)
                assert layer.bias is None or bool((layer.bias == 0).all())
            elif isinstance(layer, nn.BatchNorm2d):
                assert bool((layer.weight == 1).all())
                assert bool((layer.bias == 0).all())


@SIDES
def test_dropouts_are_those_of_the_change(side: ModuleType) -> None:
    model = build_on_meta(side)
    dropouts = {path: module.p for path, module in model.named_modules() if isinstance(module, nn.Dropout)}
    assert dropouts == {"aspp.project.3": 0.3 if side is before else 0.1, "classifier.0": 0.5}


def test_count_parameters_tells_trainable_ones_apart() -> None:
    model = build_on_meta(after)
    assert after.count_parameters(model) == (2_516_853, 2_516_853)
    model.get_submodule("backbone").requires_grad_(False)
    assert after.count_parameters(model) == (2_516_853, 2_516_853 - 927_008)


def test_example_inputs_draw_no_random_numbers() -> None:
    state = torch.get_rng_state()
    inputs = before.example_inputs()
    assert inputs.shape == (1, 3, 512, 512)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("name", "total"), [("before", "6,831,509"), ("after", "2,516,853")])
def test_run_as_a_program_it_prints_its_total(name: str, total: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"archaudit.examples.segmentation.{name}"], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == f"Total parameters: {total}\n"


def test_the_packages_around_the_models_do_not_import_torch() -> None:
    program = "import sys, archaudit.examples.segmentation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
