"""The pytest plugin, run by pytest in a process of its own: one run of one file of models, and few more where another run is the point."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree

import pytest

import archaudit

ROOT = Path(__file__).parent.parent

# make(): 3 * width * 9 weights, which is 216; 216 * 64 = 13,824 MACs on an image of 8 x 8.
MODELS = """
import pytest
import torch
from torch import nn

IMAGE = torch.zeros(1, 3, 8, 8)


def make(width=8):
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False))


@torch.library.custom_op("archaudit_tests::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@twice.register_fake
def _(x):
    return torch.empty_like(x)


class Unknown(nn.Module):
    def forward(self, x):
        return twice(x)


@pytest.mark.model_budget(params="<=216", macs="<14K", input="1x3x8x8")
def test_by_text():
    return make()

@pytest.mark.model_budget(params="<=216", audit=0, input="1x3x8x8")
def test_without_findings():
    return make()

@pytest.mark.model_budget(audit=0, input="1x3x8x8")
def test_findings():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))

@pytest.mark.model_budget(audit=1, input="1x3x8x8")
def test_allowed_findings():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))

@pytest.mark.model_budget(params="<217")
def test_with_inputs():
    return make(), IMAGE

@pytest.mark.model_budget(params={"max": 216})
def test_yielded():
    yield make(), (IMAGE,), {}

@pytest.mark.model_budget(params=">100", scope="0")
@pytest.mark.parametrize("width", [8, 16])
def test_parametrized(width):
    return make(width), IMAGE

@pytest.mark.model_budget(params="<=216", params_only=True)
def test_parameters_without_an_input():
    return make()

@pytest.mark.model_budget(macs="<1G", params_only=True)
def test_macs_without_a_run():
    return make()

@pytest.mark.model_budget(param_bytes="<=432", input="1x3x8x8", dtype="float16")
def test_dtype():
    return make()

@pytest.mark.model_budget(params="<200", input="1x3x8x8")
def test_large():
    return make()

@pytest.mark.model_budget(params="<100", macs="<1G", input="1x3x8x8")
class TestNets:
    @pytest.mark.model_budget(params="<1K")
    def test_overridden(self):
        return make()

    def test_usual(self):
        return make()

def test_fixture(audit):
    model = make().train()
    assert audit(model, IMAGE).totals.params == 216
    assert model.training

def test_fixture_message(audit):
    assert audit(make(), "1x3x8x8").totals.params < 200

@pytest.mark.model_budget(params="<3M")
def test_no_model():
    pass

@pytest.mark.model_budget()
def test_no_limit():
    return make()

@pytest.mark.model_budget("<3M")
def test_no_metric():
    return make()

@pytest.mark.model_budget(parms="<3M")
def test_unknown_metric():
    return make(), IMAGE

@pytest.mark.model_budget(params="3M")
def test_no_relation():
    return make(), IMAGE

@pytest.mark.model_budget(params="<3 GMACs")
def test_other_unit():
    return make(), IMAGE

@pytest.mark.model_budget(params="<3M", scope="nowhere")
def test_empty_scope():
    return make(), IMAGE

@pytest.mark.model_budget(params="<3M")
def test_does_not_run():
    return make(), torch.zeros(1, 4, 8, 8)

@pytest.mark.model_budget(params="<3M")
def test_not_a_model():
    return 3

@pytest.mark.model_budget(macs="<1G")
def test_incomplete():
    return Unknown(), torch.zeros(1, 3)
"""


def run_pytest(folder, *arguments):
    installed = entry_points(group="pytest11", name="archaudit")  # then pytest finds it by itself, and would not have it twice
    plugin = [] if installed else ["-p", "archaudit.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    environment = {**os.environ, "PYTHONPATH": str(Path(archaudit.__file__).parent.parent), "COLUMNS": "200"}
    done = subprocess.run([*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout


def read_results(path):
    """The message of each test by its name, empty for one that passed."""
    cases = ElementTree.parse(path).getroot().iter("testcase")
    return {case.get("name"): "".join(part.text or "" for part in case if part.tag in ("failure", "error")) for case in cases}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """What was printed, and the message of each test."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "test_models.py").write_text(MODELS)
    out = run_pytest(folder, "--junitxml", "results.xml")
    return out, read_results(folder / "results.xml")


def test_the_entry_point_is_declared():
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert content["project"]["entry-points"]["pytest11"] == {"archaudit": "archaudit.pytest_plugin"}


@pytest.mark.parametrize(
    "name",
    [
        "test_by_text",
        "test_with_inputs",
        "test_without_findings",
        "test_allowed_findings",
        "test_yielded",
        "test_parametrized[8]",
        "test_parametrized[16]",
        "test_parameters_without_an_input",
        "test_dtype",
        "test_overridden",
        "test_fixture",
    ],
)
def test_models_within_their_budget_pass(outcome, name):
    assert outcome[1][name] == ""


def test_each_judged_model_is_in_the_summary(outcome):
    summary = outcome[0].partition("archaudit: model budgets")[2]
    assert "test_models.py::test_by_text: <Profile Sequential: 216 params, 13.8K MACs>" in summary
    assert "  ✓ passed: params <=216: 216 is exactly the limit of 216" in summary
    assert "  ✓ passed: macs <14K: 13.8K MACs is 176 under the limit of 14K" in summary
    assert "  ✗ failed: params <200: " in summary
    assert "test_fixture" not in summary.partition("short test summary")[0]


def test_an_exceeded_budget_fails_with_limit_overage_and_layers(outcome):
    message = outcome[1]["test_large"]
    assert "✗ failed: params <200: 200 budget exceeded by 16 (+8.0 %): 216; largest: 0 (216)" in message
    assert "pytest_plugin.py" not in message  # the message, not our own lines


def test_findings_of_the_audit_fail_with_the_fix(outcome):
    message = outcome[1]["test_findings"]
    assert "1 finding by" in message
    assert "AR201 0: the norm at 1 subtracts the mean of each channel" in message
    assert "fix: bias=False" in message


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("test_no_model", "the test returned no model"),
        ("test_macs_without_a_run", "the model was only built"),
        ("test_no_limit", "no limit is given"),
        ("test_no_metric", "no limit is given"),
        ("test_unknown_metric", "there is no metric 'parms'"),
        ("test_no_relation", "params='3M' has no relation"),
        ("test_other_unit", "is in macs: "),
        ("test_empty_scope", "no module of Sequential matches 'nowhere'"),
        ("test_does_not_run", "raised RuntimeError"),
        ("test_not_a_model", "is no nn.Module"),
        ("test_incomplete", "macs <1G: the FLOPs of the model are incomplete"),
    ],
)
def test_an_inconclusive_model_fails_with_the_reason(outcome, name, reason):
    assert "? inconclusive" in outcome[1][name]
    assert reason in outcome[1][name]


def test_an_inconclusive_reason_is_given_once_without_command_line_options(outcome):
    assert "During handling of the above exception" not in outcome[0]
    assert "pass it another input" in outcome[0]
    assert "--input" not in outcome[0]


def test_the_nearest_marker_overrides_that_of_its_class(outcome):
    assert "params <100" in outcome[1]["test_usual"]


def test_the_assertions_of_the_fixture_are_short(outcome):
    message = outcome[1]["test_fixture_message"]
    assert "assert 216 < 200" in message
    assert "<Profile Sequential: 216 params, 13.8K MACs>.totals" in message
    assert len(message) < 2000


def test_it_works_with_xdist(tmp_path, outcome):
    (tmp_path / "test_models.py").write_text(MODELS)
    out = run_pytest(tmp_path, "-n", "1", "--junitxml", "results.xml")
    here, there = read_results(tmp_path / "results.xml"), outcome[1]
    assert {name: bool(message) for name, message in here.items()} == {name: bool(message) for name, message in there.items()}
    assert "  ✓ passed: params <=216: 216 is exactly the limit of 216" in out.partition("archaudit: model budgets")[2]


def test_where_it_is_not_used_it_is_silent_and_imports_nothing(tmp_path):
    (tmp_path / "test_plain.py").write_text("""
import sys

def test_modules():
    names = {"torch", "rich", "jinja2", "msgspec", "archaudit.api", "archaudit.schema"}
    assert "archaudit.pytest_plugin" in sys.modules
    assert names & set(sys.modules) == set()
""")
    out = run_pytest(tmp_path)
    assert "1 passed" in out
    assert "model budgets" not in out


def test_a_generator_without_the_marker_is_left_to_pytest(tmp_path):
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    yield 1\n")
    out = run_pytest(tmp_path)
    assert "1 passed" not in out
    assert "model budgets" not in out
