from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from factories import draw_profiles, make_cost, make_input, make_module, make_profile
from hypothesis import given
from hypothesis import strategies as st

from archaudit.errors import ArchauditError, CannotJudge, SavedFileError
from archaudit.judge import COMPARISONS, Case, Finding, conclude, judge
from archaudit.metrics.catalog import METRICS
from archaudit.schema import (
    Check,
    MemoryPoint,
    Peaks,
    Profile,
    Training,
    TrainingCost,
    TrainingMemory,
    TrainingSettings,
    Verdict,
)

# Numbers of the document: a decoder convolution of 304*256*9 = 700,416 weights, and what took its place: 160*9 + 160*128 = 21,920.
BEFORE = make_profile({"decoder": 0, "decoder.0": make_cost(700_416, 11_475_615_744), "rest": 6_131_093}, name="before")
AFTER = make_profile({"stage": 0, "stage.dw": 1_440, "stage.pw": make_cost(20_480, 2_552_217_600), "rest": 2_494_933}, name="after")
PROFILES = {"before": BEFORE, "after": AFTER}


def judge_one(
    comparison: str,
    expected: str,
    profiles: Mapping[str, Profile] = PROFILES,
    baselines: Mapping[str, Profile | ArchauditError] | None = None,
    earlier: Mapping[str, Profile] | None = None,
    **fields: Any,
) -> Verdict:
    check = Check(
        **{"id": "c", "origin": "budget", "model": "after", "metric": "params", "comparison": comparison, "expected": expected} | fields
    )
    return judge([check], profiles, baselines or {}, earlier)[0]


def claim(comparison: str, expected: str, **fields: Any) -> Verdict:
    return judge_one(comparison, expected, origin="claim", **fields)


# --- limits


def test_a_budget_that_holds_says_by_how_much() -> None:
    verdict = judge_one("max", "3M")
    assert (verdict.outcome, verdict.finding) == ("passed", None)
    assert (verdict.actual, verdict.limit, verdict.deviation) == (2_516_853, 3_000_000, -483_147)
    assert verdict.reason == "2,516,853 is 483,147 under the limit of 3M"
    assert (verdict.id, verdict.model, verdict.scope, verdict.expected, verdict.contributors) == ("c", "after", "", "3M", ())


def test_an_exceeded_budget_names_the_modules_that_grew_most_first() -> None:
    # rest shrank by half, head grew by 400, stem is new with 700: 1,000 + 1,100 - 500 = 1,600.
    before = make_profile({"rest": 900, "head": 100}, name="before")
    after = make_profile({"stem": 700, "rest": 400, "head": 500}, name="after")
    verdict = judge_one("max", "1K", {"after": after}, earlier={"after": before})
    assert (verdict.outcome, verdict.deviation) == ("failed", 600)
    assert verdict.reason == "1K budget exceeded by 600 (+60.0 %): 1,600; mostly stem (+700), head (+400)"
    assert [(module.path, module.delta) for module in verdict.contributors] == [("stem", 700), ("head", 400)]


def test_without_another_model_an_exceeded_budget_names_the_largest_modules_of_its_scope() -> None:
    profile = make_profile({"": 1, "a": 0} | {f"a.{number}": number for number in range(8)}, name="after")
    verdict = judge_one("max", "10", {"after": profile}, scope=("a",))
    assert verdict.reason == "10 budget exceeded by 18 (+180.0 %): 28; largest: a.7 (7), a.6 (6), a.5 (5)"
    assert [module.path for module in verdict.contributors] == ["a.7", "a.6", "a.5", "a.4", "a.3"]


def test_a_budget_exceeded_already_before_names_the_largest_since_nothing_grew() -> None:
    verdict = judge_one("max", "1M", earlier={"after": AFTER})
    assert (
        verdict.reason
        == "1M budget exceeded by 1,516,853 (+151.7 %): 2,516,853; largest: rest (2,494,933), stage.pw (20,480), stage.dw (1,440)"
    )


@pytest.mark.parametrize(
    ("comparison", "at", "under", "over"),
    [
        ("max", "passed", "passed", "failed"),
        ("below", "failed", "passed", "failed"),
        ("min", "passed", "failed", "passed"),
        ("above", "failed", "failed", "passed"),
    ],
)
def test_limits_at_their_boundary(comparison: str, at: str, under: str, over: str) -> None:
    for params, outcome in ((100, at), (99, under), (101, over)):
        assert judge_one(comparison, "100", {"after": make_profile({"a": params})}).outcome == outcome


def test_reasons_at_and_below_a_limit() -> None:
    profiles = {"after": make_profile({"a": 100})}
    assert judge_one("max", "100", profiles).reason == "100 is exactly the limit of 100"
    assert judge_one("below", "<100", profiles).reason.startswith("100 is exactly the limit of 100, and must be below it")
    assert judge_one("above", "100", profiles).reason == "100 is exactly the minimum of 100, and must be above it"
    assert judge_one("min", "90", profiles).reason == "100 is 10 over the minimum of 90"
    assert judge_one("min", "0.2K", profiles).reason == "0.2K minimum missed by 100 (-50.0 %): 100"
    assert judge_one("max", "0", profiles).reason == "0 budget exceeded by 100: 100; largest: a (100)"


def test_a_missed_minimum_names_modules_that_shrank_or_are_gone() -> None:
    before = make_profile({"gone": 50, "kept": 30, "grown": 1})
    after = make_profile({"kept": 10, "grown": 9})
    verdict = judge_one("min", "60", {"after": after}, earlier={"after": before})
    assert [(module.path, module.delta) for module in verdict.contributors] == [("gone", -50), ("kept", -20)]
    assert verdict.reason.endswith("; mostly gone (-50), kept (-20)")


def test_numbers_that_would_look_equal_are_shown_exactly() -> None:
    memory = {"after": make_profile({"a": make_cost(activation_bytes=1_801)})}
    reason = judge_one("max", "1.8 KB", memory, metric="activation_bytes").reason
    assert reason.startswith("1,800 bytes budget exceeded by 1 byte (+0.1 %): 1,801 bytes")
    compute = {"after": make_profile({"a": make_cost(macs=2_600_000_001)})}
    reason = judge_one("max", "2.6 GMACs", compute, metric="macs").reason
    assert reason.startswith("2.6 GMACs budget exceeded by 1 (+<0.1 %): 2,600,000,001 MACs")


def test_large_numbers_are_short_if_they_still_differ() -> None:
    assert judge_one("max", "2.6 GMACs", metric="macs").reason == "2.55G MACs is 47.8M under the limit of 2.6 GMACs"
    memory = {"after": make_profile({"a": make_cost(activation_bytes=5 * 2**20)})}
    assert judge_one("max", "8MiB", memory, metric="activation_bytes").reason == "5.00 MiB is 3.00 MiB under the limit of 8.00 MiB"


def test_flops_are_twice_the_macs() -> None:
    assert judge_one("equals", "5,104,435,200", metric="flops").outcome == "passed"


def test_a_scope_is_counted_without_its_siblings() -> None:
    verdict = judge_one("max", "25K", scope=("stage.dw", "stage.pw"))
    assert (verdict.actual, verdict.scope, verdict.outcome) == (21_920, "stage.dw + stage.pw", "passed")


# --- changes


def test_increase_over_a_baseline_in_percent_is_exact_at_its_boundary() -> None:
    baselines = {"after": make_profile({"a": 1_000})}
    outcomes = [
        judge_one("max_increase", "0.3%", {"after": make_profile({"a": params})}, baselines, against="baseline").outcome
        for params in (900, 1_003, 1_004)
    ]
    assert outcomes == ["passed", "passed", "failed"]


def test_a_regression_says_how_much_and_where() -> None:
    baseline = make_profile({"a": 1_000, "b": 500})
    profiles = {"after": make_profile({"a": 1_000, "b": 530})}
    verdict = judge_one("max_increase", "1%", profiles, {"after": baseline}, against="baseline", origin="baseline")
    assert (verdict.outcome, verdict.actual, verdict.limit, verdict.deviation) == ("failed", 1_530, 1_515, 15)
    assert verdict.reason == "1,530 is 30 (+2.0 %) more than the baseline's 1,500: 15 beyond the allowed 1%; mostly b (+30)"


def test_increase_in_numbers_against_another_model() -> None:
    verdict = judge_one("max_increase", "0", against="before")
    assert (verdict.outcome, verdict.limit) == ("passed", 6_831_509)
    assert verdict.reason == "2,516,853 is 4,314,656 (-63.2 %) less than before's 6,831,509; 0 more is allowed"
    verdict = judge_one(
        "max_increase", "1K", {"after": make_profile({"a": 5_000})}, {"after": make_profile({"a": 4_000})}, against="baseline"
    )
    assert (verdict.outcome, verdict.deviation) == ("passed", 0)
    same = judge_one("max_increase", "0", {"after": AFTER}, {"after": AFTER}, against="baseline")
    assert (same.outcome, same.reason) == ("passed", "2,516,853, the same as the baseline; 0 more is allowed")


def test_a_decrease_names_what_shrank() -> None:
    baseline, profile = make_profile({"a": 100, "b": 100}), make_profile({"a": 100, "b": 85})
    verdict = judge_one("max_decrease", "5%", {"after": profile}, {"after": baseline}, against="baseline")
    assert (verdict.outcome, verdict.limit, verdict.deviation) == ("failed", 190, -5)
    assert verdict.reason == "185 is 15 (-7.5 %) less than the baseline's 200: 5 beyond the allowed 5%; mostly b (-15)"
    assert judge_one("max_decrease", "7.5%", {"after": profile}, {"after": baseline}, against="baseline").outcome == "passed"


def test_another_scope_on_the_other_side() -> None:
    verdict = judge_one("max_increase", "0", scope=("stage",), against="before", against_scope=("decoder",))
    assert (verdict.actual, verdict.limit, verdict.outcome) == (21_920, 700_416, "passed")


# --- claims


def test_a_claim_is_true_if_the_measured_number_rounds_to_it() -> None:
    verdict = claim("equals", "~21K", scope=("stage",))
    assert (verdict.finding, verdict.outcome, verdict.reason) == ("true", "passed", "true: document says ~21K, measured 21,920")
    assert claim("equals", "2.52M").outcome == "passed"
    assert claim("equals", "2.51M").outcome == "failed"


def test_a_false_claim_fails_unless_it_is_marked_so() -> None:
    fields: dict[str, Any] = {"model": "before", "scope": ("decoder.0",), "source": "notes.md:146", "group": "decoder stage 1"}
    verdict = claim("equals", "884,736", **fields)
    assert (verdict.finding, verdict.outcome, verdict.deviation) == ("false", "failed", -184_320)
    assert verdict.reason == "false: document says 884,736, measured 700,416 (20.8 % less)"
    marked = claim("equals", "884,736", expect_outcome="failed", why="304 inputs, not 384", **fields)
    assert (marked.finding, marked.outcome, marked.deviation) == ("false", "passed", -184_320)
    assert marked.reason == "false, as expected: document says 884,736, measured 700,416 (20.8 % less); 304 inputs, not 384"
    assert (marked.source, marked.group, marked.why) == ("notes.md:146", "decoder stage 1", "304 inputs, not 384")


def test_a_claim_marked_false_that_became_true_fails() -> None:
    verdict = claim("equals", "700,416", model="before", scope=("decoder",), expect_outcome="failed", why="once")
    assert (verdict.finding, verdict.outcome) == ("true", "failed")
    assert verdict.reason == "marked as false but is now true: remove `expect`. Document says 700,416, measured 700,416"


@pytest.mark.parametrize("expect", ["passed", "failed"])
def test_a_claim_about_a_missing_module_is_unbound(expect: str) -> None:
    verdict = claim("equals", "5", scope=("stag",), expect_outcome=expect)
    assert (verdict.finding, verdict.outcome, verdict.actual) == ("unbound", "inconclusive", None)
    assert verdict.reason == "no module of after matches 'stag'; the nearest are stage, stage.pw, stage.dw"


@pytest.mark.parametrize(
    ("comparison", "expected", "finding", "actual", "measured"),
    [
        ("ratio", "32x", "true", 700_416 / 21_920, "31.953x (700,416 / 21,920)"),
        ("ratio", "42×", "false", 700_416 / 21_920, "31.953x (700,416 / 21,920)"),
        ("percent", "97 %", "true", 100 * 678_496 / 700_416, "96.870 % (700,416 → 21,920)"),
        ("percent", "96 %", "false", 100 * 678_496 / 700_416, "96.870 % (700,416 → 21,920)"),
        ("difference", "~680K", "true", 678_496, "678,496 (700,416 − 21,920)"),
    ],
)
def test_claims_about_two_models(comparison: str, expected: str, finding: str, actual: float, measured: str) -> None:
    verdict = claim(comparison, expected, scope=("stage",), against="before", against_scope=("decoder",))
    assert (verdict.finding, verdict.actual) == (finding, actual)
    off = {"42×": " (23.9 % less)", "96 %": " (0.9 % more)"}.get(expected, "")  # 31.953 / 42 is 0.761, 96.870 / 96 is 1.009
    assert verdict.reason == f"{finding}: document says {expected}, measured {measured}{off}"


def test_the_total_of_the_document() -> None:
    assert claim("percent", "63%", against="before").finding == "true"
    assert claim("below", "<3M").finding == "true"
    assert claim("equals", "6.83M", model="before").finding == "true"


def test_a_share_never_looks_whole_unless_it_is() -> None:
    profiles = {"before": make_profile({"a": 10**7}, name="before"), "after": make_profile({"a": 1}, name="after")}
    assert "measured 99.99999 % (" in claim("percent", "100%", profiles=profiles, against="before").reason
    assert "measured 10,000,000x (" in claim("ratio", "2x", profiles=profiles, against="before").reason


def test_a_ratio_may_have_a_bound() -> None:
    fields: dict[str, Any] = {"scope": ("stage",), "against": "before", "against_scope": ("decoder",)}
    assert [claim("ratio", figure, **fields).finding for figure in (">30x", ">=40x", "<32x", "<=31x")] == ["true", "false", "true", "false"]


# --- what cannot be judged


def assert_inconclusive(verdict: Verdict, reason: str) -> None:
    assert (verdict.outcome, verdict.reason, verdict.actual, verdict.deviation) == ("inconclusive", reason, None, None)


def test_a_model_that_was_not_measured() -> None:
    assert_inconclusive(judge_one("max", "1", model="ater"), "no model 'ater' was measured; measured were: after, before")
    assert_inconclusive(judge_one("ratio", "1x", against="old"), "no model 'old' was measured; measured were: after, before")
    assert_inconclusive(judge_one("max", "1", {}, model=""), "no model '' was measured; measured were: none")


def test_a_baseline_that_is_missing_or_cannot_be_read() -> None:
    reason = "after has no baseline yet: `archaudit baseline after` writes it"
    assert_inconclusive(judge_one("max_increase", "0", against="baseline"), reason)
    assert_inconclusive(judge_one("max_increase", "0", {"": AFTER}, against="baseline", model=""), reason)
    broken = {"after": SavedFileError("baselines/after.json is no saved profile", "Write it again")}
    assert_inconclusive(
        judge_one("max_increase", "0", baselines=broken, against="baseline"), "baselines/after.json is no saved profile. Write it again"
    )


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_metrics_that_depend_on_inputs_are_not_compared_with_a_baseline_of_another_input(metric: str) -> None:
    ids = make_input(2, 7, dtype="int64", name="ids")
    step = TrainingCost(forward_flops=1)
    peak = MemoryPoint(step=0, phase="forward", operator="aten::mm", module="a", bytes={"activations": 512})
    training = Training(settings=TrainingSettings(), loss="the sum", totals=step, modules={"a": step}, memory=TrainingMemory(peak=peak))
    measured: dict[str, Any] = {
        "peaks": Peaks(activation_bytes=1, saved_bytes=1),
        "dead_flops": {},
        "summed_products": {},
        "training": training,
    }
    profile = make_profile({"a": 1}, inputs=(make_input(1, 3, 8, 8), ids), **measured)
    renamed = make_profile({"a": 1}, inputs=(make_input(1, 3, 8, 8, name="x"), ids), **measured)
    other = make_profile({"a": 1}, inputs=(make_input(1, 3, 9, 9), ids), **measured)
    check: dict[str, Any] = {
        "comparison": "max_increase",
        "expected": "0",
        "profiles": {"after": profile},
        "against": "baseline",
        "metric": metric,
    }
    assert judge_one(**check, baselines={"after": renamed}).outcome == "passed"
    verdict = judge_one(**check, baselines={"after": other})
    constructed = {"params", "buffers", "param_bytes"} | {name for name in METRICS if name.endswith("_params")} - {"unused_params"}
    if metric in constructed:
        assert verdict.outcome == "passed"
    else:
        assert_inconclusive(verdict, "the baseline was measured with input 1x3x9x9, int64[2x7], this is 1x3x8x8, int64[2x7]")


def test_incomplete_flops_are_never_judged() -> None:
    profile = make_profile({"a": make_module(1, flops_complete=False), "b": make_cost(1, 5)}, name="after")
    profiles = {"after": profile, "before": BEFORE}
    reason = "the FLOPs of a are incomplete: an operator in it is unknown"
    assert_inconclusive(judge_one("max", "1G", profiles, metric="macs"), reason)
    assert_inconclusive(judge_one("ratio", "1x", profiles, model="before", against="after", metric="flops"), reason)
    assert_inconclusive(
        judge_one("max_increase", "0", PROFILES, {"after": profile}, metric="macs", against="baseline"), f"the baseline: {reason}"
    )
    assert judge_one("max", "5", profiles, metric="macs", scope=("b",)).outcome == "passed"
    assert judge_one("max", "2", profiles).outcome == "passed"


def test_a_pattern_that_matches_nothing_does_not_hide_behind_one_that_does() -> None:
    assert_inconclusive(judge_one("max", "3M", scope=("stage", "%%")), "no module of after matches '%%'")
    verdict = judge_one("max_increase", "0", against="before", scope=("stage",))
    assert verdict.outcome == "inconclusive"
    assert verdict.reason.startswith("no module of before matches 'stage'")


def test_a_scope_of_no_patterns_is_not_green() -> None:
    assert judge_one("max", "3M", scope=()).outcome == "inconclusive"


def test_peaks() -> None:
    measured = {"after": make_profile({"a": 1}, peaks=Peaks(saved_bytes=2_048))}
    assert judge_one("max", "1 KiB", measured, metric="saved_bytes").reason == "1.00 KiB budget exceeded by 1.00 KiB (+100 %): 2.00 KiB"
    assert_inconclusive(judge_one("max", "1", measured, metric="peak_activation_bytes"), "peak_activation_bytes was not measured")
    reason = "saved_bytes is not additive: it is known for the whole model only"
    assert_inconclusive(judge_one("max", "1", measured, metric="saved_bytes", scope=("a",)), reason)


def test_ratio_and_percent_of_nothing() -> None:
    empty = {"after": make_profile({}), "before": make_profile({}, name="before")}
    assert_inconclusive(judge_one("ratio", "1x", empty, against="before"), "there is no ratio: before has 0 params, the model 0")
    assert_inconclusive(judge_one("percent", "1%", empty, against="before"), "there is no percentage: before has 0 params")


@pytest.mark.parametrize(
    ("comparison", "expected", "fields", "reason"),
    [
        ("max", "3 GMACs", {}, "'3 GMACs' is in macs: max of params needs params"),
        ("max", "3 GMACs", {"metric": "flops"}, "'3 GMACs' is in macs: max of flops needs flops"),
        ("max", "5 bytes", {"metric": "buffers"}, "'5 bytes' is in bytes: max of buffers needs a figure without a unit"),
        ("max_increase", "2x", {"against": "before"}, "'2x' is in x: max_increase of params needs params or %"),
        ("ratio", "2%", {"against": "before"}, "'2%' is in %: ratio of params needs x"),
        ("percent", "2x", {"against": "before"}, "'2x' is in x: percent of params needs %"),
        ("equals", "63%", {}, "'63%' is in %: equals of params needs params"),
        ("max", ">3M", {}, "'>3M' contradicts max, which is <="),
        ("max_increase", "<3M", {"against": "before"}, "'<3M' is not a limit: write the number without <"),
        ("ratio", "2x", {}, "ratio needs a second model: name a model or `baseline` in `against`"),
        ("max", "3M", {"metric": "parms"}, "there is no metric 'parms'"),
        ("most", "3M", {}, "there is no comparison 'most'"),
    ],
)
def test_a_check_that_makes_no_sense_is_inconclusive(comparison: str, expected: str, fields: dict[str, Any], reason: str) -> None:
    assert_inconclusive(judge_one(comparison, expected, **fields), reason)


def test_a_figure_that_is_no_number_is_inconclusive() -> None:
    assert judge_one("max", "many").reason.startswith("'many' is not a number")


def test_a_limit_with_a_last_day_is_not_judged_without_a_date() -> None:
    check = Check(id="c", origin="budget", model="after", metric="params", comparison="max", expected="3M", until="2030-01-01", why="so")
    outcomes = [judge([check], PROFILES, {}, today=today)[0].outcome for today in (None, "2030-01-01", "2030-01-02")]
    assert outcomes == ["inconclusive", "passed", "failed"]


# --- defects


@pytest.mark.parametrize("origin", ["budget", "claim"])
def test_a_defect_in_a_comparison_propagates_and_is_no_verdict(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    def broken(case: Case) -> Finding:
        list(zip([1], [1, 2], strict=True))  # a programming error: a ValueError
        raise AssertionError

    monkeypatch.setitem(COMPARISONS, "max", broken)
    with pytest.raises(ValueError, match="zip"):
        judge_one("max", "5", origin=origin)


def test_a_defect_under_another_convention_propagates(monkeypatch: pytest.MonkeyPatch) -> None:
    equals = COMPARISONS["equals"]

    def broken(case: Case) -> Finding:
        if case.actual != 5_104_435_200:  # only the recount under another convention: half of it, as MACs
            raise ValueError("a defect")
        return equals(case)

    monkeypatch.setitem(COMPARISONS, "equals", broken)
    with pytest.raises(ValueError, match="a defect"):
        judge_one("equals", "5", origin="claim", metric="flops")


def test_cannot_judge_makes_only_its_own_check_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(case: Case) -> Finding:
        raise CannotJudge("there is a reason")

    monkeypatch.setitem(COMPARISONS, "min", refuse)
    checks = [
        Check(id=comparison, origin="budget", model="after", metric="params", comparison=comparison, expected="3M")
        for comparison in ("min", "max")
    ]
    verdicts = judge(checks, PROFILES, {})
    assert [(verdict.outcome, verdict.reason) for verdict in verdicts] == [
        ("inconclusive", "there is a reason"),
        ("passed", "2,516,853 is 483,147 under the limit of 3M"),
    ]


# --- all together


def verdict_of(outcome: str) -> Verdict:
    return msgspec.structs.replace(judge_one("max", "3M"), outcome=outcome)


@pytest.mark.parametrize(
    ("outcomes", "outcome"),
    [
        ([], "inconclusive"),
        (["passed"], "passed"),
        (["passed", "inconclusive"], "inconclusive"),
        (["inconclusive", "failed", "passed"], "failed"),
    ],
)
def test_the_outcome_of_all_is_green_only_when_all_are(outcomes: list[str], outcome: str) -> None:
    assert conclude(map(verdict_of, outcomes)) == outcome


@given(
    st.sampled_from(sorted(COMPARISONS)),
    st.sampled_from(["0", "3", "10", "1K", "5%", "2x", "<7", "~20", "3 GMACs", "?"]),
    st.sampled_from(sorted(METRICS)),
    st.sampled_from([("",), ("a",), ("**.b", "0"), ("",)]),
    draw_profiles(),
    draw_profiles(),
)
def test_every_check_has_a_verdict_with_a_reason_and_contributors_in_order(
    comparison: str, expected: str, metric: str, scope: tuple[str, ...], before: Profile, after: Profile
) -> None:
    verdict = judge_one(
        comparison, expected, {"after": after, "before": before}, earlier={"after": before}, metric=metric, scope=scope, against="before"
    )
    assert verdict.reason
    assert (verdict.actual is None) == (verdict.outcome == "inconclusive")
    assert (verdict.outcome == "failed") or not verdict.contributors
    sizes = [abs(module.delta) for module in verdict.contributors]
    assert sizes == sorted(sizes, reverse=True)
    assert 0 not in sizes
    if verdict.actual is not None and verdict.limit is not None:
        assert verdict.deviation == verdict.actual - verdict.limit


def test_memory_is_not_compared_with_a_baseline_for_another_device() -> None:
    peaks = Peaks(activation_bytes=1, saved_bytes=1)
    profile = make_profile({"a": make_cost(5, moved_bytes=3)}, peaks=peaks, device="cuda")
    baseline = make_profile({"a": make_cost(5, moved_bytes=3)}, peaks=peaks, device="cpu")
    reason = "the memory of the baseline is that of cpu, this is that of cuda: use --device cpu"
    for metric in ("moved_bytes", "peak_activation_bytes", "saved_bytes"):
        verdict = judge_one("max_increase", "0", {"after": profile}, metric=metric, baselines={"after": baseline}, against="baseline")
        assert_inconclusive(verdict, reason)
    verdict = judge_one("max_increase", "0", {"after": profile}, metric="params", baselines={"after": baseline}, against="baseline")
    assert verdict.outcome == "passed"


def test_a_percentage_in_the_other_direction_is_named() -> None:
    profiles = {"before": make_profile({"a": 100}, name="before"), "after": make_profile({"a": 219}, name="after")}  # 119 % more
    verdict = claim("percent", "119 %", profiles=profiles, against="before")
    assert (verdict.finding, verdict.reading) == ("other reading", "in the other direction: an increase, not a decrease")
    assert verdict.reason.endswith("an increase, not a decrease (119.000 % (100 → 219))")
