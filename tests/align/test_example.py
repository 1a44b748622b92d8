"""The built-in example without its config: the comparison finds, section by section, what its notes say."""

from __future__ import annotations

import functools

import pytest

from archaudit.align import align
from archaudit.diff import diff
from archaudit.schema import Diff, InputSpec, ModuleDiff, Profile, Repeat


@functools.cache
def measure(side: str) -> Profile:
    from archaudit.load import load_recipe, parse_reference
    from archaudit.measure.recipe import measure_recipe

    reference = parse_reference(f"archaudit.examples.segmentation.{side}:LightweightSegmentationModel")
    return measure_recipe(load_recipe(reference, (InputSpec(shape=(1, 3, 512, 512)),), side), other_counters=False)


@pytest.fixture(scope="module")
def result() -> Diff:
    before, after = measure("before"), measure("after")
    return diff(before, after, align(before, after))


@pytest.fixture(scope="module")
def rows(result: Diff) -> dict[str | None, ModuleDiff]:
    """By the path before; added modules by the path after."""
    return {row.after_path if row.before_path is None else row.before_path: row for row in result.modules}


def test_each_decoder_convolution_is_split_into_a_separable_one(rows: dict[str | None, ModuleDiff]) -> None:
    for whole, stage in (("decoder.0", "decoder_stage1"), ("decoder.3", "decoder_stage2")):
        first, second = rows[whole], rows[f"{stage}.pointwise"]
        assert first.after_path == f"{stage}.depthwise"
        assert {"split", "resized"} <= set(first.changes)
        assert second.changes == ("added", "split")
        assert first.change_id == second.change_id is not None
        assert f"{whole} split into {stage}.depthwise + {stage}.pointwise" in first.reason


def test_the_causes_of_the_first_convolutions_change(rows: dict[str | None, ModuleDiff]) -> None:
    # 304 x 256 x 9 = 700,416 weights became 160 x 9 + 160 x 128 = 21,920.
    causes = rows["decoder.0"].causes
    assert [cause.text for cause in causes] == ["3x3 dense → depthwise 3x3 + pointwise 1x1", "inputs 304→160", "outputs 256→128"]
    assert sum(cause.delta for cause in causes) == 21_920 - 700_416


def test_norms_and_activations_follow_their_convolutions(rows: dict[str | None, ModuleDiff]) -> None:
    followed = {before: rows[before].after_path for before in ("decoder.1", "decoder.2", "decoder.4", "decoder.5")}
    assert followed == {
        "decoder.1": "decoder_stage1.bn",
        "decoder.2": "decoder_stage1.relu",
        "decoder.4": "decoder_stage2.bn",
        "decoder.5": "decoder_stage2.relu",
    }


def test_the_decoder_itself_is_split_into_two_stages(rows: dict[str | None, ModuleDiff]) -> None:
    assert (rows["decoder"].after_path, rows["decoder"].changes) == ("decoder_stage1", ("replaced", "renamed", "split", "rewired"))
    assert rows["decoder_stage2"].changes == ("added", "split")
    assert rows["decoder"].change_id == rows["decoder_stage2"].change_id


def test_aspp_lost_a_branch_and_half_its_channels(rows: dict[str | None, ModuleDiff]) -> None:
    assert rows["aspp.branches"].changes == ("repeated",)
    assert rows["aspp.branches"].reason == "same path; Sequential ×4 → ×3"
    assert rows["aspp.branches"].repeats == (Repeat(block="Sequential", before=4, after=3),)
    assert {path for path in rows if path and path.startswith("aspp.branches.3")} == {
        f"aspp.branches.3{part}" for part in ("", ".0", ".1", ".2")
    }
    assert all(rows[f"aspp.branches.3{part}"].changes == ("removed",) for part in ("", ".0", ".1", ".2"))
    assert rows["aspp.branches.1.0"].settings_changed == {"out_channels": (256, 128)}
    dropout = rows["aspp.project.3"]
    assert (dropout.changes, dropout.settings_changed) == (("settings",), {"p": (0.3, 0.1)})


def test_projections_and_classifier(rows: dict[str | None, ModuleDiff]) -> None:
    assert rows["low_level_project.0"].settings_changed == {"out_channels": (48, 32)}
    assert "resized" in rows["low_level_project.0"].changes
    assert all(rows[f"mid_level_project{part}"].changes == ("added",) for part in ("", ".0", ".1", ".2"))
    assert "resized" in rows["classifier.1"].changes


def test_the_backbone_and_all_other_containers_are_the_same(rows: dict[str | None, ModuleDiff]) -> None:
    assert all(row.changes == ("same",) for path, row in rows.items() if path and path.startswith("backbone"))
    assert all(rows[path].changes == ("same",) for path in ("aspp", "low_level_project", "classifier"))
    assert rows[""].changes == ("forward",)  # one more resize and cat, for the second stage


def test_automatic_groups_are_the_sections_of_the_notes(result: Diff) -> None:
    assert [(group.name, group.before.params, group.after.params) for group in result.groups] == [
        ("backbone", 927_008, 927_008),
        ("low_level_project", 864, 576),
        ("mid_level_project (new)", 0, 832),
        ("aspp", 4_606_976, 1_541_376),
        ("decoder.0-2 → decoder_stage1", 700_928, 22_176),
        ("decoder.3-5 → decoder_stage2", 590_336, 22_176),
        ("classifier", 5_397, 2_709),
        ("everything else", 0, 0),
    ]


def test_the_group_deltas_sum_to_the_difference_of_the_totals(result: Diff) -> None:
    assert 6_831_509 + sum(group.delta.params for group in result.groups) == 2_516_853
