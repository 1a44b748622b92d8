"""Every output of the gate, read by what is made to read it, with names that would break it."""

import csv
import json
import re
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import msgspec
import pysarif
import pytest
import xmlschema
from factories import make_profile
from junitparser import JUnitXml
from markdown_it import MarkdownIt
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from archaudit.render.outputs import OUTPUTS, write_output
from archaudit.schema import Contributor, Judgement, SourceLine, Verdict

ASSETS = Path(__file__).parent.parent / "assets"
# Ends or begins something in each of the formats.
HOSTILE = "a|b<script>]]>&\"'`%,:\n\r\x00\x1b[31m=cmd()::error::# EOF\\ \u202e*_~@x -->"


def make_verdict(outcome="failed", **fields):
    plain = {
        "id": f"check-{outcome}",
        "origin": "budget",
        "model": "net",
        "metric": "params",
        "scope": "",
        "comparison": "max",
        "expected": "3M",
        "limit": 3_000_000,
        "actual": 3_000_001,
        "deviation": 1,
        "outcome": outcome,
        "reason": "3M budget exceeded by 1: 3,000,001",
        "contributors": (Contributor(path="head", delta=1),),
    }
    return Verdict(**(plain | fields))


NONE = {"limit": None, "actual": None, "deviation": None}
CHECKS = (
    make_verdict("passed"),
    make_verdict("failed"),
    make_verdict("inconclusive", **NONE),
    make_verdict("failed", id="warned", level="warn"),
    make_verdict("inconclusive", id="noted", level="info", **NONE),
    make_verdict("failed", id=HOSTILE, model=HOSTILE, scope=HOSTILE, expected=HOSTILE, reason=HOSTILE, metric=HOSTILE),
)
JUDGEMENT = Judgement(outcome="failed", checks=CHECKS, places={"check-failed": SourceLine(file="src/a b,c.py", line=7)}, source="a.toml")
EMPTY = Judgement(outcome="inconclusive", checks=())


@pytest.fixture(params=[JUDGEMENT, EMPTY], ids=["full", "empty"])
def judgement(request):
    return request.param


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_same_judgement_gives_the_same_text_without_control_characters(name, judgement):
    text = write_output(name, judgement)
    assert text == write_output(name, judgement)
    assert not set(text) & {"\x00", "\x1b", "\u202e"}


def test_each_output_has_a_file_of_its_own():
    assert len({output.file for output in OUTPUTS.values()}) == len(OUTPUTS)


def test_junit_is_valid_and_counts_what_is_not_green(judgement):
    text = write_output("junit", judgement)
    xmlschema.XMLSchema(ASSETS / "junit.xsd").validate(text)
    suites = list(JUnitXml.fromstring(text.encode()))
    counts = [sum(getattr(suite, kind) for suite in suites) for kind in ("tests", "failures", "errors", "skipped")]
    assert counts == ([6, 2, 1, 2] if judgement is JUDGEMENT else [1, 0, 1, 0])
    assert [sum(type(result).__name__ == kind for suite in suites for case in suite for result in case.result)
            for kind in ("Failure", "Error", "Skipped")] == counts[1:]  # fmt: skip


def test_openmetrics_is_read_by_its_parser(judgement):
    families = {family.name: family for family in text_string_to_metric_families(write_output("openmetrics", judgement))}
    assert set(families) == {"archaudit_measured", "archaudit_limit", "archaudit_check", "archaudit_outcome"}
    samples = {sample.labels["check"]: sample.value for sample in families["archaudit_measured"].samples}
    if judgement is JUDGEMENT:
        assert samples["check-failed"] == 3_000_001
        assert "check-inconclusive" not in samples  # what was not measured has no number
        assert len(samples) == 4
    outcomes = {sample.labels["archaudit_outcome"]: sample.value for sample in families["archaudit_outcome"].samples}
    assert outcomes[judgement.outcome] == 1
    assert sum(outcomes.values()) == 1


def test_sarif_fulfils_its_schema_and_points_at_the_source(judgement):
    log = json.loads(write_output("sarif", judgement))
    jsonschema.validate(log, json.loads((ASSETS / "sarif.schema.json").read_text()))
    (read,) = pysarif.load_from_json(json.dumps(log)).runs
    (run,) = log["runs"]
    assert [result.message.text for result in read.results] == [result["message"]["text"] for result in run["results"]]
    assert run["invocations"][0]["executionSuccessful"] is (judgement is JUDGEMENT)
    assert {result["ruleId"] for result in run["results"]} == {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    if judgement is JUDGEMENT:
        assert [result["level"] for result in run["results"]] == ["error", "error", "warning", "note", "error"]
        place = run["results"][0]["locations"][0]["physicalLocation"]
        assert place == {"artifactLocation": {"uri": "src/a%20b%2Cc.py"}, "region": {"startLine": 7}}


def test_the_badge_is_svg_without_external_resources(judgement):
    root = ElementTree.fromstring(write_output("badge", judgement))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root[0].text == ("archaudit: failed" if judgement is JUDGEMENT else "archaudit: no checks")
    assert {child.tag.rpartition("}")[2] for child in root} == {"title", "rect", "text"}
    assert int(root.get("width")) == sum(int(child.get("width")) for child in root if child.tag.endswith("rect"))


def test_csv_has_a_line_for_each_check_and_no_formulas(judgement):
    rows = list(csv.DictReader(StringIO(write_output("csv", judgement), newline="")))
    assert [row["outcome"] for row in rows] == [check.outcome for check in judgement.checks]
    dangerous = make_verdict("failed", id="=HYPERLINK(1)", scope="@SUM(1)", reason="-1+cmd", model="+1", deviation=-5)
    (row,) = csv.DictReader(StringIO(write_output("csv", Judgement(outcome="failed", checks=(dangerous,))), newline=""))
    assert (row["id"], row["scope"], row["reason"], row["model"]) == ("'=HYPERLINK(1)", "'@SUM(1)", "'-1+cmd", "'+1")
    assert row["deviation"] == "-5"  # a number is no formula


def test_json_is_the_record(judgement):
    assert msgspec.json.decode(write_output("json", judgement).encode(), type=Judgement) == judgement


def read_commands(text):
    """Workflow commands as GitHub's runner reads them: a line that begins with `::`, properties between commas, escapes undone."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r"::(\w+)(?: ([^:]*))?::(.*)", line)
        assert match, line
        pairs = [pair.split("=", 1) for pair in (match[2] or "").split(",") if pair]
        codes = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))
        values = []
        for value in (*(pair[1] for pair in pairs), match[3]):
            for code, character in codes:
                value = value.replace(code, character)
            values.append(value)
        found.append((match[1], dict(zip((pair[0] for pair in pairs), values, strict=False)), values[-1]))
    return found


def test_annotations_are_commands_at_the_source_with_errors_first():
    commands = read_commands(write_output("annotations", JUDGEMENT))
    assert [command[0] for command in commands] == ["error", "error", "error", "warning", "notice"]
    _, properties, message = commands[0]
    assert (properties["file"], properties["line"], message) == ("src/a b,c.py", "7", "3M budget exceeded by 1: 3,000,001")
    assert commands[1][1]["file"] == "a.toml"  # without a class to point at: the config
    assert write_output("annotations", EMPTY) == ""


def test_the_comment_is_found_again_by_its_first_line_and_renders_as_it_is_meant(judgement):
    text = write_output("markdown", judgement)
    assert text.startswith(f"<!-- archaudit check {judgement.source} -->\n")
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert html.count("<table>") == (2 if judgement is JUDGEMENT else 0)
    assert "<script" not in html
    if judgement is JUDGEMENT:
        assert html.count("<tr>") == 2 + len(CHECKS)
        assert "✗ archaudit: failed" in html
        assert html.index("check-failed") < html.index("check-passed")


@pytest.mark.parametrize(("name", "limit"), [("markdown", 65_536), ("summary", 2**20)])
def test_what_does_not_fit_is_cut_by_importance_and_named(name, limit):
    many = tuple(make_verdict("passed", id=f"held-{number}", reason="ж" * 300) for number in range(8_000))
    text = write_output(name, Judgement(outcome="failed", checks=(*many, make_verdict("failed", id="the-one"))))
    assert len(text) < limit
    assert len(text.encode()) < 2**20 or name == "markdown"
    assert "the-one" in text
    assert re.search(r"Left out to fit into [\d,]+ characters: .*the checks that passed", text)


def test_a_cut_keeps_the_errors_and_drops_warnings_first():
    warnings = tuple(make_verdict("failed", id=f"warned-{number}", level="warn", reason="x" * 300) for number in range(400))
    text = write_output("markdown", Judgement(outcome="failed", checks=(*warnings, make_verdict("failed", id="the-one"))))
    assert len(text) < 65_536
    assert "the-one" in text
    # 12 rows are visible at first, the failed check among them; the other 389 are folded
    assert "of 389 rows of more checks that did not pass" in text
    assert text.index("the-one") < text.index("<details>")


def test_the_comment_lists_the_changes_of_a_model():
    from archaudit.pipeline.profile_diff import compare_plain

    report = compare_plain(make_profile({"a": 5, "b": 7}, name="net"), make_profile({"a": 5, "b": 9}, name="net"))
    text = write_output("markdown", Judgement(outcome="failed", checks=(make_verdict(),), differences={"net": report}))
    assert "<details><summary>net since its baseline: " in text
    assert "<code>b</code>" in text


# --- what to do next


def make_failure(number=0, **fields):
    head = Contributor(path="head", delta=500)
    return make_verdict("failed", **{"id": f"cap-{number}", "model": "net", "contributors": (head,), "key": "budgets[0]"} | fields)


def test_the_comment_ends_with_the_layer_to_look_at_and_the_commands():
    checks = (
        make_failure(origin="baseline", id="growth"),
        make_failure(),
        make_verdict("inconclusive", id="new", model="tiny", reason="tiny has no baseline yet: `archaudit baseline tiny` writes it"),
        make_verdict("inconclusive", id="odd", model="net", reason="the FLOPs of exotic are incomplete"),
    )
    places = {"growth": SourceLine(file="models/net.py", line=12), "cap-0": SourceLine(file="models/net.py", line=12)}
    text = write_output("markdown", Judgement(outcome="failed", checks=checks, places=places, source="ci/archaudit.toml"))
    assert [line for line in text.splitlines() if line][-6:] == [
        "**Next steps**",
        "- Look at head of net (models/net.py:12)",
        "- If the change is meant, update the baseline: archaudit baseline net --config ci/archaudit.toml",
        "- If the change is meant, change the limit in ci/archaudit.toml: cap-0",
        "- Write the baseline and commit it: archaudit baseline tiny --config ci/archaudit.toml",
        "- Remove the reason why these cannot be judged: odd",
    ]


def test_a_judgement_without_open_checks_has_no_next_steps():
    assert "Next steps" not in write_output("markdown", Judgement(outcome="passed", checks=(make_verdict("passed"),)))


def test_at_most_25_lines_come_before_the_fold():
    from archaudit.pipeline.profile_diff import compare_plain

    report = compare_plain(make_profile({"a": 5, "b": 7}, name="net"), make_profile({"a": 5, "b": 9}, name="net"))
    checks = tuple(make_failure(number) for number in range(100)) + tuple(make_verdict("passed", id=f"held-{each}") for each in range(100))
    text = write_output("markdown", Judgement(outcome="failed", checks=checks, differences={"net": report}, source="archaudit.toml"))
    assert len(text.partition("<details>")[0].splitlines()) <= 25
    folded = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert len([line for line in folded.splitlines() if line]) <= 25


def test_a_name_with_a_line_break_starts_no_command_of_githubs_log(capsys):
    from archaudit.cli import printable
    from archaudit.cli.output import print_text

    path = "net\n::error::hacked\n  ##[error]hacked"
    check = make_failure(contributors=(Contributor(path=path, delta=1),), reason=path, model=path, id=path)
    judgement = Judgement(outcome="failed", checks=(check,), source=path, places={path: SourceLine(file=path, line=1)})
    lines = write_output("annotations", judgement).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("::error ")
    assert lines[0].count("::") == 2 + 2  # the two of the command itself, and those that the message names in the middle of the line
    print_text(f"{path}\n")
    assert not [line for line in [*capsys.readouterr().out.splitlines(), *printable(path).splitlines()] if re.match(r"\s*(::|##\[)", line)]
