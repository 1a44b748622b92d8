"""More than thirty real pairs: the answer has at most 25 lines at 80, 100 and 140 columns, and says what it says on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from align.base_models import measure_torchvision
from align.detector import measure_detectors
from align.test_commit_shapes import SHAPES, measure
from render.synthetic import make_large_report

from archaudit.pipeline import Options, Target, compare_profiles, profile
from archaudit.render import render_profile_screen, render_screen
from archaudit.render.detail import Detail
from archaudit.render.layout import measure_text
from archaudit.schema import Profile, Report

TORCHVISION = [
    ("mobilenet_v2", "mobilenet_v3_small"),
    ("resnet18", "resnet34"),
    ("resnet50", "resnext50_32x4d"),
    ("resnext50_32x4d", "wide_resnet50_2"),
    ("vgg11", "vgg16_bn"),
    ("densenet121", "densenet169"),
    ("efficientnet_b0", "efficientnet_b1"),
    ("efficientnet_b0", "efficientnet_v2_s"),
    ("convnext_tiny", "convnext_small"),
    ("swin_t", "swin_v2_t"),
    ("vit_b_16", "vit_l_16"),
    ("regnet_y_400mf", "regnet_x_400mf"),
    ("shufflenet_v2_x0_5", "shufflenet_v2_x1_0"),
    ("mnasnet0_5", "mnasnet1_0"),
    ("googlenet", "inception_v3"),
    ("alexnet", "squeezenet1_0"),
    ("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"),
    ("fcn_resnet50", "deeplabv3_resnet50"),
]
TIMM = [
    ("resnet50", "resnetrs50"),
    ("vit_tiny_patch16_224", "deit_tiny_patch16_224"),
    ("mixer_s32_224", "gmlp_s16_224"),
    ("ghostnet_100", "mobileone_s0"),
    ("mobilevit_xxs", "mobilevitv2_050"),
]
SMP = [("Unet", "FPN")]
# Two configurations of the size of a 7B model: grouped queries, and one key for each query.
DENSE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
}
WIDTHS = (80, 100, 140)
_MOST_LINES = 25

Match = Callable[[str, str], None]


def check(name: str, before: Profile, after: Profile, match_golden: Match) -> None:
    targets = [Target(name=side.name, key=side.name, saved=side) for side in (before, after)]
    judge(compare_profiles(targets, [before, after], Options()), name, match_golden)


def judge(report: Report, name: str, match_golden: Match) -> None:
    for width in WIDTHS:
        for text in (render_screen(report, Detail(), width), render_profile_screen(report.after, Detail(), width)):
            assert len(text.splitlines()) <= _MOST_LINES, text
            assert max(map(measure_text, text.splitlines())) <= width, text
    match_golden(f"{name}.txt", render_screen(report, Detail(), 80) + "\n" + render_profile_screen(report.after, Detail(), 80))


@pytest.mark.parametrize(("before", "after"), [TORCHVISION[0], *(pytest.param(*pair, marks=pytest.mark.slow) for pair in TORCHVISION[1:])])
def test_torchvision(before: str, after: str, match_golden: Match) -> None:
    check(f"{before}-{after}", measure_torchvision(before), measure_torchvision(after), match_golden)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), TIMM)
def test_timm(before: str, after: str, match_golden: Match) -> None:
    pytest.importorskip("timm")
    sides = [profile(f"timm:{name}", Options(other_counters=False)) for name in (before, after)]
    check(f"timm-{before}-{after}", *sides, match_golden)


@pytest.mark.parametrize("shape", SHAPES)
def test_commits(shape: str, match_golden: Match) -> None:
    commit = SHAPES[shape](2)
    check(shape, measure(commit.before), measure(commit.after), match_golden)


def test_a_detector(match_golden: Match) -> None:
    check("detector", *measure_detectors(), match_golden)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), SMP)
def test_segmentation_models(before: str, after: str, match_golden: Match) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    sides = [profile(f"segmentation_models_pytorch:{name}", Options(other_counters=False)) for name in (before, after)]
    check(f"smp-{before}-{after}", *sides, match_golden)


@pytest.mark.slow
def test_two_configurations_of_seven_billion_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, match_golden: Match) -> None:
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    for name, heads in (("grouped", 8), ("multi", 32)):
        Path(f"{name}.json").write_text(json.dumps(DENSE | {"num_key_value_heads": heads}))
    sides = [profile(f"transformers:{name}.json", Options(other_counters=False)) for name in ("grouped", "multi")]
    check("llama", *sides, match_golden)


def test_three_thousand_modules(match_golden: Match) -> None:
    judge(make_large_report(3_000), "large", match_golden)


def test_there_are_thirty_pairs() -> None:
    # the detector, the configurations and the large model are a pair each; the shapes of commits are four
    assert len(TORCHVISION) + len(TIMM) + len(SMP) + len(SHAPES) + 3 >= 30
