"""Which checks apply where: sections by side, input scenarios, models that are named or not."""

import pytest

from archaudit.config import load_config
from archaudit.pipeline.checks import Run, list_applying, list_baselined, list_budgets
from archaudit.schema import Pair

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
