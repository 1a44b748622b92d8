"""Where a counter disagrees, the reason is found by class, and what has none is named as unexplained."""

from __future__ import annotations

import msgspec
from render.synthetic import make_cost, make_module, make_profile

from archaudit.render.view.other_counters import UNEXPLAINED, explain_difference, view_other_counters
from archaudit.schema import Call, CounterResult, CounterRow, ModuleRecord, Profile, TensorRecord


def make_counter(macs: dict[str, int], params: int = 0, **fields: object) -> CounterResult:
    rows = {path: CounterRow(macs=count) for path, count in macs.items()}
    return CounterResult(totals=CounterRow(params=params, macs=macs[""]), modules=rows, **fields)  # type: ignore[arg-type]


def explain(name: str, counter: CounterResult, *modules: ModuleRecord) -> dict[str, str]:
    profile = make_profile("model", [make_module("", "Net"), *modules])
    return {each.label: each.macs.exact for each in explain_difference(name, counter, profile)}


def make_linear(path: str, inputs: tuple[int, ...], macs: int) -> ModuleRecord:
    """Two weights and eight biases, whatever the shape."""
    module = make_module(path, "Linear", make_cost(10, macs), bias=True)
    return msgspec.structs.replace(module, calls=(Call(order=0, inputs=(inputs,), outputs=((*inputs[:-1], 8),)),))


def test_torchinfo_counts_bias_and_norms() -> None:
    conv = make_module("conv", "Conv2d", make_cost(80, 1_000), (1, 8, 4, 4), bias=True)
    norm = make_module("norm", "BatchNorm2d", make_cost(16))
    found = explain("torchinfo", make_counter({"": 1_144, "conv": 1_128, "norm": 16}), conv, norm)
    assert found == {"bias additions counted as multiply-adds": "+128", "norm parameters counted as multiply-adds": "+16"}


def test_torchinfo_loses_all_but_the_batch_of_a_linear_layer() -> None:
    found = explain("torchinfo", make_counter({"": 10, "fc": 10}), make_linear("fc", (1, 10, 10), 800))
    assert found == {"layers with inputs of more than two dimensions counted once per sample": "-790"}


def test_torchinfo_does_not_see_functions() -> None:
    found = explain("torchinfo", make_counter({"": 0, "product": 0}), make_module("product", "Product", make_cost(0, 500)))
    assert found == {"functional operators and layers not called as modules not counted": "-500"}


def test_fvcore_counts_norms_pooling_and_resampling_by_operator() -> None:
    counter = make_counter(
        {"": 1_060}, macs_by_operator={"conv": 1_000, "batch_norm": 10, "adaptive_avg_pool2d": 20, "upsample_bilinear2d": 30}
    )
    assert explain("fvcore", counter, make_module("conv", "Conv2d", make_cost(1, 1_000))) == {
        "resampling, counted per element": "+30",
        "adaptive pooling, counted per element": "+20",
        "normalization, counted per element": "+10",
    }


def test_fvcore_misses_attention() -> None:
    attention = make_module("attention", "Attention", make_cost(0, 300))
    projection = make_module("attention.out", "Linear", make_cost(0, 100))
    counter = make_counter({"": 100, "attention": 100, "attention.out": 100}, unsupported={"aten::scaled_dot_product_attention": 1})
    found = explain("fvcore", counter, attention, projection)
    assert found == {"attention not counted: no formula for scaled_dot_product_attention": "-300"}


def test_a_container_that_is_never_called_hides_nothing() -> None:
    blocks = make_module("blocks", "ModuleList", shape=None)
    layer = make_module("blocks.0", "Conv2d", make_cost(1, 100))
    assert explain("fvcore", make_counter({"": 100, "blocks": 0, "blocks.0": 100}), blocks, layer) == {}


def test_what_no_class_covers_is_unexplained() -> None:
    counter = make_counter({"": 107, "strange": 107})
    (difference,) = explain_difference(
        "torchinfo", counter, make_profile("model", [make_module("", "Net"), make_module("strange", "Strange", make_cost(1, 100))])
    )
    assert (difference.label, difference.macs.exact, difference.where, difference.explained) == (UNEXPLAINED, "+7", "1 Strange", False)


def make_tied_profile() -> Profile:
    tied = TensorRecord(name="weight", kind="parameter", persistent=True, shape=(4, 5), dtype="float32", trainable=True, tied_to="a.weight")
    head = ModuleRecord(path="head", type="Linear", own=make_cost(), total=make_cost(), tensors=(tied,))
    return make_profile("model", [make_module("", "Net"), make_module("a", "Embedding", make_cost(20)), head])


def test_tied_parameters_counted_twice_are_named() -> None:
    profile = make_tied_profile()
    (row,), _ = view_other_counters(
        [("", make_profile("m", list(profile.modules), other_counters={"torchinfo": make_counter({"": 0}, params=40)}))]
    )
    assert row.params_note == "+20: tied parameters counted twice"


def test_a_counter_that_was_left_out_says_why() -> None:
    profile = make_profile("m", [make_module("", "Net")], other_counters={"fvcore": CounterResult(reason="left out: it cannot trace this")})
    (row,), _ = view_other_counters([("after", profile)])
    assert row.absent == "left out: it cannot trace this"


def test_an_incomplete_count_of_ours_is_not_compared() -> None:
    profile = make_profile("m", [make_module("", "Net")], flops_complete=False, other_counters={"fvcore": make_counter({"": 5})})
    (row,), _ = view_other_counters([("after", profile)])
    assert "incomplete" in row.summary
