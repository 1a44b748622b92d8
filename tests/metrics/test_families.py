"""Families of metrics: numbers about the modules that a pattern matches, on a small model whose answers are in the table."""

from __future__ import annotations

import pytest
from factories import make_input, make_module, make_profile, make_tensor

from archaudit.errors import CannotJudge
from archaudit.metrics.catalog import METRICS, find_metric, is_fact, read_setting
from archaudit.metrics.selection import select_named
from archaudit.schema import Call, Latency, Profile


def call(*outputs: tuple[int, ...]) -> tuple[Call, ...]:
    return (Call(order=0, inputs=((1, 3, 32, 32),), outputs=outputs),)


CONV = {"in_channels": 8, "out_channels": 4, "kernel_size": [3, 3], "bias": False}
PROFILE = make_profile(
    {
        "body": make_module(0, "Body", calls=call((1, 8, 8, 8))),
        "body.0": make_module(
            72, "Conv2d", settings=CONV | {"out_channels": 8, "groups": 8}, tensors=(make_tensor("weight", (8, 1, 3, 3)),)
        ),  # depthwise: 8 x 9
        "body.1": make_module(
            32, "Conv2d", settings=CONV | {"kernel_size": [1, 1]}, tensors=(make_tensor("weight", (4, 8, 1, 1)),)
        ),  # pointwise: 8 x 4
        "body.2": make_module(0, "ReLU"),
        "head": make_module(0, "Linear", settings={"bias": True, "dtype": "x"}, calls=call((1, 10), (1, 2, 4, 4))),
    },
    name="toy",
    inputs=(make_input(1, 3, 32, 32),),
    latency=Latency(device="cpu", method="", samples_s=(0.003, 0.001, 0.002), modules_s={"body": (0.001, 0.0015)}),
)


def ask(name: str, *patterns: str, profile: Profile = PROFILE) -> float:
    metric = find_metric(name)
    assert metric is not None
    assert metric.of_scope is not None
    return metric.of_scope(profile, patterns or ("",))


@pytest.mark.parametrize(
    ("name", "patterns", "value"),
    [
        ("modules", (), 6),
        ("modules:Conv2d", (), 2),
        ("modules:Conv2d", ("head",), 0),
        ("layers", (), 4),
        ("layers", ("body",), 3),
        ("children", (), 2),
        ("children", ("body", "head"), 3),
        ("setting:out_channels", ("body.1",), 4),
        ("setting:in_channels", ("body",), 8),
        ("setting:kernel_size", ("body.0",), 3),
        ("stride", ("body",), 4),
        ("stride", ("head",), 8),
        ("dense_ratio", ("body",), 8 * 4 * 9 / 104),
        ("latency", (), 2),
        ("latency", ("body",), 1.25),
    ],
)
def test_a_number_about_the_modules_named(name: str, patterns: tuple[str, ...], value: float) -> None:
    assert ask(name, *patterns) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "patterns", "reason"),
    [
        ("setting:out_channels", ("body",), "out_channels has several values in 'body': 8, 4"),
        ("setting:p", ("body",), "no module of toy in 'body' has a setting 'p'"),
        ("setting:dtype", ("head",), "the setting 'dtype' is x, which is not a number"),
        ("setting:bias", ("head",), "the setting 'bias' is True, which is not a number"),
        ("stride", ("body.0",), "'body.0' has no single stride"),
        ("dense_ratio", ("head",), "there are no convolutions in 'head'"),
        ("latency", ("head",), "'head' is not one module whose latency was measured"),
        ("latency", ("body", "head"), "'body' + 'head' is not one module whose latency was measured"),
    ],
)
def test_a_number_that_does_not_exist_has_a_reason(name: str, patterns: tuple[str, ...], reason: str) -> None:
    with pytest.raises(CannotJudge, match=r".") as caught:
        ask(name, *patterns)
    assert str(caught.value).startswith(reason)


def test_a_latency_that_was_not_measured() -> None:
    with pytest.raises(CannotJudge, match="the latency of model was not measured"):
        ask("latency", profile=make_profile({"a": 1}))


@pytest.mark.parametrize("name", ["children:a", "setting", "setting:", "modules:", "latency:cpu", "shape", "presence", "parms", ""])
def test_what_is_no_metric(name: str) -> None:
    assert find_metric(name) is None


def test_what_is_a_fact_and_what_is_a_metric() -> None:
    assert [is_fact(name) for name in ("shape", "shape:in", "setting:p", "presence", "presence:Conv2d")] == [True] * 5
    assert [is_fact(name) for name in ("setting", "shape:", "params", "children")] == [False] * 4
    assert all(find_metric(name) is metric for name, metric in METRICS.items())


def test_matched_modules_come_without_the_modules_below_them() -> None:
    assert [module.path for module in select_named(PROFILE, ("", "body", "body.*"))] == ["", "body", "body.0", "body.1", "body.2"]
    assert read_setting(PROFILE, ("body.0",), "kernel_size") == [3, 3]
