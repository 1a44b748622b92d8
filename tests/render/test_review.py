"""The review for a pull request: at most 25 lines and 4,000 characters, with what each cause cost, risks and questions."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from align.base_models import measure_torchvision
from align.detector import measure_detectors
from align.test_commit_shapes import SHAPES, measure
from render.synthetic import (
    make_cost,
    make_incomplete_report,
    make_large_report,
    make_module,
    make_profile,
    make_report,
    make_segmentation_report,
)

from archaudit.pipeline import Options, Target, compare_profiles
from archaudit.render import FORMATS
from archaudit.render.view.review import _sum_causes
from archaudit.schema import Cause, CheckpointMap, Profile, Report, ReshapedKey


def write(report: Report) -> str:
    return FORMATS["review"](report)


@pytest.mark.parametrize("make", [make_segmentation_report, make_incomplete_report, lambda: make_large_report(3_000)])
def test_a_review_has_at_most_25_lines_and_4000_characters(make: object) -> None:
    assert callable(make)
    text = write(make())
    assert len(text.splitlines()) <= 25
    assert len(text) <= 4_000


def test_a_section_names_its_largest_causes() -> None:
    report = make_segmentation_report()
    rows = tuple(
        msgspec.structs.replace(row, causes=(Cause(text="outputs 256→128", delta=-200_000), Cause(text="inputs 304→160", delta=-5)))
        if row.after_path == "aspp.branches.0"
        else row
        for row in report.modules
    )
    line = next(line for line in write(msgspec.structs.replace(report, modules=rows)).splitlines() if line.startswith("- ASPP"))
    # one of four branches of 576 x 256 parameters is gone
    assert line == "- ASPP: -368,640 params, -755M FLOPs; -200,000 from outputs 256→128, -147,456 by removing aspp.branches.3"


def test_lost_keys_are_a_risk_and_raise_a_question() -> None:
    checkpoint = CheckpointMap(
        same=("a",),
        reshaped=(ReshapedKey(before="fc.weight", after="fc.weight", before_shape=(2, 2), after_shape=(2, 3)),),
        unused=("gone.weight",),
    )
    text = write(msgspec.structs.replace(make_segmentation_report(), checkpoint=checkpoint))
    assert "Checkpoint keys: 1 of 3 load; 1 with another shape, 1 gone (fc.weight, gone.weight)" in text
    assert "- Is the model trained from scratch? If not: how are old checkpoints converted?" in text


def test_failed_checks_are_risks_and_claims_false_as_expected_are_not() -> None:
    risks = write(make_segmentation_report()).split("**Risks**")[1].split("**Questions**")[0]
    assert "✗" in risks
    assert "as expected" not in risks


def test_parameters_and_flops_in_opposite_directions_raise_a_question() -> None:
    before = make_profile("toy", [make_module("", "Net"), make_module("fc", "Linear", make_cost(100, 10))])
    after = make_profile("toy", [make_module("", "Net"), make_module("fc", "Linear", make_cost(90, 40))])
    assert "Parameters change by -10, FLOPs by +60: is the opposite direction meant?" in write(make_report(before, after))


def test_names_are_escaped() -> None:
    before = make_profile("toy", [make_module("", "Net"), make_module("a|<b>", "Linear", make_cost(100))])
    after = make_profile("toy", [make_module("", "Net")])
    text = write(make_report(before, after))
    assert "<b>" not in text


def test_without_a_change_there_is_nothing_to_ask() -> None:
    profile = make_profile("toy", [make_module("", "Net"), make_module("fc", "Linear", make_cost(100, 10))])
    text = write(make_report(profile, profile))
    assert "- nothing that costs anything" in text
    assert "Risks" not in text
    assert "Questions" not in text


def compare(before: Profile, after: Profile) -> Report:
    targets = [Target(name=side.name, key=side.name, saved=side) for side in (before, after)]
    return compare_profiles(targets, [before, after], Options())


def measure_shape(name: str) -> tuple[Profile, Profile]:
    commit = SHAPES[name](2)
    return measure(commit.before), measure(commit.after)


PAIRS: dict[str, Callable[[], tuple[Profile, Profile]]] = {
    "detector": measure_detectors,
    "resnet50-resnext50": lambda: (measure_torchvision("resnet50"), measure_torchvision("resnext50_32x4d")),
    "shorten_backbone": lambda: measure_shape("shorten_backbone"),
    "swap_neck": lambda: measure_shape("swap_neck"),
    "merge_heads": lambda: measure_shape("merge_heads"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_review_of_a_real_pair_says_what_it_says_on_purpose(name: str, match_golden: Callable[[str, str], None]) -> None:
    text = write(compare(*PAIRS[name]()))
    assert len(text.splitlines()) <= 25
    assert len(text) <= 4_000
    match_golden(f"review-{name}.md", text)


def test_what_causes_cost_adds_up_to_the_section() -> None:
    """The pointwise convolutions of the heads are in the causes of the split, so the new wrappers do not count them again."""
    report = compare(*measure_detectors())
    group = next(group for group in report.groups if group.name == "cls_head")
    causes = _sum_causes(report, group.before_paths, group.after_paths)
    assert causes.total() == group.delta.params
