"""The loop over the cases, with fake counters; and the installed counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from archaudit.conformance import other_counters
from archaudit.conformance.case import Case, CaseResult, Count, Counter, Score
from archaudit.conformance.models import all_cases
from archaudit.conformance.run import count_profile, judge, run_case, run_cases, score
from archaudit.errors import MeasureError
from archaudit.schema import Cost, ModuleRecord, Profile

LAYER = Case(
    name="layer",
    shows="A layer.",
    build=lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)),
    args=lambda: (torch.ones(2, 4),),
    params=4 * 3 + 3,
    macs=2 * 4 * 3,
    by_convention=(2 * (4 * 3 + 3),),
    modules={"0": (4 * 3 + 3, 2 * 4 * 3)},
)
UNKNOWN = Case(name="unknown", shows="Unknown work.", build=nn.Identity, params=0, expects_incomplete=True)
OPAQUE = Case(name="opaque", shows="A layer in a box.", build=nn.Identity, params=0, macs=5, may_be_incomplete=True)
BROKEN = Case(name="broken", shows="A model that fails.", build=nn.Identity, params=0, raises=True)


def _answer(**fields: Any) -> Counter:
    return lambda build, args, kwargs: Count(**fields)


@pytest.mark.parametrize(
    ("case", "count", "outcome"),
    [
        (LAYER, Count(params=15, macs=24), "right"),
        (LAYER, Count(macs=24), "right"),
        (LAYER, Count(macs=24, skipped=("aten::relu",)), "right"),
        (LAYER, Count(params=15, macs=30), "convention"),
        (LAYER, Count(params=15, macs=25), "wrong"),
        (LAYER, Count(params=16, macs=24), "wrong"),
        (LAYER, Count(params=15, macs=0), "zero"),
        (LAYER, Count(params=15, macs=0, skipped=("aten::linear",)), "incomplete"),
        (LAYER, Count(params=15, macs=None), "incomplete"),
        (LAYER, Count(params=15, macs=24, complete=False), "incomplete"),
        (LAYER, None, "error"),
        (LAYER, Count(macs=24, modules={"0": (15, 24)}), "right"),
        (LAYER, Count(macs=24, modules={"0": (15, 0), "": (0, 24)}), "wrong"),
        (LAYER, Count(macs=24, modules={}), "wrong"),
        (UNKNOWN, Count(macs=0, complete=False), "right"),
        (UNKNOWN, Count(macs=0, skipped=("aten::fft",)), "right"),
        (UNKNOWN, Count(macs=0), "wrong"),
        (UNKNOWN, Count(params=1, complete=False), "wrong"),
        (UNKNOWN, None, "error"),
        (OPAQUE, Count(macs=5), "right"),
        (OPAQUE, Count(macs=0, complete=False), "right"),
        (OPAQUE, Count(macs=0), "zero"),
        (BROKEN, None, "right"),
        (BROKEN, Count(macs=0), "wrong"),
        (BROKEN, Count(complete=False), "wrong"),
    ],
)
def test_the_outcome_of_an_answer(case: Case, count: Count | None, outcome: str) -> None:
    judged, reason = judge(case, count, "ValueError: no")
    assert judged == outcome
    assert bool(reason) == (outcome != "right")


def test_every_counter_runs_on_every_case_in_order() -> None:
    results = run_cases([LAYER, OPAQUE], {"first": _answer(macs=24), "second": _answer(macs=0)})
    assert [(result.counter, result.case) for result in results] == [
        ("first", "layer"),
        ("first", "opaque"),
        ("second", "layer"),
        ("second", "opaque"),
    ]
    assert score(results) == (Score(counter="first", cases=2, right=1, wrong=1), Score(counter="second", cases=2, zero=2))


def test_a_counter_gets_a_new_model_in_eval_mode_and_real_inputs() -> None:
    seen: list[Any] = []

    def counter(build: Callable[[], nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
        seen.extend([build(), build(), args, kwargs])
        return Count()

    run_case(LAYER, "fake", counter)
    first, second, args, kwargs = seen
    assert first is not second
    assert not first.training
    assert not first[1].training
    assert torch.equal(first[0].weight, second[0].weight)
    assert args[0].shape == (2, 4)
    assert kwargs == {}


def test_a_training_mode_case_is_handed_over_in_training_mode() -> None:
    case = next(case for case in all_cases() if case.name == "training_mode_in_part")
    modes: list[bool] = []

    def counter(build: Callable[[], nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
        model = build()
        modes.extend([model.training, model.get_submodule("1").training])
        return Count()

    run_case(case, "fake", counter)
    assert modes == [True, False]


def test_a_counter_that_raises_is_an_error_without_memory_addresses() -> None:
    def counter(build: Callable[[], nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
        build().eval().add_module("left_behind", nn.Identity())
        raise KeyError("object at 0x7f3a21\nand more")

    result = run_case(LAYER, "fake", counter)
    assert result.outcome == "error"
    assert "0x7f" not in result.reason
    assert "added module ('left_behind',): class" in result.dirt
    assert all("left_behind" in line for line in result.dirt)


def test_what_a_counter_leaves_changed_is_reported_and_does_not_affect_the_next() -> None:
    def dirty(build: Callable[[], nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
        model = build()
        model.train()
        torch.rand(1)
        args[0].zero_()
        nn.Module.count = lambda self: 0  # type: ignore[attr-defined]
        nn.functional.linear = lambda *_: None  # type: ignore[assignment]
        return Count(params=15, macs=24)

    try:
        messy, clean = run_cases([LAYER], {"dirty": dirty, "clean": _answer(params=15, macs=24)})
    finally:
        del nn.Module.count  # type: ignore[attr-defined]
    assert messy.outcome == "right"
    assert set(messy.dirt) >= {
        "changed model: training flag",
        "changed module ('1',): training flag",
        "changed process: torch random state",
        "changed input 0",
        "replaced function torch.nn.functional.linear",
    }
    assert clean.dirt == ()
    assert score([messy, clean])[0].dirty == 1


def test_a_counter_that_only_builds_leaves_nothing_changed_on_any_case() -> None:
    def builds_only(build: Callable[[], nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
        build()
        return Count()

    results = run_cases(all_cases(), {"builds only": builds_only})
    assert [(result.case, result.dirt) for result in results if result.dirt] == []


def test_results_are_records_with_json() -> None:
    from archaudit.schema import encode

    result = run_case(LAYER, "fake", _answer(params=15, macs=25))
    assert result == CaseResult(case="layer", counter="fake", outcome="wrong", reason="25 MACs, not 24", params=15, macs=25)
    assert b'"outcome": "wrong"' in encode(result)


@pytest.mark.parametrize("name", ["flop_counter", "torchinfo", "fvcore"])
def test_an_installed_counter_is_right_on_a_plain_layer_and_prints_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    plain = next(case for case in all_cases() if case.name == "conv2d_depthwise")
    result = run_case(plain, name, other_counters.make_counter(name))
    assert (result.outcome, result.macs, result.dirt) == ("right", 64 * 16 * 9, ())
    assert capsys.readouterr() == ("", "")


def test_known_outcomes_of_installed_counters() -> None:
    cases = [case for case in all_cases() if case.name in {"custom_operator", "sdpa", "keyword_inputs", "training_mode"}]
    names = ("flop_counter", "torchinfo", "fvcore")
    results = {(r.counter, r.case): r for r in run_cases(cases, {name: other_counters.make_counter(name) for name in names})}
    assert results["flop_counter", "custom_operator"].outcome == "wrong"
    assert results["torchinfo", "keyword_inputs"].outcome == "right"
    assert results["fvcore", "sdpa"].outcome == "incomplete"
    assert "scaled_dot_product_attention" in results["fvcore", "sdpa"].reason
    assert results["fvcore", "keyword_inputs"].outcome == "error"
    assert any("running_mean" in line for line in results["fvcore", "training_mode"].dirt)


def test_a_profile_as_a_counters_answer() -> None:
    cost = Cost(params=15, macs=24, flops=48)
    rows = (ModuleRecord(path="", type="Sequential", own=Cost(), total=cost), ModuleRecord(path="0", type="Linear", own=cost, total=cost))
    count = count_profile(Profile(name="layer", reference="", totals=cost, modules=rows))
    assert count == Count(params=15, macs=24, modules={"": (0, 24), "0": (15, 24)})
    assert judge(LAYER, count) == ("right", "")


def test_an_unknown_or_missing_counter_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MeasureError, match="there is no counter 'nobody'"):
        other_counters.make_counter("nobody")
    monkeypatch.setattr(other_counters, "find_spec", lambda name: None)
    with pytest.raises(MeasureError, match="pip install thop"):
        other_counters.make_counter("thop")
