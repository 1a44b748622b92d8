"""Metrics over scopes: what a pattern covers, that nothing counts twice, and that what is not known has no value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archaudit.metrics.catalog import METRICS, measure_scope
from archaudit.metrics.selection import select_modules
from archaudit.schema import Cost, ModuleRecord, Peaks, Profile, sum_costs

# Each module's own params; powers of two, so that a sum tells what was covered.
OWN_PARAMS = {"": 1, "decoder": 2, "decoder.0": 4, "decoder.0.conv": 8, "decoder.1": 16, "decoder2": 32, "decoder2.conv": 64, "head": 128}


def make_profile(own_params: dict[str, int] | None = None, incomplete: tuple[str, ...] = ()) -> Profile:
    own = {path: Cost(params=params, macs=params, flops=2 * params) for path, params in (own_params or OWN_PARAMS).items()}
    modules = tuple(
        ModuleRecord(
            path=path,
            type="Toy",
            own=cost,
            total=sum_costs(other for name, other in own.items() if not path or name == path or name.startswith(path + ".")),
            flops_complete=path not in incomplete,
        )
        for path, cost in own.items()
    )
    return Profile(name="toy", reference="toy", totals=sum_costs(own.values()), modules=modules, flops_complete=not incomplete)


@pytest.mark.parametrize(
    ("scope", "paths"),
    [
        ("", list(OWN_PARAMS)),
        ("head", ["head"]),
        ("decoder", ["decoder", "decoder.0", "decoder.0.conv", "decoder.1"]),
        ("decoder.0", ["decoder.0", "decoder.0.conv"]),
        ("decoder.*", ["decoder.0", "decoder.0.conv", "decoder.1"]),
        ("decoder?", ["decoder2", "decoder2.conv"]),
        ("dec*.conv", ["decoder2.conv"]),
        ("dec**.conv", ["decoder.0.conv", "decoder2.conv"]),
        ("decoder.*.conv", ["decoder.0.conv"]),
        ("deco", []),
        ("ecoder", []),
        ("decoder.0.con", []),
        ("decoder+", []),
        ("decoder[2]", []),
    ],
)
def test_a_pattern_covers_what_it_names_and_all_below(scope: str, paths: list[str]) -> None:
    assert [module.path for module in select_modules(make_profile(), [scope])] == paths


def test_nested_and_repeated_patterns_count_once() -> None:
    once = measure_scope(make_profile(), METRICS["params"], "decoder")
    assert once.value == 2 + 4 + 8 + 16
    assert measure_scope(make_profile(), METRICS["params"], ["decoder", "decoder.0", "decoder.*", "decoder"]) == once


def test_several_patterns_add_up() -> None:
    assert measure_scope(make_profile(), METRICS["macs"], ["decoder.1", "head"]).value == 16 + 128
    assert measure_scope(make_profile(), METRICS["flops"], ["decoder.1", "head"]).value == 2 * (16 + 128)


def test_the_whole_model_is_its_totals() -> None:
    profile = make_profile()
    for name in ("params", "flops", "macs"):
        assert measure_scope(profile, METRICS[name]).value == getattr(profile.totals, name)


@given(st.sets(st.sampled_from(sorted(OWN_PARAMS)), min_size=1))
def test_the_value_of_a_scope_is_the_sum_of_own_costs_it_covers(scopes: set[str]) -> None:
    covered = {path for path in OWN_PARAMS for scope in scopes if not scope or path == scope or path.startswith(scope + ".")}
    measured = measure_scope(make_profile(), METRICS["params"], sorted(scopes))
    assert (measured.value, measured.modules) == (sum(OWN_PARAMS[path] for path in covered), len(covered))


def test_a_scope_that_covers_nothing_has_no_value() -> None:
    measured = measure_scope(make_profile(), METRICS["params"], ["classifer", "x.*"])
    assert measured.value is None
    assert measured.reason == "no module of toy matches 'classifer', 'x.*'"


@pytest.mark.parametrize("metric", ["flops", "macs"])
def test_incomplete_flops_are_unknown_and_name_the_deepest_module(metric: str) -> None:
    profile = make_profile(incomplete=("", "decoder", "decoder.0", "decoder.0.conv"))
    for scope in ("", "decoder"):
        measured = measure_scope(profile, METRICS[metric], scope)
        assert measured.value is None
        assert "decoder.0.conv" in measured.reason


def test_incomplete_flops_outside_of_the_scope_do_not_matter() -> None:
    profile = make_profile(incomplete=("", "decoder", "decoder.0", "decoder.0.conv"))
    assert measure_scope(profile, METRICS["macs"], "decoder.1").value == 16
    assert measure_scope(profile, METRICS["params"]).value == sum(OWN_PARAMS.values())


def test_a_peak_is_known_for_the_whole_model_only() -> None:
    profile = make_profile()
    metric = METRICS["peak_activation_bytes"]
    assert measure_scope(profile, metric).reason == "peak_activation_bytes was not measured"
    measured = Profile(name="toy", reference="toy", totals=profile.totals, modules=profile.modules, peaks=Peaks(activation_bytes=0))
    assert measure_scope(measured, metric).value == 0
    assert measure_scope(measured, metric, "decoder").value is None
    assert "whole model only" in measure_scope(measured, metric, "decoder").reason


def test_every_metric_has_one_getter() -> None:
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.additive == (metric.of_cost is not None)
        assert sum(getter is not None for getter in (metric.of_cost, metric.of_profile, metric.of_scope)) == 1
        assert measure_scope(make_profile(), metric).value is not None or not metric.additive
