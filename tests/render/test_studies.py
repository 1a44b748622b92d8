"""Plots of histories and sweeps: points have names where there is room, axes say what they show; errors are told once."""

from __future__ import annotations

from itertools import combinations

import msgspec
from factories import make_cost
from hypothesis import given, settings
from hypothesis import strategies as st

from archaudit.render.command_texts import render_study_html, render_study_text
from archaudit.render.view.histories import view_history
from archaudit.render.view.plots import Point, name_points
from archaudit.render.view.sweeps import view_sweep
from archaudit.schema import Contribution, History, HistoryStep, Jump, Sweep, Variant

PLACES = st.tuples(st.floats(0, 640), st.floats(26, 286), st.text("abc=_1x", min_size=1, max_size=30), st.booleans())


def make_variant(params: int, macs: int, *, reference: str = "torchvision:a", input: str = "1x3x8x8", **choices: str) -> Variant:
    return Variant(reference=reference, input=input, choices=choices, totals=make_cost(params, macs))


def find_names(found: Sweep) -> dict[str, bool]:
    """The names in the plot, and whether each is drawn."""
    (plot,) = view_sweep(found).plots
    return {point.name: bool(point.anchor) for point in plot.points}


def test_points_of_a_sweep_are_named_by_what_they_do_not_share() -> None:
    assert find_names(Sweep(variants=(make_variant(10, 10, width="4", bias="1"), make_variant(90, 90, width="8", bias="1")))) == {
        "width=4": True,
        "width=8": True,
    }
    several = (make_variant(10, 10), make_variant(90, 90, reference="torchvision:b", input="1x3x9x9"))
    assert set(find_names(Sweep(variants=several))) == {"a", "b"}  # the inputs are two series, which the legend names
    alike = (make_variant(10, 10), make_variant(90, 90, input="1x3x9x9"))
    assert set(find_names(Sweep(variants=alike))) == {"1x3x8x8", "1x3x9x9"}
    elsewhere = (make_variant(10, 10), make_variant(90, 90, reference="net.py:b"))
    assert set(find_names(Sweep(variants=elsewhere))) == {"torchvision:a", "net.py:b"}


def test_the_axes_of_a_sweep_say_what_they_show() -> None:
    found = Sweep(variants=(make_variant(10, 10, width="4"), make_variant(90, 90, width="8")), metrics=("params", "macs"))
    page = render_study_html(found)
    assert '<p class="across">Parameters</p>' in page
    assert "<strong>↑ MACs</strong>" in page
    assert ">width=8</text>" in page
    assert [tick.text for tick in view_sweep(found).plots[0].x_ticks] == ["0", "20", "40", "60", "80"]


def test_points_use_the_room_of_a_plot() -> None:
    """From 900 to 1,000, an axis from zero would leave nine tenths empty. Beyond a factor of 50 it is logarithmic."""
    near = Sweep(variants=(make_variant(900, 10), make_variant(1_000, 90)), metrics=("params", "macs"))
    (plot,) = view_sweep(near).plots
    assert plot.across == "Parameters (from 850)"
    assert [point.x for point in plot.points] == [201.3, 603.8]  # of 640 pixels for 850 to 1,009
    far = Sweep(variants=(make_variant(1, 10), make_variant(1_000, 90)), metrics=("params", "macs"))
    assert view_sweep(far).plots[0].across == "Parameters (logarithmic)"


def test_variants_of_other_inputs_are_no_line_together() -> None:
    found = tuple(
        msgspec.structs.replace(make_variant(width * 10, (50 - width) * size, input=f"1x{size}", width=str(width)), pareto=True)
        for size in (1, 100)
        for width in (1, 2, 3)
    )
    (plot,) = view_sweep(Sweep(variants=found)).plots
    assert plot.series == ("input 1x1", "input 1x100")
    assert [(line.series, len(line.places)) for line in plot.lines] == [(0, 3), (1, 3)]
    for line in plot.lines:
        own = {(point.x, point.y) for point in plot.points if point.series == line.series}
        assert set(line.places) <= own


def test_a_jump_of_a_history_is_named_by_its_commit() -> None:
    jump = Jump(metric="params", before=10, after=90, layers=(Contribution(path="a", type="Linear", delta=80),))
    steps = tuple(
        HistoryStep(commit=name * 40, short=name * 7, date="2026-01-01", subject="s", totals=make_cost(value, value), jumps=jumps)
        for name, value, jumps in (("a", 10, ()), ("b", 90, (jump,)), ("c", 90, ()))
    )
    params, flops = view_history(History(reference="net.py:Net", steps=steps)).plots
    assert [(point.name, bool(point.anchor)) for point in params.points] == [("", False), ("bbbbbbb", True), ("", False)]
    assert not any(point.anchor for point in flops.points)


@settings(max_examples=200, deadline=None)
@given(st.lists(PLACES, max_size=12))
def test_names_cover_neither_each_other_nor_points(places: list[tuple[float, float, str, bool]]) -> None:
    points = name_points([Point(x=x, y=y, label="", name=name, marked=marked) for x, y, name, marked in places])
    boxes = [box_of(point) for point in points if point.anchor]
    dots = [(point.x - 3, point.y - 3, point.x + 3, point.y + 3) for point in points]
    assert not any(overlap(one, other) for one, other in combinations(boxes, 2))
    assert not any(overlap(box, dot) for box in boxes for dot in dots)
    assert all(left >= -5 and right <= 670 and top >= 0 and bottom <= 298 for left, top, right, bottom in boxes)


def test_a_lone_point_is_always_named() -> None:
    for x in (0.0, 330.0, 640.0):
        for y in (26.0, 286.0):
            assert name_points([Point(x=x, y=y, label="", name="width=8")])[0].anchor


def test_the_same_error_of_neighbouring_rows_is_listed_once() -> None:
    failed = [Variant(reference="r", input=f"1x{size}", error=error) for size, error in ((1, "no"), (2, "no"), (3, "other"), (4, "no"))]
    found = Sweep(variants=(make_variant(1, 1), *failed))
    assert view_sweep(found).details == {1: ("no (same error for the next row)",), 3: ("other",), 4: ("no",)}
    assert render_study_text(found, 80).count("no (same error for the next row)") == 1


def box_of(point: Point) -> tuple[float, float, float, float]:
    """What a name covers at the least: letters of 6 pixels, 10 high."""
    width = 6 * len(point.name)
    left = point.name_x - {"start": 0, "middle": width / 2, "end": width}[point.anchor]
    return left, point.name_y - 9, left + width, point.name_y + 1


def overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
