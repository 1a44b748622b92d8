"""`archaudit init`, `schema` and `completion`: their output is valid for its readers."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from click.shell_completion import ShellComplete
from factories import make_cost, make_module, make_profile

from archaudit.cli import main
from archaudit.config import load_config, make_config_schema
from archaudit.schema import encode

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    modules = {"stem": make_cost(1_234_567, 2_000_001, activation_bytes=3 << 20), "head": make_cost(10, 5)}
    (tmp_path / "net.json").write_bytes(encode(make_profile(modules, name="net")))
    return tmp_path


def test_the_first_config_holds_at_once_and_a_growth_trips_it(archaudit, folder):
    assert archaudit("init", "net.json").status == 0
    assert archaudit("check").status == 0
    config = load_config(folder / "archaudit.toml")
    assert config.gated == ("params", "macs", "activation_bytes")
    assert [(check.metric, check.comparison, check.expected) for check in config.checks[:3]] == [
        ("params", "max", "1.24M"),
        ("macs", "max", "2.01M"),
        ("params", "max_increase", "1%"),
    ]
    grown = {"stem": make_cost(1_234_567, 2_000_001), "head": make_cost(100_000, 5)}
    (folder / "net.json").write_bytes(encode(make_profile(grown, name="net")))
    assert archaudit("check").status == 1


def test_what_is_there_is_overwritten_by_force_only(archaudit, folder):
    (folder / "archaudit.toml").write_text("# mine\n")
    result = archaudit("init", "net.json")
    assert (result.status, "archaudit.toml is already here" in result.err) == (2, True)
    assert (folder / "archaudit.toml").read_text() == "# mine\n"
    assert not (folder / "baselines").exists()
    assert archaudit("init", "net.json", "--force").status == 0
    assert "[models.net]" in (folder / "archaudit.toml").read_text()


def test_budgets_on_an_incomplete_count_are_left_out(archaudit, folder):
    unknown = make_module(make_cost(5, 5), "Exotic", flops_complete=False)
    (folder / "net.json").write_bytes(encode(make_profile({"exotic": unknown}, name="net")))
    assert archaudit("init", "net.json").status == 0
    assert "macs" not in load_config(folder / "archaudit.toml").gated
    assert archaudit("check").status == 0


@pytest.mark.parametrize(("name", "arguments"), [("net", []), ("odd-1", ["--name", "odd-1"])])
def test_the_model_has_a_name(archaudit, folder, name, arguments):
    assert archaudit("init", "./net.json", *arguments).status == 0
    assert list(load_config(folder / "archaudit.toml").models) == [name]
    assert (folder / "baselines" / f"{name}.json").is_file()


def test_a_name_that_cannot_be_one_is_refused(archaudit, folder):
    assert archaudit("init", "net.json", "--name", "a.b").status == 2
    assert not (folder / "archaudit.toml").exists()


def read_toml(path, table=None):
    content = tomllib.loads(path.read_text())
    return json.loads(json.dumps(content, default=str))  # dates become texts, as editors see them


def test_the_command_prints_the_schema_of_the_config(archaudit):
    assert json.loads(archaudit("schema", "config").out) == make_config_schema()


def test_the_first_config_and_its_commented_examples_are_valid(archaudit, folder):
    archaudit("init", "net.json")
    path = folder / "archaudit.toml"
    jsonschema.validate(read_toml(path), make_config_schema())
    lines = path.read_text().splitlines()
    code = [line.removeprefix("# ") if line.startswith(("# [[", "# metric", "# max", "# level", "# scope", "# reason", "# until")) else line
            for line in lines]  # fmt: skip
    path.write_text("\n".join(code))
    jsonschema.validate(read_toml(path), make_config_schema())
    assert len(load_config(path).checks) == 8


def test_the_shipped_report_and_profiles_fulfil_their_schemas(archaudit, folder):
    report = json.loads((ROOT / "reports" / "before-after.json").read_text())
    jsonschema.validate(report, json.loads(archaudit("schema", "report").out))
    profile_schema = json.loads(archaudit("schema", "profile").out)
    jsonschema.validate(report["after"], profile_schema)
    archaudit("init", "net.json")
    jsonschema.validate(json.loads(archaudit("check", "--format", "json").out), json.loads(archaudit("schema", "check").out))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(archaudit, shell):
    result = archaudit("completion", shell)
    assert result.status == 0
    assert f"_ARCHAUDIT_COMPLETE={shell}_complete" in result.out
    assert archaudit("completion", "tcsh").status == 2


@pytest.mark.parametrize(
    ("words", "typed", "completed"), [([], "ba", "baseline"), (["check"], "--form", "--format"), (["schema"], "con", "config")]
)
def test_completion_knows_commands_options_and_choices(words, typed, completed):
    items = ShellComplete(main, {}, "archaudit", "_ARCHAUDIT_COMPLETE").get_completions(words, typed)
    assert [item.value for item in items] == [completed]
