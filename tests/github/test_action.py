"""The GitHub Action and the hooks: their files are well formed, and their scripts run, with `archaudit` and `gh` replaced."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from archaudit.cli import COMMANDS, main

ROOT = Path(__file__).parent.parent.parent
ACTION = ROOT / ".github" / "actions" / "archaudit"
MARK = "<!-- archaudit check a.toml -->"

ARCHAUDIT = """#!/usr/bin/env bash
printf '%s\\n' "$@" > "$CALLS"
while [ $# -gt 0 ]; do [ "$1" != -o ] || folder=$2; shift; done
if [ -z "${SILENT:-}" ]; then
  echo "the summary" > "$folder/summary.md"
  echo "{}" > "$folder/check.json"
fi
exit "${EXIT:-0}"
"""
GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in
  *comments?per_page*) printf '%s' "${FOUND:-}" ;;
  *graphql*) [ -n "${LOGIN:-}" ] || exit 1; echo "$LOGIN" ;;
  *.head.sha*) echo "abc" ;;
  *--input*) cat "${@: -1}" > "$BODY" ;;
esac
"""


@pytest.fixture
def run(tmp_path):
    """Runs a script of the action; what was called, what came of it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("archaudit", ARCHAUDIT), ("gh", GH)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)

    def call(script, **environment):
        plain = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "CALLS": str(tmp_path / "calls"),
            "BODY": str(tmp_path / "body"),
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
            "GITHUB_REPOSITORY": "owner/name",
        }
        done = subprocess.run(["bash", ACTION / script], env=plain | environment, capture_output=True, text=True, check=False)
        calls = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
        return done, calls

    return call


def read_outputs(folder):
    return dict(line.split("=", 1) for line in (folder / "output").read_text().splitlines())


def test_the_action_is_well_formed_and_puts_no_expression_into_a_script():
    action = yaml.safe_load((ACTION / "action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    steps = action["runs"]["steps"]
    assert all(step.get("shell") == "bash" for step in steps if "run" in step)
    assert not any("${{" in step["run"] for step in steps if "run" in step)  # what a fork names things may not become a command
    assert all("description" in value for value in (*action["inputs"].values(), *action["outputs"].values()))
    assert steps[-1]["run"] == 'exit "${STATUS:-2}"'


def validate(kind, *files):
    """Validates files with the schemas that GitHub's editors use; they come with check-jsonschema, so that nothing is downloaded."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.github-{kind}", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_action_and_the_workflows_fit_the_schemas_of_github():
    assert validate("actions", ACTION / "action.yml").returncode == 0
    assert validate("workflows", *(ROOT / ".github" / "workflows").glob("*.yml")).returncode == 0


def read_documented_workflows():
    """The workflows on the page about CI, each as text."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "ci.md").read_text(), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if block.startswith("on:")]


def test_the_documented_workflows_fit_the_schema_of_github(tmp_path):
    files = []
    for number, block in enumerate(read_documented_workflows()):
        files.append(tmp_path / f"workflow{number}.yml")
        files[-1].write_text(block)
    assert len(files) >= 3
    done = validate("workflows", *files)
    assert done.returncode == 0, done.stdout
    files[0].write_text(files[0].read_text().replace("runs-on", "runs-in"))
    assert validate("workflows", files[0]).returncode == 1


def test_the_shortest_set_up_has_five_lines_and_names_this_action():
    shortest = read_documented_workflows()[0]
    assert len(shortest.splitlines()) == 5
    steps = yaml.safe_load(shortest)["jobs"]["archaudit"]["steps"]
    assert steps[-1]["uses"].partition("@")[0].endswith(f"archaudit/{ACTION.relative_to(ROOT)}")
    # every input has a default, so the step needs none
    action = yaml.safe_load((ACTION / "action.yml").read_text())
    assert all("default" in value and not value.get("required") for value in action["inputs"].values())


def test_without_an_archaudit_command_the_action_installs_python_and_itself(tmp_path):
    steps = {step["name"]: step for step in yaml.safe_load((ACTION / "action.yml").read_text())["runs"]["steps"]}
    assert list(steps)[:4] == ["find", "python", "install", "check"]
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    for install, wanted in (("", f"{ACTION}/../../.."), ("-e .", "-e .")):
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "INSTALL": install, "GITHUB_ACTION_PATH": str(ACTION)}
        done = subprocess.run(["bash", "-c", steps["install"]["run"]], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == ["-m", "pip", "install", "--quiet", wanted]
    assert (ACTION / "../../.." / "pyproject.toml").is_file()
    output = tmp_path / "output"
    environment = {"PATH": "/usr/bin:/bin", "GITHUB_OUTPUT": str(output)}
    subprocess.run(["bash", "-c", steps["find"]["run"]], env=environment, check=True)
    assert output.read_text() == "found=false\n"


def test_the_workflow_tests_every_version_that_is_claimed():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "versions.yml").read_text())
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"]
    assert [torch.rstrip(".*") for torch in matrix["torch"]] == ["2.6", "2.11", ""]
    assert workflow["permissions"] == {"contents": "read"}


def test_the_checks_of_a_pull_request_are_those_that_people_run():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text())
    assert "pull_request" in workflow[True]  # YAML 1.1 reads the key `on` as true
    steps = workflow["jobs"]["checks"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert workflow["permissions"] == {"contents": "read"}


def test_issue_forms_ask_for_what_a_fix_needs():
    forms = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")}
    assert set(forms) == {"bug", "config", "feature", "operator"}
    for name in ("bug", "feature", "operator"):
        fields = forms[name]["body"]
        assert all(field["attributes"]["label"] for field in fields)
        assert len({field["id"] for field in fields}) == len(fields)
        assert any(field["validations"]["required"] for field in fields if "validations" in field)
    assert {"command", "model", "versions"} <= {field["id"] for field in forms["bug"]["body"]}


def test_local_hooks_run_tools_of_the_development_environment():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repository,) = config["repos"]
    assert repository["repo"] == "local"
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    packages = {re.match(r"[\w-]+", requirement)[0] for requirement in wanted}
    tools = {hook["entry"].split()[0] for hook in repository["hooks"]}
    assert {tool.replace("lint-imports", "import-linter") for tool in tools} - {"python"} <= packages
    script = (ROOT / ".ci" / "run").read_text()
    assert all(f"$bin/{tool}" in script for tool in tools)


def test_the_quick_test_of_a_wheel_runs_files_that_exist():
    named = re.findall(r"\btests/[\w/.]+", (ROOT / ".ci" / "versions").read_text())
    assert len(named) >= 4
    assert [name for name in named if "node_modules" not in name and not (ROOT / name).exists()] == []


def test_the_source_distribution_has_everything_that_its_tests_read():
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    copied = (ROOT / ".ci" / "versions").read_text()
    for name in ("tests", "docs", "baselines", "reports", "README.md", "CHANGELOG.md", ".ci", ".github", ".pre-commit-config.yaml"):
        assert name in included
        assert f'"$repository/{name}"' in copied


def test_addresses_of_the_project_name_one_repository():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    used = re.search(r"uses: ([\w-]+/archaudit)/", (ROOT / "docs" / "ci.md").read_text())[1]
    assert all(url.startswith(f"https://github.com/{used}") for url in urls.values())


def test_hooks_are_commands_that_there_are():
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in hooks] == ["archaudit-check", "archaudit-claims"]
    for hook in hooks:
        words = hook["entry"].split()
        assert words[0] == "archaudit"
        assert words[1] in COMMANDS
    options = {option for parameter in main.get_command(None, "check").params for option in parameter.opts}
    script = (ACTION / "check.sh").read_text()
    assert {"--format", "--config", "--baseline-rev", "--allow-inconclusive", "-o"} <= options
    assert all(name in script for name in ("--format", "--config", "--baseline-rev", "--allow-inconclusive"))


@pytest.mark.parametrize(("exit_status", "status"), [("0", "0"), ("1", "1"), ("2", "2"), ("137", "2"), ("127", "2")])
def test_the_status_is_kept_for_the_last_step_and_a_crash_is_no_verdict(run, tmp_path, exit_status, status):
    done, _ = run("check.sh", EXIT=exit_status)
    assert done.returncode == 0
    outputs = read_outputs(tmp_path)
    assert outputs["status"] == status
    assert Path(outputs["folder"]).is_dir()
    assert (tmp_path / "summary").read_text() == "the summary\n"


def test_green_without_an_output_that_says_so_is_not_green(run, tmp_path):
    run("check.sh", EXIT="0", SILENT="1")
    assert read_outputs(tmp_path)["status"] == "2"


def test_inputs_are_arguments_and_never_options_or_commands(run, tmp_path):
    _, calls = run("check.sh", CONFIG="a b.toml", BASELINE_REV="--output=x", MODELS="seg --force $(touch x)", PULL_REQUEST="7")
    assert calls[calls.index("--config") + 1] == "a b.toml"
    assert "--baseline-rev=--output=x" in calls
    assert calls[calls.index("--") + 1 :] == ["seg", "--force", "$(touch", "x)"]
    assert (Path(read_outputs(tmp_path)["folder"]) / "pull-request.txt").read_text() == "7\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "check.md").write_text(f"{MARK}\n## failed $(touch x) `y`\n")
    (tmp_path / "kept" / "pull-request.txt").write_text("12\n")
    return tmp_path / "kept"


NEW, OLD = "POST repos/owner/name/issues/12/comments", "PATCH repos/owner/name/issues/comments/99"


def list_comments(*comments):
    """What `gh api --jq` prints of comments: number, author, the author's type, and the first line."""
    return "".join(json.dumps(comment) + "\n" for comment in comments)


@pytest.mark.parametrize(
    ("login", "found", "method"),
    [
        ("github-actions[bot]", "", NEW),
        ("github-actions[bot]", list_comments([99, "github-actions[bot]", "Bot", MARK]), OLD),
        # a personal token: its user is no bot
        ("octocat", list_comments([7, "octocat", "User", "hello"], [99, "octocat", "User", MARK], [100, "octocat", "User", MARK]), OLD),
        # the comment of somebody else, who could change it afterwards
        ("octocat", list_comments([7, "mallory", "User", MARK], [8, "other[bot]", "Bot", MARK]), NEW),
        # a token that cannot name its user: only bots write comments with the mark
        ("", list_comments([7, "mallory", "User", MARK], [99, "some-app[bot]", "Bot", MARK]), OLD),
        # the comment of another config
        ("octocat", list_comments([7, "octocat", "User", "<!-- archaudit check b.toml -->"]), NEW),
    ],
)
def test_a_comment_of_the_tokens_own_user_is_updated_or_a_new_one_made(run, tmp_path, folder, login, found, method):
    done, calls = run("comment.sh", FOLDER=str(folder), FOUND=found, LOGIN=login, HEAD_SHA="abc")
    assert done.returncode == 0, done.stdout
    assert f"api --method {method}" in calls[-1]
    assert json.loads((tmp_path / "body").read_text())["body"] == (folder / "check.md").read_text()


@pytest.mark.parametrize("number", ["", "x", "1/../../users", "12345678901", "-1"])
def test_a_number_that_is_none_is_refused(run, folder, number):
    (folder / "pull-request.txt").write_text(number)
    done, calls = run("comment.sh", FOLDER=str(folder))
    assert (done.returncode, calls) == (1, [])


def test_a_pull_request_at_another_commit_is_refused(run, folder):
    done, calls = run("comment.sh", FOLDER=str(folder), HEAD_SHA="def")
    assert done.returncode == 1
    assert not any("--method" in call for call in calls)


@pytest.mark.parametrize("text", ["", "no mark\n", '<!-- archaudit check " | .[] -->\n'])
def test_a_text_without_the_mark_is_refused(run, folder, text):
    (folder / "check.md").write_text(text)
    assert run("comment.sh", FOLDER=str(folder))[0].returncode == 1
