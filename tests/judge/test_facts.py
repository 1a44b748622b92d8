"""Shapes, settings and the presence of modules against what a document says, on a small model written by hand."""

from __future__ import annotations

from typing import Any

import pytest
from factories import make_input, make_module, make_profile

from archaudit.judge import judge
from archaudit.schema import Call, Check, FlowNode, Profile, Verdict


def call(*outputs: tuple[int, ...], inputs: tuple[tuple[int, ...], ...] = ()) -> Call:
    return Call(order=1, inputs=inputs, outputs=outputs)


# An image of 2 x 3 x 16 x 32. `a` gives 8 channels at half the size, `b` is called twice, and the root runs two `cat`.
MODEL = make_profile(
    {
        "": make_module(0, "Net"),
        "a": make_module(1, "Conv2d", settings={"dilation": [6, 6], "bias": True, "padding_mode": "zeros", "p": 0.5},
                         calls=(call((2, 8, 8, 16), inputs=((2, 3, 16, 32),)),)),
        "b": make_module(1, "Conv2d", settings={"dilation": [12, 12], "stride": [2, 1]}, calls=(call((2, 5)), call((2, 7)))),
        "c": make_module(1, "Conv2d", settings={"dilation": [18, 18]}, calls=(call((2, 10)),)),
        "d": make_module(1, "Linear", calls=(call((2, 10)),)),
        "idle": make_module(1, "Identity"),
    },
    name="after",
    inputs=(make_input(4, 7, name="mask"), make_input(2, 3, 16, 32, name="image")),
    flow=(
        FlowNode(id=0, op="input", module="", shape=(2, 3, 16, 32)),
        FlowNode(id=1, op="cat", module="", inputs=(0,), shape=(2, 24, 8, 16)),
        FlowNode(id=2, op="cat", module="", inputs=(1,), shape=(2, 40, 8, 16)),
        FlowNode(id=3, op="cat", module="a", inputs=(2,), shape=(2, 99)),
    ),
)  # fmt: skip
OTHER = make_profile({"a": 1, "gone": make_module(1, "Dropout")}, name="before")


def claim(metric: str, expected: str, scope: str | tuple[str, ...] = "", **fields: Any) -> Verdict:
    patterns = scope if isinstance(scope, tuple) else (scope,)
    plain = {"id": "c", "origin": "claim", "model": "after", "metric": metric, "comparison": "equals", "expected": expected}
    return judge([Check(**plain | {"scope": patterns} | fields)], {"after": MODEL, "before": OTHER}, {})[0]


@pytest.mark.parametrize(
    ("figure", "scope", "measured"),
    [
        ("[2, 8, 8, 16]", "a", "[2, 8, 8, 16]"),
        ("(2, 8, 8, 16)", "a", "[2, 8, 8, 16]"),
        ("2x8x8x16", "a", "[2, 8, 8, 16]"),
        ("[B, 8, H/2, W/2]", "a", "[2, 8, 8, 16]"),
        ("[N, B * 4, H // 2, 16]", "a", "[2, 8, 8, 16]"),
        ("[B, channels, H/2, W/2]", "a", "[2, 8, 8, 16], channels = 8"),
        ("[B, classes]", ("c", "d"), "[2, 10], classes = 10"),
        ("[B, 7]", "b", "[2, 7]"),  # one of its two calls gives that
    ],
)
def test_a_shape_that_holds(figure: str, scope: str | tuple[str, ...], measured: str) -> None:
    verdict = claim("shape", figure, scope)
    assert (verdict.finding, verdict.outcome, verdict.measured) == ("true", "passed", measured)


@pytest.mark.parametrize(
    ("figure", "scope", "measured"),
    [
        ("[2, 9, 8, 16]", "a", "[2, 8, 8, 16]"),
        ("[B, 8, H/4, W/2]", "a", "[2, 8, 8, 16]"),
        ("[B, 8, 8]", "a", "[2, 8, 8, 16]"),
        ("[B, 6]", "b", "[2, 5] and [2, 7]"),
        ("[B, same, same, 16]", "a", None),  # 8 and 8 are the same size ...
        ("[B, classes]", ("b", "c"), "[2, 10]"),  # ... 5 (or 7) and 10 are not
    ],
)
def test_a_shape_that_does_not(figure: str, scope: str | tuple[str, ...], measured: str | None) -> None:
    verdict = claim("shape", figure, scope)
    if measured is None:
        assert (verdict.finding, verdict.measured) == ("true", "[2, 8, 8, 16], same = 8")
    else:
        assert (verdict.finding, verdict.outcome, verdict.measured) == ("false", "failed", measured)


def test_three_of_the_shapes_that_a_reused_module_has_are_named() -> None:
    def count(shapes: int) -> str | None:
        reused = make_profile(
            {"a": make_module(1, calls=tuple(call((2, size)) for size in (*range(1, shapes + 1), 1)))},
            name="after",
            inputs=(make_input(2, 3),),
        )
        check = Check(id="c", origin="claim", model="after", metric="shape", comparison="equals", expected="[B, 99]", scope=("a",))
        return judge([check], {"after": reused}, {})[0].measured

    assert count(3) == "[2, 1] and [2, 2] and [2, 3]"
    assert count(5) == "[2, 1] and [2, 2] and [2, 3] and 2 more"


def test_shapes_of_inputs_and_of_operators() -> None:
    assert claim("shape:in", "[B, 3, H, W]", "a").finding == "true"
    assert claim("shape:in", "[B, 8, H/2, W/2]", "a").finding == "false"
    assert claim("shape:cat", "[B, 40, H/2, W/2]").finding == "true"
    assert claim("shape:cat:1", "[B, 24, H/2, W/2]").finding == "true"
    assert claim("shape:cat:2", "[B, 40, H/2, W/2]").finding == "true"
    assert claim("shape:cat:1", "[B, 40, H/2, W/2]").finding == "false"
    assert claim("shape:cat", "[B, 99]", "a").finding == "true"
    missed = claim("shape:cat", "[B, 41, H/2, W/2]")
    assert missed.measured == "[2, 24, 8, 16] and [2, 40, 8, 16]"


@pytest.mark.parametrize(
    ("metric", "figure", "scope", "why"),
    [
        ("shape", "[B, 8, H/3, W/2]", "a", "'H/3' has no exact value: H is 16"),
        ("shape", "[B, 8, H/0, W/2]", "a", "'H/0' has no exact value: H is 16"),
        ("shape", "[B, 8, T/2, W/2]", "a", "'T/2' has no value: only B, H and W are known, not T"),
        ("shape", "[x, y]", "a", "has no size to compare"),
        ("shape", "wide", "a", "has no size to compare"),
        ("shape", "[B; 8]", "a", "is not a shape"),
        ("shape", "[B, 8]", "idle", "no shape was recorded for idle"),
        ("shape:relu", "[B, 8]", "a", "no shape was recorded for relu"),
        ("shape:cat:3", "[B, 8]", "", "no shape was recorded for cat:3"),
        ("shape:cat:0", "[B, 8]", "", "no shape was recorded for cat:0"),
        ("shape", "[B, 8]", "aa", "no module of after matches 'aa'; the nearest are a"),
        ("presence", "new", "a", "'new' needs a second model"),
        ("setting:kernel", "3", "a", "kernel"),
    ],
)
def test_what_cannot_be_compared_is_unbound_and_says_why(metric: str, figure: str, scope: str, why: str) -> None:
    verdict = claim(metric, figure, scope)
    assert (verdict.finding, verdict.outcome) == ("unbound", "inconclusive")
    assert why in verdict.reason


@pytest.mark.parametrize(
    ("setting", "figure", "scope", "finding", "measured"),
    [
        ("dilation", "[6, 12, 18]", ("a", "b", "c"), "true", "[6, 12, 18]"),  # one of each module
        ("dilation", "[6, 12, 17]", ("a", "b", "c"), "false", "[6, 12, 18]"),
        ("dilation", "[6, 6]", ("a",), "true", "[6, 6]"),
        ("dilation", "6x6", ("a",), "true", "[6, 6]"),
        ("dilation", "6×5", ("a",), "false", "[6, 6]"),
        ("stride", "2x1", ("b",), "true", "[2, 1]"),
        ("bias", "True", ("a",), "true", "true"),
        ("bias", "false", ("a",), "false", "true"),
        ("padding_mode", "Zeros", ("a",), "true", "zeros"),
        ("padding_mode", "reflect", ("a",), "false", "zeros"),
    ],
)  # fmt: skip
def test_settings(setting: str, figure: str, scope: tuple[str, ...], finding: str, measured: str) -> None:
    verdict = claim(f"setting:{setting}", figure, scope)
    assert verdict.finding == finding
    assert verdict.measured in (measured, None)


def test_a_setting_that_is_a_number_is_compared_as_one() -> None:
    assert claim("setting:p", "0.50", "a").finding == "true"
    assert claim("setting:p", "0.4", "a").finding == "false"


@pytest.mark.parametrize(
    ("figure", "scope", "metric", "finding", "measured"),
    [
        ("present", ("a", "b"), "presence", "true", "present"),
        ("present", ("a", "zz*"), "presence", "false", "absent"),
        ("absent", ("zz*",), "presence", "true", "absent"),
        ("absent", ("a",), "presence", "false", "present"),
        ("present", ("a", "d"), "presence:Linear", "true", "present"),
        ("present", ("a", "b"), "presence:Linear", "false", "absent"),
    ],
)
def test_the_presence_of_modules(figure: str, scope: tuple[str, ...], metric: str, finding: str, measured: str) -> None:
    verdict = claim(metric, figure, scope)
    assert verdict.finding == finding
    assert (verdict.measured or "").startswith(measured)


def test_an_absent_module_has_near_paths_to_suggest_only_where_it_should_be_present() -> None:
    assert claim("presence", "present", "idl").measured == "absent (the nearest: idle, d)"
    assert claim("presence", "absent", "idl").measured == "absent"
    assert claim("presence:Linear", "present", "a").measured == "absent"


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ("a", "present (in before, in this)"),
        ("b", "new (not in before, in this)"),
        ("gone", "gone (in before, not in this)"),
        ("never", "absent (not in before, not in this)"),
    ],
)
def test_the_presence_on_both_sides(scope: str, found: str) -> None:
    word = found.partition(" ")[0]
    for figure in ("present", "absent", "new", "gone"):
        verdict = claim("presence", figure, scope, against="before")
        assert (verdict.finding, verdict.measured) == ("true" if figure == word else "false", found)


def test_another_scope_on_the_other_side() -> None:
    assert claim("presence", "present", "b", against="before", against_scope=("gone",)).finding == "true"
    assert claim("presence", "new", "b", against="before", against_scope=()).measured != "new (not in before, in this)"


def test_a_fact_can_only_be_equal() -> None:
    verdict = claim("shape", "[B, 8]", "a", comparison="max")
    assert (verdict.finding, verdict.reason) == ("unbound", "shape is not a number: its comparison must be equals, not max")


def test_a_model_whose_inputs_are_no_images_knows_the_batch_alone() -> None:
    text: Profile = make_profile(
        {"a": make_module(1, calls=(call((4, 7, 8)),))}, name="after", inputs=(make_input(4, 7, name="ids", dtype="int64"),)
    )

    def judge_text(figure: str) -> Verdict:
        check = Check(id="c", origin="claim", model="after", metric="shape", comparison="equals", expected=figure, scope=("a",))
        return judge([check], {"after": text}, {})[0]

    assert judge_text("[B, length, 8]").measured == "[4, 7, 8], length = 7"
    assert "only B, H and W are known" in judge_text("[B, H/2, 8]").reason
    assert judge_text("[bs, H, 8]").measured == "[4, 7, 8], H = 7"
