"""Which checks apply where: sections by side, input scenarios, models that are named or not."""

import pytest
from factories import make_input, make_module, make_profile, make_tensor

from archaudit.config import load_config
from archaudit.judge import judge
from archaudit.pipeline.gate.checks import Run, list_applying, list_baselined, list_budgets
from archaudit.schema import Call, Check, FlowNode, Pair

CONFIG = """
[models.old]
reference = "old.json"
inputs = {small = "1x8", large = "9x8"}
[models.new]
reference = "new.json"
[[sections]]
name = "Head"
before = "decoder"
after = ["stage1", "stage2"]
[[budgets]]
id = "head"
section = "Head"
metric = "params"
max = 10
[[budgets]]
id = "growth"
model = "new"
section = "Head"
metric = "params"
max_increase = 1
against = "old"
[[budgets]]
id = "large"
metric = "params"
scenario = "large"
max = 5
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "archaudit.toml"
    path.write_text(CONFIG)
    return load_config(path)


def test_a_section_is_its_own_sides_modules(config):
    applying = {check.id: check for check in list_applying([config], Pair("old", "new"))}
    assert (applying["head"].model, applying["head"].scope) == ("new", ("stage1", "stage2"))
    assert (applying["growth"].scope, applying["growth"].against_scope) == (("stage1", "stage2"), ("decoder",))
    swapped = {check.id: check for check in list_applying([config], Pair("new", "old"))}
    assert swapped["head"].model == "old"
    assert swapped["head"].scenario == "small"  # a comparison takes the first


def test_a_check_on_another_scenario_is_not_for_a_comparison(config):
    assert "large" not in [check.id for check in list_applying([config], Pair("old", "new"))]


def test_each_model_is_judged_in_each_of_its_scenarios(config):
    checks, runs = list_budgets(config, ())
    assert runs == [Run("old", "small"), Run("old", "large"), Run("new")]
    assert [(check.id, check.run) for check in checks] == [
        ("head-old-small", "old.small"),
        ("head-old-large", "old.large"),
        ("head-new", "new"),
        ("growth", "new"),
        ("large-old", "old.large"),
    ]
    assert list_baselined(config, ["old"]) == [Run("old", "small"), Run("old", "large")]


# --- what a structural pin sees

INPUT = (make_input(1, 8),)


def make_net(**fields):
    changes = {
        "type": "Linear",
        "settings": {"bias": True},
        "tensor": make_tensor("weight", (8, 8)),
        "op": "relu",
        "outputs": ((1, 8),),
    } | fields
    layer = make_module(
        64,
        changes["type"],
        settings=changes["settings"],
        tensors=(changes["tensor"],),
        calls=(Call(order=1, inputs=((1, 8),), outputs=changes["outputs"]),),
    )
    flow = (
        FlowNode(id=0, op="input", module=""),
        FlowNode(id=1, op="call", module="block.layer", inputs=(0,)),
        FlowNode(id=2, op=changes["op"], module="block", inputs=(1,)),
    )
    return make_profile({"block": 0, "block.layer": layer, "head": 5}, name="net", inputs=changes.get("inputs", INPUT), flow=flow)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"type": "Conv1d"}, "block.layer Linear → Conv1d"),
        ({"settings": {"bias": False}}, "block.layer bias True → False"),
        ({"settings": {}}, "block.layer bias True → unset"),
        ({"tensor": make_tensor("weight", (8, 9))}, "weight float32 [8x8] parameter → float32 [8x9] parameter"),
        ({"tensor": make_tensor("weight", (8, 8), trainable=False)}, "→ float32 [8x8] parameter frozen"),
        ({"tensor": make_tensor("weight", (8, 8), tied_to="head.weight")}, "tied to head.weight"),
        ({"tensor": make_tensor("other", (8, 8))}, "other absent → float32 [8x8] parameter"),
        ({"op": "gelu"}, "block runs gelu instead of relu"),
        ({"outputs": ((1, 9),)}, "block.layer has another output shape"),
    ],
)
def test_a_pin_sees_every_kind_of_change(change, text):
    pin = Check(id="p", origin="baseline", model="net", metric="structure", comparison="unchanged", expected="", against="baseline")
    (verdict,) = judge([pin], {"net": make_net(**change)}, {"net": make_net()})
    assert verdict.outcome == "failed"
    assert text in verdict.reason
    assert verdict.actual == 1
    (held,) = judge([pin], {"net": make_net(**change)}, {"net": make_net(**change)})
    assert (held.outcome, held.reason) == ("passed", "4 modules, each as in the baseline")


def test_with_another_input_the_shapes_are_not_the_models_doing():
    pin = Check(id="p", origin="baseline", model="net", metric="structure", comparison="unchanged", expected="", against="baseline")
    other = make_net(outputs=((2, 8),), inputs=(make_input(2, 8),))
    assert judge([pin], {"net": other}, {"net": make_net()})[0].outcome == "passed"


def test_a_limit_that_ends_is_not_judged_without_a_date():
    check = Check(id="c", origin="budget", model="net", metric="params", comparison="max", expected="1M", until="2030-01-01", why="so")
    outcomes = [judge([check], {"net": make_net()}, {}, today=today)[0].outcome for today in (None, "2030-01-01", "2030-01-02")]
    assert outcomes == ["inconclusive", "passed", "failed"]
