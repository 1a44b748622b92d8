"""What each metric needs, near paths, and patterns whose names hold special characters."""

from __future__ import annotations

import pytest
from factories import make_cost, make_module, make_profile
from msgspec import structs

from archaudit.errors import CannotJudge
from archaudit.metrics.catalog import METRICS, find_metric, is_fact, is_unknown, measure_scope
from archaudit.metrics.selection import find_nearest_paths, select_modules, select_named

INDEPENDENT = {"params", "trainable_params", "buffers", "param_bytes"} | {
    *("embedding_params", "non_embedding_params", "active_params", "adapter_params", "base_params", "logical_params"),
}


def test_what_depends_on_the_inputs_and_on_complete_flops() -> None:
    assert {name for name, metric in METRICS.items() if not metric.depends_on_inputs} == INDEPENDENT
    assert {name for name, metric in METRICS.items() if metric.needs_complete_flops} == {"flops", "macs"}
    assert {name for name, metric in METRICS.items() if metric.additive} == {name for name, metric in METRICS.items() if metric.of_cost}
    families = {name: find_metric(name) for name in ("modules", "layers", "children", "setting:p", "stride", "dense_ratio", "latency")}
    assert {name for name, metric in families.items() if metric is not None and metric.depends_on_inputs} == {"latency"}
    assert not any(metric is None or metric.additive or metric.needs_complete_flops for metric in families.values())


@pytest.mark.parametrize(
    ("name", "exists"),
    [
        ("modules", True), ("modules:Conv2d", True), ("modules:", False), ("layers:Conv2d", False), ("layers", True), ("setting", False),
        ("setting:", False), ("setting:p", True), ("latency:x", False), ("params", True), ("params:x", False), ("", False),
    ],
)  # fmt: skip
def test_the_word_after_a_colon(name: str, exists: bool) -> None:
    assert (find_metric(name) is not None) == exists


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("shape", True), ("shape:in", True), ("shape:", False), ("setting", False), ("setting:p", True), ("presence", True),
        ("presence:Conv2d", True), ("params", False), ("modules", False),
    ],
)  # fmt: skip
def test_facts(name: str, fact: bool) -> None:
    assert is_fact(name) == fact


def test_near_paths_share_two_fifths_of_their_letters() -> None:
    # two letters of five and five: 4/10; of five and six: 4/11
    assert find_nearest_paths(make_profile({"abyyy": 1}), "abxxx") == ["abyyy"]
    assert find_nearest_paths(make_profile({"abyyyy": 1}), "abxxx") == []
    # at most three, the nearest first; the root is none
    near = find_nearest_paths(make_profile(dict.fromkeys(["abcd", "abc", "abcdef", "abcde"], 1)), "abc")
    assert near == ["abc", "abcd", "abcde"]


@pytest.mark.parametrize(
    ("pattern", "below", "named"),
    [
        ("a", ["a", "a.b", "a.b.c"], ["a"]),
        ("a.*", ["a.b", "a.b.c"], ["a.b"]),
        ("*", ["a", "a.b", "a.b.c", "ax", "x+y", "x+y.z"], ["a", "ax", "x+y"]),
        ("a?", ["ax"], ["ax"]),
        ("?", ["a", "a.b", "a.b.c"], ["a"]),
        ("**.c", ["a.b.c"], ["a.b.c"]),
        ("**", ["a", "a.b", "a.b.c", "ax", "x+y", "x+y.z"], ["a", "a.b", "a.b.c", "ax", "x+y", "x+y.z"]),
        ("a.**.c", ["a.b.c"], ["a.b.c"]),
        ("x+y", ["x+y", "x+y.z"], ["x+y"]),
        ("A", [], []),
        ("", ["", "a", "a.b", "a.b.c", "ax", "x+y", "x+y.z"], [""]),
    ],
)
def test_what_a_pattern_matches(pattern: str, below: list[str], named: list[str]) -> None:
    profile = make_profile(dict.fromkeys(["a", "a.b", "a.b.c", "ax", "x+y", "x+y.z"], 1))
    assert [module.path for module in select_modules(profile, (pattern,))] == below
    assert [module.path for module in select_named(profile, (pattern,))] == named


def test_no_pattern_matches_nothing() -> None:
    profile = make_profile({"a": 1})
    assert select_modules(profile, ()) == select_named(profile, ()) == []


def test_a_measured_scope_says_how_many_modules_it_has() -> None:
    profile = make_profile({"a": make_cost(2, 5), "a.b": make_cost(3, 7), "c": 11})
    found = measure_scope(profile, METRICS["macs"], ("a", "a.b"))
    assert (found.value, found.modules, found.reason) == (12, 2, "")


def test_incomplete_flops_name_the_deepest_module_and_the_root_as_the_model() -> None:
    incomplete = {path: make_module(0, flops_complete=False) for path in ("", "a", "a.b")}
    assert "the FLOPs of a.b are incomplete" in measure_scope(make_profile(incomplete), METRICS["flops"]).reason
    assert "the FLOPs of a are incomplete" in measure_scope(make_profile(dict(list(incomplete.items())[:2])), METRICS["flops"]).reason
    alone = measure_scope(make_profile({"": incomplete[""], "x": 1}), METRICS["flops"])
    assert "the FLOPs of the model are incomplete" in alone.reason
    assert (alone.value, alone.modules) == (None, 2)
    # parameters are complete all the same
    assert measure_scope(make_profile(incomplete), METRICS["params"]).value == 0


def test_what_the_source_of_a_profile_does_not_know_is_unknown() -> None:
    plain = make_profile({"a": 1})
    stored = structs.replace(plain, unknown=("flops",))
    assert (is_unknown(plain, "flops"), is_unknown(stored, "flops"), is_unknown(stored, "params")) == (False, True, False)
    assert measure_scope(stored, METRICS["flops"]).value is None
    assert measure_scope(stored, METRICS["params"]).value == 1


def test_a_setting_with_many_values_names_five_of_them() -> None:
    profile = make_profile({f"layer{number}": make_module(1, settings={"width": number}) for number in range(1, 8)})
    metric = find_metric("setting:width")
    assert metric is not None
    assert metric.of_scope is not None
    with pytest.raises(CannotJudge, match=r"several values in '\*': 1, 2, 3, 4, 5$"):
        metric.of_scope(profile, ("*",))
