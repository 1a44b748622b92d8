"""Readings that explain a false figure and do not excuse it: other counters, truncation, a part of the model. Worked out below."""

from __future__ import annotations

from typing import Any

import pytest
from factories import make_cost, make_module, make_profile, make_tensor

from archaudit.judge import judge
from archaudit.schema import Call, Check, CounterResult, CounterRow, Profile, Verdict

MAPS = (1, 8, 4, 4)  # 128 elements


def call(order: int, inputs: tuple[int, ...] = MAPS, outputs: tuple[int, ...] = MAPS) -> tuple[Call, ...]:
    return (Call(order=order, inputs=(inputs,), outputs=(outputs,)),)


def make_network(**fields: Any) -> Profile:
    """Parameters: 216 + 16 + 90 = 322. MACs: 216 at 16 places, and 80: 3,536."""
    convolution = {"in_channels": 3, "out_channels": 8, "kernel_size": [3, 3], "groups": 1, "bias": False}
    return make_profile(
        {
            "stem": make_module(
                make_cost(216, 3456),
                "Conv2d",
                settings=convolution,
                tensors=(make_tensor("weight", (8, 3, 3, 3)),),
                calls=call(0, (1, 3, 4, 4)),
            ),
            "norm": make_module(16, "BatchNorm2d", tensors=(make_tensor("weight", (8,)), make_tensor("bias", (8,))), calls=call(1)),
            "act": make_module(0, "ReLU", calls=call(2)),
            "pool": make_module(0, "AdaptiveAvgPool2d", calls=call(3, outputs=(1, 8, 1, 1))),
            "head": make_module(
                make_cost(90, 80),
                "Linear",
                settings={"in_features": 8, "out_features": 10},
                tensors=(make_tensor("weight", (10, 8)), make_tensor("bias", (10,))),
                calls=call(4, (1, 8), (1, 10)),
            ),
        },
        name="after",
        **fields,
    )


NETWORK = make_network(other_counters={"fvcore": CounterResult(totals=CounterRow(macs=3700))})


def judge_figure(figure: str, metric: str, comparison: str = "equals", profile: Profile = NETWORK, **fields: Any) -> Verdict:
    check = Check(id="c", origin="claim", model="after", metric=metric, comparison=comparison, expected=figure, **fields)
    return judge([check], {"after": profile}, {})[0]


@pytest.mark.parametrize(
    ("figure", "metric", "reading"),
    [
        ("232", "params", "without the classifier"),  # 322 - 90
        ("3,456", "macs", "without the classifier"),  # 3,536 - 80
        ("3,700", "macs", "as fvcore counts"),
        ("3,792", "macs", "with norms, as thop counts"),  # 2 x 128 for the norm
        # and 1 x 128 for the activation, 128 inputs of the pooling, 10 biases
        ("4,058", "macs", "with norms, activations, pooling and biases, as ptflops and mmcv count"),
        ("4,058", "flops", "MACs, called FLOPs; with norms, activations, pooling and biases, as ptflops and mmcv count"),
        ("3,792", "flops", "MACs, called FLOPs; with norms, as thop counts"),
        ("3.5K", "macs", None),  # rounded, true
        ("3.4K", "macs", "without the classifier; truncated, not rounded"),  # 3,456
        ("0.32K", "params", None),
        ("3,457", "macs", None),
    ],
)
def test_a_reading_explains_a_false_figure_which_stays_false(figure: str, metric: str, reading: str | None) -> None:
    verdict = judge_figure(figure, metric)
    assert verdict.reading == reading
    assert verdict.finding == ("true" if figure in ("3.5K", "0.32K") else "false")


def test_another_counter_is_tried_on_a_bound_and_a_part_of_the_model_is_not() -> None:
    fewer = make_network(other_counters={"fvcore": CounterResult(totals=CounterRow(macs=3400))})
    verdict = judge_figure("<3.5K", "macs", "below", fewer)
    assert verdict.reading == "as fvcore counts"
    assert judge_figure(">3.6K", "macs", "above").reason.endswith("; true as FLOPs, called MACs")
    assert judge_figure("<0.3K", "params", "below").reading is None


def test_bytes_of_a_part_follow_the_dtype_of_each_tensor() -> None:
    """100 weights of 2 bytes, which are trained, and 50 of 4 bytes, which are not: 400 bytes in all, 200 of them trainable."""
    half = make_module(
        make_cost(100, param_bytes=200), "Linear", tensors=(make_tensor("weight", (10, 10), dtype="bfloat16"),), calls=call(0, (1, 10))
    )
    whole = make_module(50, "Scale", tensors=(make_tensor("weight", (50,), trainable=False),), calls=call(1, (1, 50)))
    profile = make_profile({"half": half, "whole": whole}, name="after")
    assert profile.totals.param_bytes == 400
    assert judge_figure("200 bytes", "param_bytes", profile=profile).reading in (
        "trainable parameters only",
        "weights of convolutions and linear layers only, without norms and biases",
    )


@pytest.mark.parametrize(("figure", "finding"), [("2 billion", "true"), ("3 billion", "false"), ("2 billions", "true")])
def test_billions_are_thousands_of_millions(figure: str, finding: str) -> None:
    profile = make_profile({"a": make_cost(2_000_000_000)}, name="after")
    assert judge_figure(figure, "params", profile=profile).finding == finding
