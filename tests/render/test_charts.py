"""Waterfalls and icicles: what they show adds up."""

from __future__ import annotations

import msgspec
import pytest
from render.synthetic import make_cost, make_incomplete_report, make_module, make_profile, make_report, make_segmentation_report

from archaudit.render.view.charts import view_icicles, view_profile_icicles, view_waterfalls
from archaudit.render.view.drawing_records import Waterfall
from archaudit.schema import Group


def test_a_waterfall_leads_from_before_to_after() -> None:
    report = make_segmentation_report()
    params, flops = view_waterfalls(report)
    assert [step.label for step in params.steps] == ["before", "ASPP", "Decoder stage 1", "Classifier", "after"]
    assert (params.steps[0].width, params.steps[-1].start) == (100.0, 0.0)
    for one, other in zip(params.steps[:-2], params.steps[1:-1], strict=True):
        assert one.end == other.start
    assert params.steps[-2].end == params.steps[-1].end == params.steps[-1].width
    assert {step.kind for step in params.steps} == {"whole", "fewer"}
    assert flops.label == "FLOPs"


def make_waterfall(before: int, deltas: list[int]) -> Waterfall:
    after = make_profile("after", [make_module("", "Net", make_cost(before + sum(deltas)))])
    report = make_report(make_profile("before", [make_module("", "Net", make_cost(before))]), after)
    groups = tuple(
        Group(name=f"g{place}", before_paths=(), after_paths=(), before=make_cost(), after=make_cost(), delta=make_cost(delta))
        for place, delta in enumerate(deltas)
    )
    (params,) = view_waterfalls(msgspec.structs.replace(report, groups=groups))
    return params


def test_the_axis_of_a_waterfall_shows_small_changes_and_says_where_it_starts() -> None:
    """A million with +2,000 and -1,000 is between 1,000,000 and 1,002,000: the axis starts near that, and its ticks are 1,000 apart."""
    chart = make_waterfall(1_000_000, [2_000, -1_000])
    assert chart.starts_at == "0.999M"
    assert [tick.text for tick in chart.ticks] == ["0.999M", "1M", "1.001M", "1.002M"]
    assert [step.width for step in chart.steps[1:-1]] == [66.67, 33.33]  # of the 3,000 from 999,000 to 1,002,000


def test_the_axis_of_a_waterfall_with_large_changes_starts_at_zero() -> None:
    chart = make_waterfall(1_000_000, [-600_000])
    assert chart.starts_at == ""
    assert [(tick.place, tick.text) for tick in chart.ticks] == [(0.0, "0"), (0.5, "500K"), (1.0, "1.00M")]
    assert [step.width for step in chart.steps] == [100.0, 60.0, 40.0]


def test_incomplete_flops_have_no_waterfall() -> None:
    assert [chart.label for chart in view_waterfalls(make_incomplete_report())] == ["Parameters"]


def test_many_groups_end_in_one_step_for_the_smallest() -> None:
    report = make_segmentation_report()
    groups = tuple(
        Group(name=f"g{number}", before_paths=(), after_paths=(), before=make_cost(), after=make_cost(), delta=make_cost(number + 1))
        for number in range(30)
    )
    after = make_profile("after", [make_module("", "Net", make_cost(30 * 31 // 2))])
    before = make_profile("before", [make_module("", "Net")])
    (params,) = view_waterfalls(msgspec.structs.replace(make_report(before, after, outcome="passed"), groups=groups))
    assert len(params.steps) == 14
    assert params.steps[-2].label == "19 smaller groups"
    assert report.groups


def test_an_icicle_is_as_wide_as_the_numbers() -> None:
    params, _flops = view_icicles(make_segmentation_report())
    before, after = params.icicles
    assert before.cells[0].width == 100.0
    assert after.cells[0].width == pytest.approx(100 * 1_173_077 / 2_223_157, abs=0.2)
    for icicle in (before, after):
        top = sum(cell.width for cell in icicle.cells if cell.level == 1)
        assert top == pytest.approx(icicle.cells[0].width, abs=0.5)
    assert {cell.kind for cell in after.cells} >= {"added", "changed"}


def test_what_is_too_narrow_is_drawn_as_one() -> None:
    modules = [make_module("", "Net"), make_module("big", "Linear", make_cost(100_000))]
    modules += [make_module(f"small{number}", "Linear", make_cost(100)) for number in range(30)]
    (params,) = view_profile_icicles(make_profile("m", modules))
    (rest,) = (cell for cell in params.icicles[0].cells if cell.kind == "rest")
    assert rest.title == "30 smaller modules: 3,000 params"


def test_a_change_below_the_levels_that_are_drawn_marks_every_cell_above_it() -> None:
    """Four levels are drawn: the root, a, a.b, a.b.c. The layer a.b.c.d.e changed."""
    paths = ["a", "a.b", "a.b.c", "a.b.c.d"]
    before, after = (
        make_profile(
            name,
            [
                make_module("", "Net"),
                *(make_module(path, "Block") for path in paths),
                make_module("a.b.c.d.e", "Linear", make_cost(params)),
            ],
        )
        for name, params in (("b", 100), ("a", 90))
    )
    report = make_report(before, after)
    rows = tuple(msgspec.structs.replace(row, changes=("settings",)) if row.after_path == "a.b.c.d.e" else row for row in report.modules)
    cells = view_icicles(msgspec.structs.replace(report, modules=rows))[0].icicles[1].cells
    assert [(cell.label, cell.mark, cell.kind) for cell in cells] == [(name, "~", "inside") for name in ("(root)", "a", "b", "c")]
    assert cells[3].title.endswith(", changed inside")


def test_a_change_of_modules_too_narrow_to_be_drawn_marks_their_cell() -> None:
    before, after = (
        make_profile(
            name,
            [
                make_module("", "Net"),
                make_module("large", "Linear", make_cost(10_000)),
                *(make_module(f"s{place}", "Linear", make_cost(size)) for place in range(2)),
            ],
        )
        for name, size in (("b", 30), ("a", 31))
    )
    report = make_report(before, after)
    rows = tuple(msgspec.structs.replace(row, changes=("settings",)) if row.after_path == "s1" else row for row in report.modules)
    cells = view_icicles(msgspec.structs.replace(report, modules=rows))[0].icicles[1].cells
    assert [(cell.title, cell.mark) for cell in cells if "smaller" in cell.title] == [("2 smaller modules: 62 params, changed", "~")]
