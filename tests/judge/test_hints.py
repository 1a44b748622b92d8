"""Hints on false figures in detail: sizes that give a figure, and the pairs of figures that another one follows from."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
from factories import make_module, make_profile, make_tensor

from archaudit.judge import judge
from archaudit.schema import Call, Check, FlowNode, ModuleRecord, Profile, Verdict


def conv(shape: tuple[int, ...], groups: int = 1, *, bias: bool = False, transposed: bool = False, **fields: Any) -> ModuleRecord:
    outputs = shape[1] * groups if transposed else shape[0]
    weights = prod(shape)
    tensors = (make_tensor("weight", shape), *((make_tensor("bias", (outputs,)),) if bias else ()))
    return make_module(weights + outputs * bias, "Conv2d", settings={"groups": groups, "transposed": transposed}, tensors=tensors, **fields)


def claim(figure: str, record: ModuleRecord, **fields: Any) -> Verdict:
    profile = make_profile({"a": record}, name="after", flow=fields.pop("flow", ()))
    plain = {"id": "c", "origin": "claim", "model": "after", "metric": "params", "comparison": "equals", "expected": figure}
    return judge([Check(**plain | fields)], {"after": profile}, {})[0]


def list_sizes(figure: str, record: ModuleRecord, **fields: Any) -> list[str]:
    return [hint.removeprefix("this figure fits ") for hint in claim(figure, record, **fields).hints]


def test_sizes_are_solved_for_with_kernel_groups_and_bias() -> None:
    # 6 outputs of 2 x 3 x 5 = 30 weights and a bias: 186; 8 inputs in 4 groups
    grouped = conv((6, 2, 3, 5), 4, bias=True)
    assert list_sizes("276", grouped) == ["a 3x5 convolution from 12 channels; the code has 8"]  # 6 x (3 x 15 + 1)
    assert list_sizes("217", grouped) == ["a 3x5 convolution to 7 channels; the code has 6"]  # 7 x 31
    # 372 = 6 x (4.0666 x 15 + 1) = 12 x 31
    assert list_sizes("372", grouped) == ["a 3x5 convolution to 12 channels; the code has 6"]
    # both: 6 x (5 x 15 + 1) = 456, and 456 / 31 is no whole number; without bias and groups both are whole
    assert list_sizes("540", conv((6, 5, 3, 3))) == [
        "a 3x3 convolution from 10 channels; the code has 5",
        "a 3x3 convolution to 12 channels; the code has 6",
    ]


@pytest.mark.parametrize(
    ("figure", "fields"),
    [
        ("270", {}),  # the code's own figure is true
        ("0", {}),
        ("-540", {}),
        ("~540", {}),
        ("0.54K", {}),
        ("540", {"metric": "trainable_params"}),
        ("540", {"comparison": "max"}),
    ],
)
def test_nothing_is_solved_for(figure: str, fields: dict[str, Any]) -> None:
    assert list_sizes(figure, conv((6, 5, 3, 3)), **fields) == []


def test_inputs_that_are_a_concatenation_are_named_by_their_parts() -> None:
    def build(*sources: tuple[int, ...], out: tuple[int, ...] = (1, 5, 4, 4), op: str = "cat") -> tuple[FlowNode, ...]:
        inputs = [FlowNode(id=place, op="input", module="", shape=shape) for place, shape in enumerate(sources)]
        return (*inputs, FlowNode(id=len(inputs), op=op, module="", inputs=tuple(range(len(inputs))), shape=out))

    def name(flow: tuple[FlowNode, ...]) -> str:
        call = Call(order=1, inputs=((1, 5, 4, 4),), outputs=((1, 6, 4, 4),))
        hint = list_sizes("378", conv((6, 5, 3, 3), calls=(call,)), flow=flow)[0]  # 6 x 7 x 9
        assert hint.startswith("a 3x3 convolution from 7 channels; the code has ")
        return hint.partition("the code has ")[2]

    parts = (1, 2, 4, 4), (1, 3, 4, 4)
    assert name(build(*parts)) == "2+3 = 5"
    assert name(build((1, 1, 4, 4), *parts, out=(1, 5, 4, 4))) == "5"  # six channels are not five
    assert name(build(*parts, op="add")) == "5"
    assert name(build((1, 5, 4, 4))) == "5"  # one part is no concatenation
    assert name(build((1, 5, 2, 4), (1, 5, 2, 4))) == "5"  # in the height
    assert name(build(*parts, out=(1, 6, 4, 4))) == "5"  # of something else
    assert name(()) == "5"


def derive(comparison: str, expected: str, *figures: tuple[str, str], limit: int | None = None, **fields: Any) -> tuple[str, ...]:
    """The hints on a claim of `after` against `before`, in a document with these other figures: (model, figure)."""
    sides = {"before": make_profile({"a": 700}, name="before"), "after": make_profile({"a": 350}, name="after")}
    common: dict[str, Any] = {"origin": "claim", "metric": "params"}
    checks = [
        Check(id=f"{place}", model=model, comparison="equals", expected=figure, **common) for place, (model, figure) in enumerate(figures)
    ]
    checks.append(Check(id="last", model="after", comparison=comparison, expected=expected, against="before", **common | fields))
    return judge(checks, sides, {})[-1].hints


@pytest.mark.parametrize(("comparison", "expected", "sign"), [("ratio", "4x", "/"), ("percent", "75%", "→"), ("difference", "600", "−")])
def test_a_figure_follows_from_two_others(comparison: str, expected: str, sign: str) -> None:
    text = f"follows from the document's own figures, 800 {sign} 200, both of which are false"
    assert derive(comparison, expected, ("before", "800"), ("after", "200")) == (text,)
    # from the larger to the smaller, of these two models, and only from figures above nothing
    assert derive(comparison, expected, ("after", "800"), ("before", "200")) == ()
    assert derive(comparison, expected, ("before", "800"), ("before", "200")) == ()
    assert derive(comparison, expected, ("before", "-800"), ("after", "200")) == ()
    assert derive("ratio", "1x", ("before", "200"), ("after", "200")) == ()


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ((("before", "700"), ("after", "175")), "of which the second is false"),
        ((("before", "1400"), ("after", "350")), "of which the first is false"),
        ((("before", "1400"), ("after", "351")), "both of which are false"),
    ],
)
def test_the_figures_that_are_false_are_named(figures: tuple[tuple[str, str], ...], words: str) -> None:
    assert derive("ratio", "4x", *figures)[0].endswith(words)


def test_rounded_figures_that_are_true_are_named_with_what_was_measured() -> None:
    hint = derive("ratio", "1.94x", ("before", "~680"), ("after", "350"))
    assert hint == ("follows from the document's own figures, ~680 / 350, which are true, but ~680 was measured as 700",)


def test_other_metrics_and_other_comparisons_are_no_source() -> None:
    assert derive("ratio", "4x", ("before", "800"), ("after", "200"), metric="macs") == ()
    assert derive("max", "200", ("before", "800"), ("after", "200")) == ()


@pytest.mark.parametrize(
    "changed",
    [{"metric": "macs"}, {"comparison": "min"}, {"expected": "many"}, {"expected": "0"}, {"model": "third"}, {"document": "o.md"}],
)
def test_only_positive_figures_of_the_same_metric_and_document_are_a_source(changed: dict[str, str]) -> None:
    sides = {name: make_profile({"a": count}, name=name) for name, count in (("before", 700), ("after", 350), ("third", 5))}
    common: dict[str, Any] = {"origin": "claim", "metric": "params", "comparison": "equals"}
    last = Check(id="last", model="after", against="before", **common | {"comparison": "ratio", "expected": "4x"})

    def find(**fields: str) -> tuple[str, ...]:
        first = Check(**{"id": "1", "model": "before", "expected": "800"} | common | fields)  # type: ignore[arg-type]
        second = Check(id="2", model="after", expected="200", **common)
        return judge([first, second, last], sides, {})[-1].hints

    assert len(find()) == 1
    assert find(**changed) == ()


@pytest.mark.parametrize(
    ("figure", "interval"),
    [
        ("270", (270, 270)),
        ("0.27K", (265, 275)),
        ("~270", (243, 297)),
        ("<300", (None, 300)),
        ("<=300", (None, 300)),
        (">200", (200, None)),
        ("200-300", (200, 300)),
        ("31", (31, 31)),  # a false one, too
    ],
)
def test_a_claim_has_the_numbers_that_its_figure_means(figure: str, interval: tuple[float | None, float | None]) -> None:
    assert claim(figure, conv((6, 5, 3, 3))).interval == interval


def test_a_claim_that_was_not_measured_or_is_no_number_has_none() -> None:
    record = conv((6, 5, 3, 3))
    assert claim("270", record, scope=("zz",)).interval is None
    assert claim("present", record, metric="presence", scope=("a",)).interval is None


def test_of_several_pairs_the_one_that_is_closest_is_named() -> None:
    sides = {"before": make_profile({"a": 700, "b": 70}, name="before"), "after": make_profile({"a": 350, "b": 35}, name="after")}
    common: dict[str, Any] = {"origin": "claim", "metric": "params", "comparison": "equals"}

    def find(last: dict[str, Any], *pairs: dict[str, Any]) -> str:
        checks = []
        for place, fields in enumerate(pairs):
            checks.append(Check(id=f"b{place}", model="before", expected=f"{800 * (place + 1)}", **common | fields))
            checks.append(Check(id=f"a{place}", model="after", expected=f"{200 * (place + 1)}", **common | fields))
        checks.append(Check(id="last", model="after", expected="4x", against="before", **common | {"comparison": "ratio"} | last))
        (hint,) = judge(checks, sides, {})[-1].hints
        return hint.split(", ")[1]

    plain: dict[str, Any] = {"source": "other", "group": "g"}
    assert find({}, plain, {}) == "1,600 / 400".replace(",", "")
    assert find({"source": "s"}, plain, {"source": "s", "group": "h"}) == "1600 / 400"  # the same source
    assert find({"group": "g"}, {"source": "x"}, {"group": "g", "source": "y"}) == "1600 / 400"  # the same group
    assert find({"scope": ("b",)}, {"source": "x"}, {"source": "x", "scope": ("b",)}) == "1600 / 400"  # the same scope
    # a group says more than a source
    assert find({"group": "g", "source": "s"}, {"source": "s"}, {"group": "g", "source": "x"}) == "1600 / 400"


def test_a_long_document_is_tried_up_to_200_figures() -> None:
    fillers = [("before", "3")] * 198
    assert derive("ratio", "4x", *fillers, ("before", "800"), ("after", "200")) != ()
    assert derive("ratio", "4x", *fillers, ("before", "3"), ("before", "800"), ("after", "200")) == ()


def test_a_hint_ends_the_reason_as_a_clause_or_as_a_sentence() -> None:
    record = conv((6, 5, 3, 3))
    assert claim("378", record).reason.endswith(
        "measured 270 (28.6 % less); this figure fits a 3x3 convolution from 7 channels; the code has 5"
    )
    marked = claim("378", record, expect_outcome="failed", why="A guess.")
    assert marked.reason.endswith("A guess. This figure fits a 3x3 convolution from 7 channels; the code has 5.")


def test_a_profile_without_the_model_has_no_hints() -> None:
    check = Check(id="c", origin="claim", model="other", metric="params", comparison="equals", expected="5")
    profiles: dict[str, Profile] = {"after": make_profile({"a": 1}, name="after")}
    assert judge([check], profiles, {})[0].hints == ()


def test_a_figure_that_needs_no_inputs_gives_no_hint() -> None:
    # eight outputs with a bias each: without any input the layer would have 8 parameters
    assert list_sizes("8", conv((8, 5, 3, 3), bias=True)) == []
