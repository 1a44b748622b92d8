"""Other conventions, expectations and hints, on small models whose numbers are worked out in comments."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from factories import make_cost, make_input, make_module, make_profile, make_tensor

from archaudit.judge import conclude, judge
from archaudit.schema import Call, Check, FlowNode, Profile, Verdict


def conv(inputs: int, outputs: int, kernel: int, *, bias: bool = False, **fields: Any) -> Any:
    """A dense convolution: inputs x outputs x kernel² weights, and a bias for each output."""
    tensors = [make_tensor("weight", (outputs, inputs, kernel, kernel))] + [make_tensor("bias", (outputs,))] * bias
    settings = {"in_channels": inputs, "out_channels": outputs, "kernel_size": [kernel, kernel], "groups": 1, "bias": bias}
    return make_module(outputs * (inputs * kernel**2 + bias), "Conv2d", settings=settings, tensors=tuple(tensors), **fields)


def norm(size: int, source: str) -> Any:
    call = Call(order=1, inputs=((1, size, 4, 4),), outputs=((1, size, 4, 4),), inputs_from=(source,))
    return make_module(2 * size, "BatchNorm2d", tensors=(make_tensor("weight", (size,)), make_tensor("bias", (size,))), calls=(call,))


# 3*8*9 = 216 weights; a norm of 8 has 16; 8*4 + 4 = 36 in the second convolution, whose norm has 8: 276 in all.
# Fused, the first convolution gets 8 biases for 16 of its norm, and the second already has its 4: 276 - 8 - 8 = 260.
MODEL = make_profile({"a": conv(3, 8, 3), "b": norm(8, "a"), "c": conv(8, 4, 1, bias=True), "d": norm(4, "c")}, name="after")


def claim(figure: str, profile: Profile = MODEL, **fields: Any) -> Verdict:
    check = Check(
        **{"id": "c", "origin": "claim", "model": "after", "metric": "params", "comparison": "equals", "expected": figure} | fields
    )
    return judge([check], {"after": profile}, {})[0]


def frozen(profile: Profile, path: str, **fields: Any) -> Profile:
    """The profile with the tensors of one module changed."""
    modules = tuple(
        msgspec.structs.replace(module, tensors=tuple(msgspec.structs.replace(tensor, **fields) for tensor in module.tensors))
        if module.path == path
        else module
        for module in profile.modules
    )
    return msgspec.structs.replace(profile, modules=modules)


@pytest.mark.parametrize(
    ("figure", "profile", "reading"),
    [
        ("248", MODEL, "weights of convolutions and linear layers only, without norms and biases"),
        ("260", MODEL, "after fusing norms into convolutions"),
        ("240", frozen(MODEL, "c", trainable=False), "trainable parameters only"),
        ("240", frozen(MODEL, "c", used=False), "without the parameters that the forward pass does not use"),
        ("275", MODEL, None),
        ("276", MODEL, None),
    ],
)
def test_a_figure_may_be_true_under_another_convention(figure: str, profile: Profile, reading: str | None) -> None:
    verdict = claim(figure, profile)
    assert verdict.reading == reading
    if reading is not None:
        assert (verdict.finding, verdict.outcome, verdict.actual) == ("other reading", "inconclusive", 276)
        assert verdict.reason == f"other reading: document says {figure}, measured 276; true as {reading} ({figure})"


def test_fused_norms_and_left_out_embeddings_are_conventions() -> None:
    # (3*8*9 + 8) + (8*4 + 4) = 260; before fusing, norms of 8 and 4 instead of the biases: 216 + 16 + 32 + 8 = 272
    fused = make_profile({"a": conv(3, 8, 3, bias=True), "c": conv(8, 4, 1, bias=True)}, name="after")
    assert claim("272", fused).reading == "before fusing norms into convolutions"
    table = make_module(500, "Embedding", tensors=(make_tensor("weight", (50, 10)),))
    head = make_module(110, "Linear", tensors=(make_tensor("weight", (10, 10)), make_tensor("bias", (10,))))
    text = make_profile({"tokens": table, "head": head}, name="after")
    assert claim("110", text).reading == "without embeddings"


def test_a_convention_applies_to_both_sides_of_a_ratio() -> None:
    # weights without norms: 216 and 432; with them 232 and 464 + 100 = 564
    sides = {
        "after": make_profile({"a": conv(3, 8, 3), "b": norm(8, "a")}, name="after"),
        "before": make_profile({"a": conv(3, 16, 3), "b": norm(16, "a"), "c": norm(50, "x")}, name="before"),
    }
    check = Check(id="c", origin="claim", model="after", metric="params", comparison="ratio", expected="2.00x", against="before")
    (verdict,) = judge([check], sides, {})
    assert (verdict.finding, verdict.actual) == ("other reading", 564 / 232)
    assert verdict.reason.endswith("without norms and biases (2x (432 / 216))")


def test_macs_called_flops_and_the_two_kinds_of_megabytes() -> None:
    profile = make_profile({"a": make_cost(2**20, 500_000_000)}, name="after")
    assert claim("0.5 GFLOPs", profile, metric="flops").reading == "MACs, called FLOPs"
    assert claim("1.0 GMACs", profile, metric="macs").reading == "FLOPs, called MACs"
    assert claim("4.0 MB", profile, metric="param_bytes").reading == "1024 for 1000, or 1000 for 1024"
    assert claim("4.2 MiB", profile, metric="param_bytes").reading == "1024 for 1000, or 1000 for 1024"
    assert claim("1.0M", profile).finding == "true"
    assert claim("1M", profile).finding == "true"
    assert claim("1.00M", profile).finding == "false"  # 1,048,576: parameters are not counted in steps of 1024


def test_a_convention_that_leaves_something_out_is_not_tried_on_a_bound() -> None:
    assert claim("<250", comparison="below").finding == "false"
    assert claim("250", origin="budget", comparison="max").reading is None


def test_packed_tensors_are_not_counted_under_other_conventions() -> None:
    packed = make_profile({"a": make_module(1000, "Linear", tensors=(make_tensor("weight", (10, 50)),))}, name="after")
    assert claim("500", packed).finding == "false"


# --- what was expected


@pytest.mark.parametrize(
    ("figure", "expected", "outcome", "reason"),
    [
        ("248", "inconclusive", "passed", "other reading, as expected: document says 248, measured 276; true as weights"),
        ("276", "inconclusive", "failed", "marked as true under another reading only but is now true: remove `expect`."),
        ("275", "inconclusive", "failed", "false, but marked as other reading: document says 275, measured 276"),
        ("275", "failed", "passed", "false, as expected: document says 275, measured 276"),
        ("276", "failed", "failed", "marked as false but is now true: remove `expect`."),
        ("248", "failed", "failed", "other reading, but marked as false"),
    ],
)
def test_a_claim_with_an_expectation_passes_only_as_expected(figure: str, expected: str, outcome: str, reason: str) -> None:
    verdict = claim(figure, expect_outcome=expected, why="so it is")
    assert verdict.outcome == outcome
    assert verdict.reason.startswith(reason)


def test_an_exempt_number_passes_without_being_judged() -> None:
    verdict = claim("512", exempt="the size of images")
    assert (verdict.finding, verdict.outcome, verdict.reason) == ("exempt", "passed", "exempt: the size of images")
    assert conclude([verdict, claim("276")]) == "passed"


def test_a_tolerance_replaces_the_usual_one() -> None:
    assert [claim("~250", tolerance=share).finding for share in (None, 0.2, 0.105, 0.1)] == [
        "other reading",
        "true",
        "true",
        "other reading",
    ]


# --- hints


def test_a_hint_names_the_convolution_that_fits_and_the_one_in_the_code() -> None:
    call = Call(order=1, inputs=((1, 3, 4, 4),), outputs=((1, 8, 4, 4),))
    flow = (
        FlowNode(id=0, op="input", module="", shape=(1, 1, 4, 4)),
        FlowNode(id=1, op="input", module="", shape=(1, 2, 4, 4)),
        FlowNode(id=2, op="cat", module="", inputs=(0, 1), shape=(1, 3, 4, 4)),
    )
    profile = make_profile({"a": conv(3, 8, 3, calls=(call,))}, name="after", flow=flow, inputs=(make_input(1, 1, 4, 4),))
    assert claim("288", profile).hints == ("this figure fits a 3x3 convolution from 4 channels; the code has 1+2 = 3",)
    assert claim("270", profile).hints == ("this figure fits a 3x3 convolution to 10 channels; the code has 8",)
    assert claim("271", profile).hints == ()
    assert claim("216", profile).hints == ()


def test_a_hint_names_the_linear_layer_that_fits() -> None:
    tensors = (make_tensor("weight", (4, 10)), make_tensor("bias", (4,)))
    profile = make_profile({"a": make_module(44, "Linear", tensors=tensors)}, name="after")
    assert claim("84", profile).hints == ("this figure fits a linear layer from 20 features; the code has 10",)
    assert claim("55", profile).hints == ("this figure fits a linear layer to 5 features; the code has 4",)


def test_rounded_figures_and_several_layers_have_no_hint() -> None:
    assert claim("288").hints == ()
    assert claim("~288", scope=("a",)).hints == ()
    assert claim("0.3K", scope=("a",)).hints == ()


def test_a_hint_names_the_figures_that_a_ratio_follows_from() -> None:
    sides = {"before": make_profile({"a": 700}, name="before"), "after": make_profile({"a": 22}, name="after")}
    common: dict[str, Any] = {"origin": "claim", "metric": "params", "source": "part 6"}
    checks = [
        Check(id="1", model="before", comparison="equals", expected="884", **common),
        Check(id="2", model="after", comparison="equals", expected="~21", **common),
        Check(id="3", model="after", comparison="ratio", expected="42x", against="before", **common),
        Check(id="4", model="after", comparison="percent", expected="97.6%", against="before", **common),
        Check(id="5", model="after", comparison="difference", expected="863", against="before", **common),
        Check(id="6", model="after", comparison="ratio", expected="50x", against="before", **common),
        Check(id="7", model="after", comparison="ratio", expected="42x", against="before", document="other.md", **common),
    ]
    hints = {verdict.id: verdict.hints for verdict in judge(checks, sides, {})}
    follows = "follows from the document's own figures, 884 {} ~21, of which the first is false"
    assert hints["3"] == (follows.format("/"),)
    assert hints["4"] == (follows.format("→"),)
    assert hints["5"] == (follows.format("−"),)
    assert hints["1"] == hints["2"] == hints["6"] == hints["7"] == ()
