"""The gate on findings, the change of findings between two models, and the outputs that carry them."""

from __future__ import annotations

import json

import pytest
from auditing import audit
from click.testing import CliRunner
from torch import nn

from archaudit.audit import compare_audits
from archaudit.cli import main
from archaudit.config import AuditConfig
from archaudit.pipeline.audit_gate import judge_findings
from archaudit.schema import Pair

IMAGE = (2, 3, 8, 8)
MODEL = """
from torch import nn
class Net(nn.Module):
    def __init__(self, bias=True):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=bias){comment}
        self.norm = nn.BatchNorm2d(8)
        self.spare = nn.Linear(4, 4)
    def forward(self, x):
        return self.norm(self.conv(x))
"""
CONFIG = """
[models.net]
reference = "net.py:Net{arguments}"
input = "2x3x8x8"
[audit]
select = ["AR2"]
{more}
"""


def write_project(folder, comment="", arguments="", more=""):
    (folder / "net.py").write_text(MODEL.format(comment=comment))
    (folder / "archaudit.toml").write_text(CONFIG.format(arguments=arguments, more=more))


def run(*arguments):
    return CliRunner().invoke(main, arguments, standalone_mode=False)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_finding_fails_the_gate_at_its_source_line(project):
    write_project(project)
    done = run("check", "--format", "annotations", "--no-isolation")
    assert done.return_value == 1
    assert "AR201 conv%2C net" in done.output
    assert "file=net.py,line=6" in done.output


def test_sarif_carries_the_code_the_rule_and_the_line(project):
    write_project(project)
    (content,) = json.loads(run("check", "--format", "sarif", "--no-isolation").output)["runs"]
    (result,) = [each for each in content["results"] if each["ruleId"] == "AR201"]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 6}
    (rule,) = [each for each in content["tool"]["driver"]["rules"] if each["id"] == "AR201"]
    assert rule["name"] == "bias-before-norm"


@pytest.mark.parametrize(
    "options",
    [
        {"more": "max = 1"},
        {"more": 'level = "warn"'},
        {"more": 'ignore = ["AR201"]'},
        {"more": 'suppress = { "AR201:conv" = "the checkpoints have it" }'},
        {"comment": "  # archaudit: ignore[AR201] the checkpoints have it"},
        {"arguments": "(bias=False)"},
    ],
    ids=str,
)
def test_an_accepted_or_fixed_finding_passes_the_gate(project, options):
    write_project(project, **options)
    assert run("check", "--no-isolation").return_value == 0


def test_a_comment_without_a_reason_does_not_pass_the_gate(project):
    write_project(project, comment="  # archaudit: ignore[AR201]")
    assert run("check", "--no-isolation").return_value == 1


def test_a_comparison_lists_findings_that_are_introduced_and_resolved(project):
    write_project(project)
    reports = [
        json.loads(run("compare", before, after, "--audit", "--format", "json", "--no-isolation", "--no-other-counters").output)
        for before, after in (("net(bias=False)", "net"), ("net", "net(bias=False)"))
    ]
    assert [[each["code"] for each in report["audit"]["introduced"]] for report in reports] == [["AR201"], []]
    assert [[each["code"] for each in report["audit"]["resolved"]] for report in reports] == [[], ["AR201"]]


def test_a_finding_in_a_renamed_module_is_the_same_finding():
    before = audit(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), IMAGE, codes=["AR201"])
    after = audit(lambda: nn.Sequential(nn.ReLU(), nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), IMAGE, codes=["AR201"])
    assert compare_audits(Pair(before, after), {"1": "0", "2": "1"}) == ((), ())
    resolved, introduced = compare_audits(Pair(before, after), {})
    assert ([each.path for each in resolved], [each.path for each in introduced]) == (["0"], ["1"])


def test_the_number_of_allowed_findings_is_a_limit():
    found = audit(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), IMAGE, codes=["AR201"])
    assert [each.outcome for each in judge_findings(found, "net", AuditConfig(most=1))] == ["passed"]
    assert [each.outcome for each in judge_findings(found, "net", AuditConfig())] == ["failed", "failed"]


@pytest.mark.parametrize("line", ['select = ["AR9"]', 'ignore = "nothing"', 'suppress = { AR999 = "why" }', "max = -1", "max = 1.5"])
def test_a_faulty_table_is_refused(project, line):
    write_project(project, more=line if not line.startswith("select") else "")
    if line.startswith("select"):
        text = (project / "archaudit.toml").read_text().replace('select = ["AR2"]', line)
        (project / "archaudit.toml").write_text(text)
    done = run("check")
    assert done.exception is not None
    assert "audit." in done.exception.message


def test_the_command_exits_with_one_only_above_the_limit(project):
    write_project(project)
    options = ("--no-isolation", "--no-proof", "--select", "AR201")
    assert run("audit", "net", *options).return_value == 0
    assert run("audit", "net", *options, "--max", "1").return_value == 0
    assert run("audit", "net", *options, "--max", "0").return_value == 1


def test_json_has_the_proof_and_the_measured_saving(project):
    write_project(project)
    found = json.loads(run("audit", "net", "--select", "AR1", "--select", "AR2", "--format", "json", "--no-isolation").output)
    by_code = {each["code"]: each for each in found["findings"]}
    assert {code: each["proof"]["outcome"] for code, each in by_code.items()} == {"AR102": "proven", "AR201": "proven"}
    # by hand: a bias of 8, and a linear layer of 4*4+4
    assert {code: (each["cost"]["params"], each["measured"]) for code, each in by_code.items()} == {"AR102": (20, True), "AR201": (8, True)}
    assert found["saving"]["params"] == 28


def test_a_saved_profile_is_judged_as_far_as_it_goes(project):
    write_project(project)
    (project / "net.json").write_text(run("profile", "net", "--format", "json", "--no-isolation", "--no-other-counters").output)
    found = json.loads(run("audit", "net.json", "--select", "AR1", "--select", "AR2", "--format", "json").output)
    assert [each["code"] for each in found["findings"]] == ["AR201"]
    assert "AR102" in found["not_judged"]


def test_rules_are_listed_and_explained():
    assert "AR201 bias-before-norm" in run("audit", "--list-rules").output
    explained = run("audit", "--explain", "ar201").output
    assert "bias=False" in explained
    assert run("audit", "--explain", "AR999").exception is not None
