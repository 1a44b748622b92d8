"""What makes a gate green: gated metrics, replaced budgets, levels, and baselines of other models."""

import msgspec
import pytest
from factories import make_cost, make_input, make_module, make_profile

from archaudit.judge import conclude, is_of_other_model, judge, judge_gated, judge_overridden
from archaudit.schema import Check, Ledger, Overridden, Verdict

NET = make_profile({"stem": make_cost(800, 8_000), "head": make_cost(200, 2_000)}, name="net", inputs=(make_input(1, 3, 8, 8),))
PROFILES = {"net": NET, "net.large": NET}


def make_check(comparison="max", expected="2K", **fields):
    return Check(
        **{"id": "c", "origin": "budget", "model": "net", "metric": "params", "comparison": comparison, "expected": expected} | fields
    )


def find_gaps(*checks, scenarios=(), baselines=None, gated=("params",)):
    verdicts = judge(checks, PROFILES, baselines or {})
    return [verdict.reason for verdict in judge_gated(gated, {"net": scenarios}, checks, verdicts)]


def make_verdict(outcome, level="error"):
    return Verdict(id="c", origin="budget", model="m", metric="params", scope="", comparison="max", expected="1", outcome=outcome,
                   reason="", level=level)  # fmt: skip


# --- gated metrics


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        (make_check("min", "1"), "no check limits params of net from above"),
        (make_check("max_decrease", "1%", against="baseline"), "no check limits params of net from above"),
        (make_check(scope=("head",)), "no check limits params of the whole net, only of head"),
        (make_check(types=("Linear",)), "no check limits params of the whole net, only of [Linear]"),
        (make_check(level="warn"), "no check of level error is about params of net"),
        (make_check(expected="100,000,000,000,000,000,000,000,000,000"), "the limit of net limits nothing: c allows 100,000,000,"),
        # a hundred times the 1,000 parameters, and above the ten million that any small model may have
        (make_check(expected="10.1M"), "c allows 10,100,000, more than 100 times what was measured, 1,000"),
        (make_check("max_increase", "2000000%", against="baseline", origin="baseline"), "the limit of net limits nothing"),
    ],
)
def test_a_gated_metric_needs_an_upper_limit_that_can_be_reached(check, problem):
    (reason,) = find_gaps(check, baselines={"net": NET})
    assert reason.startswith("params is declared as gated, and")
    assert problem in reason


@pytest.mark.parametrize("check", [make_check(), make_check(expected="10M"), make_check("max_increase", "0%", against="baseline")])
def test_an_upper_limit_on_the_whole_model_covers_a_gated_metric(check):
    assert find_gaps(check, baselines={"net": NET}) == []


def test_every_input_scenario_needs_its_own_limit():
    (reason,) = find_gaps(make_check(scenario="small"), scenarios=("small", "large"))
    assert reason == "params is declared as gated, and no check limits params of net.large"
    assert find_gaps(make_check(scenario="small"), make_check(id="d", scenario="large"), scenarios=("small", "large")) == []


def test_a_vacuous_limit_next_to_a_real_one_does_no_harm():
    assert find_gaps(make_check(expected="999M"), make_check(id="d")) == []


# --- budgets that replace others


@pytest.mark.parametrize(
    ("left", "is_named"),
    [
        (make_check(metric="macs"), True),
        (make_check("min", "1"), True),  # a limit from below
        (make_check(scope=("head",)), True),  # on a part
        (make_check(level="warn"), True),
        (make_check(), False),
        (make_check("max_increase", "1%", against="baseline"), False),
    ],
)
def test_a_replaced_budget_is_named_if_no_other_limits_its_metric(left, is_named):
    overridden = [Overridden(model="net", metric="params", comparison="max", key="budgets[0]", by="budgets[1]")]
    reason = "budgets[1] replaces budgets[0], and no other check of level error limits params of the whole net from above"
    found = judge_overridden(overridden, [left])
    assert [(verdict.level, verdict.outcome, verdict.reason) for verdict in found] == [("warn", "inconclusive", reason)] * is_named


# --- levels


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        ([make_verdict("inconclusive", "warn")], "inconclusive"),
        ([make_verdict("inconclusive", "warn"), make_verdict("inconclusive", "info")], "inconclusive"),
        ([make_verdict("failed", "warn")], "passed"),
        ([make_verdict("passed", "info"), make_verdict("inconclusive", "warn")], "passed"),
        ([make_verdict("passed"), make_verdict("inconclusive", "warn")], "passed"),
        ([], "inconclusive"),
    ],
)
def test_checks_that_cannot_fail_pass_only_if_something_was_judged(verdicts, outcome):
    assert conclude(verdicts) == outcome


# --- baselines of other models


def make_other(root="", **fields):
    other = make_profile({f"layer{number}": 10 for number in range(6)}, **{"name": "net", "reference": "toys:net"} | fields)
    return other if not root else set_type(other, root)


def set_type(profile, root):

    first = msgspec.structs.replace(profile.modules[0], type=root)
    return msgspec.structs.replace(profile, modules=(first, *profile.modules[1:]))


@pytest.mark.parametrize(
    ("baseline", "is_other"),
    [
        (make_other("OtherNet"), True),  # another class, other paths
        (make_other(name="big", reference="toys:big"), True),  # another name, other paths
        (make_other(), False),  # the same class and name: the model itself changed
        (make_other(name="net.py:Net", reference="/home/ci/toys:net"), False),  # the same code in another folder
        (set_type(NET, "Renamed"), False),  # the same paths: the class was renamed
    ],
)
def test_a_baseline_of_another_model_is_recognized_by_class_name_and_paths(baseline, is_other):
    assert is_of_other_model(baseline, NET) == is_other


def test_a_baseline_of_another_model_is_named_and_judges_nothing():
    check = make_check("max_increase", "1%", against="baseline", origin="baseline")
    (verdict,) = judge([check], PROFILES, {"net": make_other("OtherNet")})
    assert verdict.outcome == "inconclusive"
    assert verdict.reason == (
        "the baseline is of another model: OtherNet (toys:net), but this is Linear (toys:net); `archaudit baseline net` replaces it"
    )


# --- exact limits


@pytest.mark.parametrize(
    ("grown", "outcome", "reason"),
    [
        # 1,000,003 + 1 % = 1,010,003.03: the last whole number that is allowed is 1,010,003
        (1_010_003, "passed", "1,010,003 is 10,000 (+1.0 %) more than the baseline's 1,000,003; 1% more is allowed"),
        (
            1_010_004,
            "failed",
            "1,010,004 is 10,001 (+1.0 %) more than the baseline's 1,000,003: 1 beyond the allowed 1%; mostly a (+10,001)",
        ),
    ],
)
def test_a_relative_limit_is_the_last_whole_number_that_is_allowed(grown, outcome, reason):
    check = make_check("max_increase", "1%", against="baseline", origin="baseline")
    (verdict,) = judge([check], {"net": make_profile({"a": grown}, name="net")}, {"net": make_profile({"a": 1_000_003}, name="net")})
    assert (verdict.outcome, verdict.limit, verdict.deviation) == (outcome, 1_010_003, grown - 1_010_003)
    assert verdict.reason == reason


def test_a_decrease_is_limited_by_the_first_whole_number_that_is_allowed():
    # 1,003 - 1 % = 992.97: 993 is the smallest whole number that is allowed
    check = make_check("max_decrease", "1%", against="baseline", origin="baseline")
    found = [
        judge([check], {"net": make_profile({"a": size}, name="net")}, {"net": make_profile({"a": 1_003}, name="net")})[0]
        for size in (993, 992)
    ]
    assert [(verdict.outcome, verdict.limit) for verdict in found] == [("passed", 993), ("failed", 993)]


# --- assumptions


ASSUMED = "the numbers hold for these random weights"


def judge_assumed(metric, **options):
    profile = make_profile({"a": make_cost(10, 10)}, name="net", ledger=Ledger(assumptions=("x", ASSUMED), deciding=(ASSUMED,)))
    return judge([make_check(metric=metric)], {"net": profile}, {}, **options)[0]


def test_an_assumption_that_decides_a_figure_is_in_the_reason_and_strict_does_not_judge_it():
    assert judge_assumed("macs").reason.endswith(f"; this assumes: {ASSUMED}")
    assert judge_assumed("macs").assumptions == (ASSUMED,)
    assert judge_assumed("params").assumptions == ()
    strict = judge_assumed("macs", strict=True)
    assert (strict.outcome, strict.reason) == ("inconclusive", f"macs depends on an assumption, and the config is strict: {ASSUMED}")
    assert judge_assumed("params", strict=True).outcome == "passed"


# --- weights and memory that were not counted


def make_hidden(**flags):
    """A model of two parts: the first is as `flags` say (its parents too), the second is complete. 700 parameters in all."""
    parts = {"packed": make_module(make_cost(400, 4_000, moved_bytes=40), **flags), "plain": make_module(300)}
    profile = make_profile(parts, name="net", **flags)
    root = msgspec.structs.replace(profile.modules[0], **flags)
    return msgspec.structs.replace(profile, modules=(root, *profile.modules[1:]))


@pytest.mark.parametrize("metric", ["params", "param_bytes", "trainable_params", "active_params", "non_embedding_params"])
def test_a_limit_on_weights_that_were_not_all_counted_is_inconclusive(metric):
    (verdict,) = judge([make_check(metric=metric, expected="1G")], {"net": make_hidden(params_complete=False)}, {})
    assert (verdict.outcome, verdict.actual) == ("inconclusive", None)
    assert verdict.reason.startswith("the parameters of packed are incomplete: weights are packed in an object")


def test_a_part_whose_weights_were_all_counted_is_judged():
    profile = make_hidden(params_complete=False)
    verdicts = judge([make_check(scope=("plain",)), make_check(id="d", scope=("packed",))], {"net": profile}, {})
    assert [verdict.outcome for verdict in verdicts] == ["passed", "inconclusive"]


@pytest.mark.parametrize("metric", ["activation_bytes", "moved_bytes", "peak_activation_bytes", "saved_bytes"])
def test_a_limit_on_memory_that_was_not_all_seen_is_inconclusive(metric):
    (verdict,) = judge([make_check(metric=metric, expected="1G")], {"net": make_hidden(memory_complete=False)}, {})
    assert verdict.outcome == "inconclusive"
    assert verdict.reason.startswith("the memory of packed is incomplete: it runs operators that hide")


def test_a_profile_that_calls_its_flops_incomplete_is_not_judged_as_a_whole():
    profile = make_profile({"exotic": make_module(make_cost(5, 5), flops_complete=False)}, name="net")
    (verdict,) = judge([make_check(metric="macs", expected="1G")], {"net": profile}, {})
    assert verdict.outcome == "inconclusive"
