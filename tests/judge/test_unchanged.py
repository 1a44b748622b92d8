"""What counts as a change where nothing may change, and how it is reported: pairs of small models that differ in one thing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from factories import make_cost, make_input, make_module, make_profile, make_tensor

from archaudit.judge import judge
from archaudit.schema import Call, Check, FlowNode, ModuleRecord, Profile, Verdict

WEIGHT = make_tensor("weight", (2, 3))
OUTPUTS = (Call(order=1, inputs=((1, 3),), outputs=((1, 2),)),)


def layer(own: Any = 6, type: str = "Linear", **fields: Any) -> ModuleRecord:
    plain: dict[str, Any] = {"settings": {"bias": False}, "tensors": (WEIGHT,), "calls": OUTPUTS}
    return make_module(own, type, **plain | fields)


def model(*, inputs: tuple[int, ...] = (1, 3), flow: tuple[FlowNode, ...] = (), **modules: ModuleRecord) -> Profile:
    return make_profile({"a": layer(), "b": layer()} | modules, name="after", inputs=(make_input(*inputs),), flow=flow)


def compare(before: Profile, after: Profile, scope: tuple[str, ...] = ("",), **fields: Any) -> Verdict:
    plain = {"id": "c", "origin": "budget", "model": "after", "metric": "structure", "comparison": "unchanged", "expected": ""}
    check = Check(**plain | {"against": "baseline", "scope": scope} | fields)
    return judge([check], {"after": after}, {"after": before})[0]


def test_a_check_that_is_about_no_module_does_not_pass() -> None:
    verdict = compare(model(), model(), scope=())
    assert verdict.outcome == "inconclusive"
    assert verdict.reason == "the check is about no module: its scope is empty"


def test_equal_models_have_not_changed() -> None:
    verdict = compare(model(), model())
    assert (verdict.outcome, verdict.actual, verdict.limit) == ("passed", 0, 0)
    assert verdict.reason == "3 modules, each as in the baseline"


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (layer(), layer(type="LazyLinear"), "a Linear → LazyLinear"),
        (layer(), layer(settings={"bias": True}), "a bias False → True"),
        (layer(), layer(settings={}), "a bias False → unset"),
        (layer(settings={}), layer(), "a bias unset → False"),
        (layer(settings={"x": "y" * 40}), layer(settings={"x": "z" * 41}), f"a x {'y' * 40} → {'z' * 39}…"),
        (layer(), layer(tensors=(make_tensor("weight", (3, 3)),)), "a weight float32 [2x3] parameter → float32 [3x3] parameter"),
        (layer(), layer(tensors=()), "a weight float32 [2x3] parameter → gone"),
        (layer(tensors=()), layer(), "a weight absent → float32 [2x3] parameter"),
        (
            layer(),
            layer(tensors=(make_tensor("weight", (2, 3), trainable=False),)),
            "a weight float32 [2x3] parameter → float32 [2x3] parameter frozen",
        ),
        (
            layer(),
            layer(tensors=(make_tensor("weight", (2, 3), tied_to="b.weight"),)),
            "a weight float32 [2x3] parameter → float32 [2x3] parameter tied to b.weight",
        ),
        (
            layer(tensors=(make_tensor("n", (), kind="buffer", trainable=False),)),
            layer(tensors=(make_tensor("n", (), kind="buffer", trainable=False, dtype="int64"),)),
            "a n float32 [scalar] buffer → int64 [scalar] buffer",
        ),
        (layer(6), layer(9), "a params 6 → 9 (+3 params)"),
        (layer(make_cost(6, 10)), layer(make_cost(6, 1000)), "a MACs 10 → 1,000"),
        (layer(), layer(calls=OUTPUTS * 2), "a called 2 times instead of 1"),
        (layer(), layer(calls=(msgspec.structs.replace(OUTPUTS[0], outputs=((1, 4),)),)), "a has another output shape"),
    ],
)
def test_each_kind_of_change_in_words(before: ModuleRecord, after: ModuleRecord, text: str) -> None:
    verdict = compare(model(a=before), model(a=after))
    assert (verdict.outcome, verdict.actual, verdict.limit) == ("failed", 1, 0)
    assert verdict.reason == f"nothing may change, and 1 of 3 modules did since the baseline: {text}"


def test_several_changes_of_one_module_are_one_changed_module() -> None:
    verdict = compare(model(), model(a=layer(9, "Other", settings={"bias": True})))
    assert verdict.reason.endswith("1 of 3 modules did since the baseline: a Linear → Other, bias False → True, params 6 → 9 (+3 params)")


def test_what_is_new_or_gone_comes_in_the_order_of_its_parameters() -> None:
    before = make_profile({"gone": make_module(5, "Old"), "kept": 1}, name="after")
    after = make_profile({"kept": 1, "new": make_module(7, "New"), "": make_module(0, "Linear")}, name="after")
    verdict = compare(before, after)
    assert verdict.reason.endswith("2 of 4 modules did since the baseline: new is new: New (+7 params); gone is gone: Old (-5 params)")
    assert [(each.path, each.delta) for each in verdict.contributors] == [("new", 7), ("gone", -5)]


def test_shapes_and_costs_that_follow_from_another_input_are_no_changes() -> None:
    other = layer(make_cost(6, 99), calls=(msgspec.structs.replace(OUTPUTS[0], outputs=((5, 2),)),))
    assert compare(model(), model(inputs=(5, 3), a=other)).outcome == "passed"
    assert compare(model(), model(a=other)).outcome == "failed"
    # what does not depend on the input still counts
    assert compare(model(), model(inputs=(5, 3), a=layer(9))).outcome == "failed"


def test_operators_that_a_module_runs_itself_are_compared_in_order() -> None:
    def run(*operators: str) -> Profile:
        nodes = [FlowNode(id=0, op="input", module=""), FlowNode(id=1, op="call", module="a", inputs=(0,))]
        nodes += [FlowNode(id=2 + place, op=name, module="", inputs=(1,)) for place, name in enumerate(operators)]
        return model(flow=tuple(nodes))

    assert compare(run("add", "cat"), run("add", "cat")).outcome == "passed"
    assert compare(run("add", "cat"), run("cat", "add")).reason.endswith("the root module runs cat, add instead of add, cat")
    assert compare(run(), run("add")).reason.endswith("the root module runs add instead of nothing")
    long = compare(run(*["add"] * 5), run(*["add"] * 6)).reason
    assert long.endswith("runs add, add, add, add, add, ... instead of add, add, add, add, add")


def test_an_output_shape_is_listed_last_and_not_at_all_above_another_change() -> None:
    def build(width: int, own: int) -> Profile:
        outputs = (Call(order=1, inputs=(), outputs=((1, width),)),)
        modules = {
            "": make_module(0, "Net", calls=outputs),
            "body": make_module(0, "Block", calls=outputs),
            "body.fc": make_module(own, calls=outputs),
            "tail": make_module(1, "Identity", calls=outputs),
        }
        return make_profile(modules, name="after", inputs=(make_input(1, 3),))

    verdict = compare(build(4, 4), build(8, 8))
    # the root and `body` hold a module that changed
    assert verdict.actual == 2
    assert verdict.reason.endswith("2 of 4 modules did since the baseline: body.fc params 4 → 8, has another output shape (+4 params); "
                                   "tail has another output shape")  # fmt: skip


def test_five_modules_are_named_and_twelve_listed() -> None:
    names = "abcdefghijklmnopqrst"

    def build(count: int, own: int) -> Profile:
        return make_profile({name: own + place for place, name in enumerate(names[:count])}, name="after")

    verdict = compare(build(5, 10), build(5, 20))
    assert "more" not in verdict.reason
    assert verdict.reason.count("(+10 params)") == 5
    verdict = compare(build(14, 10), build(14, 20))
    assert verdict.reason.count("(+10 params)") == 5
    assert verdict.reason.endswith("; and 9 more")
    assert [each.path for each in verdict.contributors] == list(names[:12])


def test_a_scope_and_another_scope_on_the_other_side() -> None:
    changed = model(b=layer(9))
    assert compare(model(), changed, ("a",)).outcome == "passed"
    assert compare(model(), changed, ("b",)).reason.startswith("nothing may change, and 1 of 1 modules did")
    # paths are compared, so another scope there has other modules
    assert compare(model(), model(), ("a",), against_scope=("b",)).reason.startswith("nothing may change, and 2 of 2 modules did")
    assert compare(model(), model(), ("zz",)).outcome == "inconclusive"


def test_another_model_is_called_by_its_name() -> None:
    plain = {"id": "c", "origin": "budget", "model": "after", "metric": "structure", "comparison": "unchanged", "expected": ""}
    other = msgspec.structs.replace(model(), name="before")
    verdict = judge([Check(**plain | {"against": "before", "scope": ("",)})], {"after": model(b=layer(9)), "before": other}, {})[0]
    assert verdict.reason == "nothing may change, and 1 of 3 modules did since before: b params 6 → 9 (+3 params)"
