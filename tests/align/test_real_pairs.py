"""Pairs of torchvision models that people compare. The expectations were written from the architectures, before any output existed."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from align.base_models import measure_torchvision
from torch import nn
from torch.nn.utils import parametrizations

from archaudit.align import align
from archaudit.diff import diff
from archaudit.measure.recipe import measure_live
from archaudit.schema import ModuleDiff, Profile


def compare(before: str, after: str) -> list[ModuleDiff]:
    sides = measure_torchvision(before), measure_torchvision(after)
    return list(diff(*sides, align(*sides)).modules)


def pair_up(rows: Iterable[ModuleDiff]) -> dict[str | None, str | None]:
    return {row.before_path: row.after_path for row in rows if row.before_path is not None}


def list_kinds(rows: Iterable[ModuleDiff]) -> set[str]:
    return {kind for row in rows for kind in row.changes}


def find(rows: Iterable[ModuleDiff], before: str) -> ModuleDiff:
    return next(row for row in rows if row.before_path == before)


def list_added(rows: Iterable[ModuleDiff]) -> set[str | None]:
    return {row.after_path for row in rows if row.before_path is None}


def test_mobilenet_v2_to_v3_small() -> None:
    rows = compare("mobilenet_v2", "mobilenet_v3_small")
    pairs = pair_up(rows)
    expected = {
        # the stem stays, with another activation
        "features.0": "features.0",
        "features.0.0": "features.0.0",
        "features.0.2": "features.0.2",
        # a block without expansion stays one; its projection is in its own container now
        "features.1": "features.1",
        "features.1.conv": "features.1.block",
        "features.1.conv.0.0": "features.1.block.0.0",
        "features.1.conv.1": "features.1.block.2.0",
        "features.1.conv.2": "features.1.block.2.1",
        # expansion, depthwise, projection
        "features.2.conv.0.0": "features.2.block.0.0",
        "features.2.conv.1.0": "features.2.block.1.0",
        "features.2.conv.2": "features.2.block.2.0",
        # the last convolution stays the last one
        "features.18": "features.12",
        "features.18.0": "features.12.0",
        # the classifier got a layer before its dropout
        "classifier.0": "classifier.2",
        "classifier.1": "classifier.3",
    }
    assert {before: pairs[before] for before in expected} == expected
    assert {"classifier.0", "classifier.1", "features.1.block.1.fc1", "features.4.block.2.fc2"} <= list_added(rows)
    assert "InvertedResidual ×17 → ×11" in find(rows, "features").reason
    assert "replaced" in find(rows, "features.0.2").changes
    assert "wrapped" in find(rows, "features.1.conv.1").changes
    blocks = [row for row in rows if row.before_path and row.before_path.count(".") == 1 and row.before_path.startswith("features.")]
    assert sum(row.after_path is None for row in blocks) == 6


@pytest.mark.zoo
@pytest.mark.parametrize(("before", "after"), [("resnet50", "resnext50_32x4d"), ("resnext50_32x4d", "wide_resnet50_2")])
def test_residual_networks_keep_every_path(before: str, after: str) -> None:
    rows = compare(before, after)
    assert all(row.before_path == row.after_path for row in rows)
    assert list_kinds(rows) == {"same", "settings", "resized"}
    assert all("resized" in find(rows, f"layer{stage}.0.conv2").changes for stage in range(1, 5))
    assert find(rows, "layer1.0.conv2").settings_changed["groups"] == ((1, 32) if before == "resnet50" else (32, 1))
    unchanged = ("conv1", "bn1", "fc", "layer1.0.downsample.0", "layer4.0.downsample.1")
    assert all(find(rows, path).changes == ("same",) for path in unchanged)


@pytest.mark.zoo
def test_vit_b_16_to_vit_l_16_has_twelve_more_blocks() -> None:
    rows = compare("vit_b_16", "vit_l_16")
    pairs = pair_up(rows)
    assert all(before == after for before, after in pairs.items())
    assert {f"encoder.layers.encoder_layer_{number}" for number in range(12, 24)} == {
        path for path in list_added(rows) if path and path.count(".") == 2
    }
    assert find(rows, "encoder.layers").changes == ("repeated",)
    assert find(rows, "encoder.layers").reason == "same path; EncoderBlock ×12 → ×24"
    assert "resized" in find(rows, "conv_proj").changes
    assert "resized" in find(rows, "encoder.layers.encoder_layer_11.mlp.0").changes
    assert list_kinds(rows) <= {"same", "settings", "resized", "repeated", "added"}


@pytest.mark.zoo
def test_convnext_tiny_to_small_has_eighteen_more_blocks_in_the_third_stage() -> None:
    rows = compare("convnext_tiny", "convnext_small")
    assert all(before == after for before, after in pair_up(rows).items())
    assert {path for path in list_added(rows) if path and path.count(".") == 2} == {f"features.5.{number}" for number in range(9, 27)}
    assert "CNBlock ×9 → ×27" in find(rows, "features.5").reason
    assert list_kinds(rows) == {"same", "settings", "repeated", "added"}
    changed = [row for row in rows if "settings" in row.changes]
    assert all(row.settings_changed.keys() == {"p"} for row in changed)  # the rate of stochastic depth alone


@pytest.mark.zoo
def test_deeplabv3_to_lraspp_on_the_same_backbone() -> None:
    rows = compare("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
    backbone = [row for row in rows if row.before_path and row.before_path.startswith("backbone")]
    assert len(backbone) > 200
    assert all(row.before_path == row.after_path for row in backbone)
    # the backbone returns low-level features as well; nothing inside it changed
    assert [row.before_path for row in backbone if row.changes != ("same",)] == ["backbone"]
    # another head, which takes low-level features as a second input: the model passes them to it
    assert find(rows, "classifier").changes == ("replaced", "forward")
    assert "classifier: also input from backbone[1]" in [change.text for change in find(rows, "").forward_changes]
    pairs = pair_up(rows)
    # the 1x1 branch, the pooled branch and the last layer have counterparts; the dilated branches and the projection have none
    assert pairs["classifier.0.convs.0.0"] == "classifier.cbr.0"
    assert pairs["classifier.0.convs.4.1"] == "classifier.scale.1"
    assert pairs["classifier.4"] == "classifier.high_classifier"
    gone = ("classifier.0.convs.1.0", "classifier.0.convs.2.0", "classifier.0.convs.3.0", "classifier.0.project.0", "classifier.1")
    assert all(pairs[path] is None for path in gone)
    assert "classifier.low_classifier" in list_added(rows)


@pytest.mark.zoo
def test_swin_t_to_swin_v2_t() -> None:
    rows = compare("swin_t", "swin_v2_t")
    assert all(before == after for before, after in pair_up(rows).items())
    for stage, blocks in ((1, 2), (3, 2), (5, 6), (7, 2)):
        for block in range(blocks):
            path = f"features.{stage}.{block}"
            assert "replaced" in find(rows, path).changes
            assert "replaced" in find(rows, f"{path}.attn").changes
            assert {f"{path}.attn.cpb_mlp", f"{path}.attn.cpb_mlp.0", f"{path}.attn.cpb_mlp.2"} <= list_added(rows)
            # post-norm instead of pre-norm, so attention takes what its norm took as input
            assert "reordered" in find(rows, f"{path}.norm1").changes
            assert "rewired" in find(rows, f"{path}.attn").changes
            assert find(rows, f"{path}.mlp.0").before_path == f"{path}.mlp.0"
    assert all("replaced" in find(rows, f"features.{stage}").changes for stage in (2, 4, 6))
    assert {path for path in list_added(rows) if path and "cpb_mlp" not in path} == set()
    assert find(rows, "head").changes == ("same",)


def test_a_layer_without_its_weight_norm_is_the_same_layer() -> None:
    """A vocoder removes weight norm before inference: every convolution stays where it is, in lists too."""

    def build(normed: bool) -> nn.Module:
        layers = nn.ModuleDict(
            {"pre": nn.Conv1d(1, 8, 7), "ups": nn.ModuleList(nn.Conv1d(8, 8, 5) for _ in range(3)), "post": nn.Conv1d(8, 1, 7)}
        )
        if normed:
            for layer in [module for module in layers.modules() if isinstance(module, nn.Conv1d)]:
                parametrizations.weight_norm(layer)
        return layers

    def measure(normed: bool) -> Profile:
        net = build(normed)

        class Vocoder(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = net

            def forward(self, sound: torch.Tensor) -> torch.Tensor:
                sound = net["pre"](sound)
                for up in net["ups"]:
                    sound = up(sound)
                return net["post"](sound)

        return measure_live(Vocoder(), (torch.zeros(1, 1, 64),))

    for sides in ((True, False), (False, True)):
        matches = {match.before_path: match for match in align(*map(measure, sides)) if match.before_path is not None}
        for path in ("layers.pre", "layers.ups.0", "layers.ups.1", "layers.ups.2", "layers.post"):
            assert matches[path].after_path == path
            assert matches[path].confidence >= 0.95
