"""Budgets on formulas: limits at sizes that were not measured, and limits on growth."""

import pytest

from archaudit.errors import MeasureError
from archaudit.judge.scaling import judge_formulas
from archaudit.schema import Check, Law, ModuleLaws, ScalingLaws, SizeVariable

LAWS = ScalingLaws(
    name="net",
    reference="net.py:Net",
    variables=(
        SizeVariable(name="B", meaning="batch", base=1, low=1, high=8),
        SizeVariable(name="T", meaning="length", base=128, low=16, high=1024, step=16),
    ),
    laws={"macs": Law(expression="4*B*T**2 + 12*B*T"), "saved_bytes": Law(reason="it raised")},
    modules=(
        ModuleLaws(path="", type="Net", laws={"macs": Law(expression="4*B*T**2 + 12*B*T")}),
        ModuleLaws(path="attention", type="Attention", laws={"macs": Law(expression="4*B*T**2 + 8*B*T")}),
        ModuleLaws(path="attention.q", type="Linear", laws={"macs": Law(expression="8*B*T")}),
        ModuleLaws(path="head", type="Linear", laws={"macs": Law(expression="4*B*T")}),
    ),
)


def judge(laws=LAWS, **fields):
    """The verdict on one check of the model."""
    given = {"id": "x", "origin": "budget", "model": "net", "metric": "macs", "comparison": "max", "expected": "1M"} | fields
    (verdict,) = judge_formulas([Check(**given)], {"net": laws})
    return verdict


def test_a_limit_holds_at_sizes_that_were_not_measured():
    # 4 * 64 * 64 + 12 * 64
    verdict = judge(at="T=64", expected="17152")
    assert (verdict.outcome, verdict.actual, verdict.deviation) == ("passed", 17_152, 0)
    assert judge(at="B=2,T=64", expected="17152").outcome == "failed"
    assert judge(at="T=64", comparison="min", expected="20K").outcome == "failed"


def test_sizes_beyond_the_range_are_judged_and_said_to_be():
    verdict = judge(at="T=8192", expected="1G")
    assert verdict.actual == 4 * 8192**2 + 12 * 8192
    assert verdict.reason == "268,533,760 at T=8192 is 731,466,240 under the limit of 1G, by a formula that was checked up to T=1,024"


def test_growth_fails_with_the_terms_that_grow_too_fast():
    verdict = judge(comparison="growth", expected="<= T")
    assert verdict.outcome == "failed"
    assert verdict.reason == "it grows with the power 2 of T: 4*B*T**2"
    assert judge(comparison="growth", expected="<= T²").outcome == "passed"
    assert judge(comparison="growth", expected="<= B").outcome == "passed"


def test_a_scope_counts_each_module_once():
    # attention with the q in it, and the head: 4 T^2 + 8 T + 4 T
    verdict = judge(at="T=16", scope=("attention**", "head"), expected="1M")
    assert verdict.actual == 4 * 256 + 12 * 16
    assert judge(at="T=16", scope=("head",), metric="flops", expected="1M").actual == 2 * 4 * 16
    assert judge(comparison="growth", expected="<= T", scope=("head",)).outcome == "passed"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"at": "H=3"}, "no size 'H'"),
        ({"at": "T=17"}, "does not accept T=17"),
        ({"comparison": "growth", "expected": "<= H"}, "H does not vary"),
        ({"at": "T=16", "metric": "saved_bytes"}, "it raised"),
        ({"at": "T=16", "scope": ("tail",)}, "no module of net matches 'tail'"),
        ({"at": "T=16", "scope": ("head",), "metric": "saved_bytes"}, "whole model only"),
        ({"at": "T=16", "until": "2026-01-01"}, "cannot have"),
        ({"at": "T=16", "laws": MeasureError("it only runs with values")}, "only runs with values"),
    ],
)
def test_nothing_passes_without_a_formula(fields, reason):
    verdict = judge(**fields)
    assert verdict.outcome == "inconclusive"
    assert reason in verdict.reason


def test_formulas_that_did_not_hold_judge_nothing():
    from msgspec.structs import replace

    assert judge(replace(LAWS, wrong=("macs at T=3",)), at="T=16").outcome == "inconclusive"
