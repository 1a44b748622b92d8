"""Config files: what is read from them, and where they are found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from archaudit.config import (
    EXAMPLE_SOURCE,
    Config,
    ModelConfig,
    Section,
    find_config,
    load_claims,
    load_config,
    load_example_config,
    read_claims,
)
from archaudit.errors import ConfigError

GOOD = """
baselines = "saved"

[models.before]
reference = "old.py:Net"
input = "1x3x64x64"

[models.after]
reference = "new.py:Net(width=2)"
input = ["ids=int64[1,128]", "1x3x64x64"]

[[sections]]
name = "Head"
before = "head"
after = ["head.*", "neck"]

[[sections]]
name = "Neck"
before = []
after = "neck"

[[budgets]]
metric = "params"
max = 3_000_000

[[budgets]]
id = "growth"
model = ["before", "after"]
metric = "macs"
scope = "head"
max_increase = "1%"
max_decrease = "10 KMACs"

[[budgets]]
model = "after"
metric = "param_bytes"
max_increase = 2.5e3
against = "before"

[[claims]]
figure = "~21K"
source = "section 6"
metric = "params"

[[claims]]
figure = "~21K"
source = "section 6"
model = "after"
metric = "params"
scope = ["head", "neck"]
section = "Head"

[[claims]]
id = "ratio"
figure = "42x"
model = "after"
metric = "params"
scope = "head"
comparison = "ratio"
against = "before"
against_scope = "head.0"
expect = "false"
why = "It never was."
"""


def write(folder: Path, text: str, name: str = "archaudit.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def good(tmp_path: Path) -> Config:
    return load_config(write(tmp_path, GOOD))


# --- good ones ------------------------------------------------------------------------------------------------------


def test_models_and_sections_are_read_as_text(good: Config, tmp_path: Path) -> None:
    assert good.models == {
        "before": ModelConfig(name="before", reference="old.py:Net", inputs=("1x3x64x64",)),
        "after": ModelConfig(name="after", reference="new.py:Net(width=2)", inputs=("ids=int64[1,128]", "1x3x64x64")),
    }
    assert good.sections == (Section(name="Head", before=("head",), after=("head.*", "neck")), Section(name="Neck", after=("neck",)))
    assert (good.folder, good.baselines) == (tmp_path, tmp_path / "saved")


def test_each_limit_of_a_budget_is_a_check_for_each_model(good: Config) -> None:
    budgets = [check for check in good.checks if check.origin != "claim"]
    assert [(check.id, check.origin, check.model, check.comparison, check.expected, check.against) for check in budgets] == [
        ("params-max", "budget", "", "max", "3000000", None),
        ("growth-before-max_increase", "baseline", "before", "max_increase", "1%", "baseline"),
        ("growth-before-max_decrease", "baseline", "before", "max_decrease", "10 KMACs", "baseline"),
        ("growth-after-max_increase", "baseline", "after", "max_increase", "1%", "baseline"),
        ("growth-after-max_decrease", "baseline", "after", "max_decrease", "10 KMACs", "baseline"),
        ("after-param_bytes-max_increase", "budget", "after", "max_increase", "2500", "before"),
    ]
    assert [check.scope for check in budgets] == [("",), *[("head",)] * 4, ("",)]


def test_a_claim_is_a_check_with_its_source_and_section(good: Config) -> None:
    first, second, third = (check for check in good.checks if check.origin == "claim")
    assert (first.id, first.comparison, first.expected, first.source, first.group) == ("section-6-21k", "equals", "~21K", "section 6", None)
    assert (second.id, second.model, second.scope, second.group) == ("section-6-21k-2", "after", ("head", "neck"), "Head")
    assert (third.id, third.comparison, third.against, third.against_scope) == ("ratio", "ratio", "before", ("head.0",))
    assert (third.expect_outcome, third.why) == ("failed", "It never was.")


@pytest.mark.parametrize(
    ("figure", "comparison"), [("<3M", "below"), ("<= 3M", "max"), ("≤3M", "max"), (">3M", "above"), (">=3M", "min"), ("3M", "equals")]
)
def test_a_figure_with_a_relation_is_a_bound(tmp_path: Path, figure: str, comparison: str) -> None:
    config = load_config(write(tmp_path, f'[[claims]]\nmetric = "params"\nfigure = "{figure}"'))
    assert [(check.comparison, check.expected) for check in config.checks] == [(comparison, figure)]


CLAIMS = """
[models.before]
reference = "a:b"
[models.after]
reference = "a:b"
"""


@pytest.mark.parametrize(
    ("claim", "fields"),
    [
        (
            'metric = "shape"\nfigure = "[B, 128, H/8, W/8]"\nscope = "a"',
            {"metric": "shape", "expected": "[B, 128, H/8, W/8]", "scope": ("a",)},
        ),
        ('metric = "shape:cat:2"\nfigure = "1x3x8x8"', {"metric": "shape:cat:2", "comparison": "equals"}),
        ('metric = "setting:p"\nfigure = 0.1\nscope = "a"', {"metric": "setting:p", "expected": "0.1"}),
        ('metric = "setting:dilation"\nfigure = [1, 6]', {"expected": "[1, 6]"}),
        ('metric = "setting:bias"\nfigure = false', {"expected": "false"}),
        ('metric = "setting:mode"\nfigure = "bilinear"', {"expected": "bilinear"}),
        ('metric = "modules:Conv2d"\nfigure = "<20"', {"comparison": "below"}),
        ('metric = "presence"\nfigure = "new"\nscope = "a"\nagainst = "before"', {"comparison": "equals", "against": "before"}),
        ('metric = "presence:Conv2d"\nfigure = "absent"', {"against": None}),
        ('metric = "dense_ratio"\nfigure = "~8x"', {"comparison": "equals"}),
        ('metric = "latency"\nfigure = "3 s"', {"metric": "latency"}),
        ('metric = "params"\nfigure = "2.52"\nunit = "M"', {"expected": "2.52 M", "written": "2.52"}),
        ('metric = "params"\nfigure = ">2x"\ncomparison = "ratio"\nagainst = "before"', {"comparison": "ratio"}),
        ('metric = "params"\nfigure = "~2-3M"\ntolerance = "5%"', {"tolerance": 0.05}),
        ('metric = "flops"\nfigure = "4G"\nexpect = "other reading"\nwhy = "MACs"', {"expect_outcome": "inconclusive", "why": "MACs"}),
        ('figure = "512"\nexempt = "the input"', {"exempt": "the input", "metric": "", "expected": "512"}),
        ('metric = "params"\nfigure = "5M"\ndocument = "A.md"\nnear = "in all"', {"document": "A.md", "near": "in all"}),
    ],
)
def test_the_forms_of_a_claim(tmp_path: Path, claim: str, fields: dict[str, object]) -> None:
    (check,) = load_config(write(tmp_path, f"{CLAIMS}[[claims]]\n{claim}\n")).checks
    assert {name: getattr(check, name) for name in fields} == fields
    assert check.origin == "claim"


def test_claims_can_be_in_a_file_that_holds_only_claims(tmp_path: Path) -> None:
    path = write(tmp_path, '[[claims]]\nfigure = "5M"\nmetric = "params"\nmodel = "a"\n', "NOTES.md.claims.toml")
    assert [(check.id, check.model) for check in load_claims(path, ["a"])] == [("a-5m", "a")]
    with pytest.raises(ConfigError, match=r"claims\[0\]\.model: 'a' is not in \[models\]"):
        load_claims(path, ["b"])
    with pytest.raises(ConfigError, match=r"budgets: is not a known key"):
        load_claims(write(tmp_path, "[[budgets]]"), ["a"])
    assert [check.expected for check in read_claims([{"figure": "5M", "metric": "params"}], [], "here")] == ["5M"]


def test_given_ids_stay_and_derived_ones_are_made_unique(tmp_path: Path) -> None:
    text = '[[budgets]]\nmetric = "params"\nmax = 1\n[[budgets]]\nid = "params-max"\nmetric = "params"\nmax = 2\n'
    assert [(check.id, check.expected) for check in load_config(write(tmp_path, text)).checks] == [
        ("params-max-2", "1"),
        ("params-max", "2"),
    ]


def test_an_empty_config_has_no_checks(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "\ufeff"))
    assert (config.models, config.sections, config.checks, config.baselines) == ({}, (), (), tmp_path / "baselines")


def test_the_example_has_the_checks_and_sections_of_its_change() -> None:
    config = load_example_config()
    assert (config.source, config.baselines) == (EXAMPLE_SOURCE, Path.cwd() / "baselines")
    assert list(config.models) == ["before", "after"]
    assert [section.name for section in config.sections] == [
        "Backbone",
        "Feature projections",
        "ASPP",
        "Decoder stage 1",
        "Decoder stage 2",
        "Classifier",
    ]
    assert [check.id for check in config.checks if check.expect_outcome == "failed"] == [
        "stage1-before",
        "stage1-ratio",
        "stage2-ratio",
        "decoder-convolutions-before",
    ]
    assert {check.comparison for check in config.checks if check.origin == "budget"} == {"max"}
    assert not any(check.against == "baseline" for check in config.checks)


# --- discovery ------------------------------------------------------------------------------------------------------


def test_the_nearest_folder_wins_and_in_it_archaudit_toml(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert find_config(inner) in (None, find_config(tmp_path.parent))
    outer = write(tmp_path, "")
    assert find_config(inner) == outer
    write(inner, "[project]\nname = 'archaudit'", "pyproject.toml")
    assert find_config(inner) == outer
    ours = write(inner.parent, "[tool.archaudit]", "pyproject.toml")
    assert find_config(inner) == ours
    assert find_config(inner.parent) == ours
    own = write(inner.parent, "")
    assert find_config(inner) == own


def test_a_pyproject_is_read_from_the_table_tool_archaudit(tmp_path: Path) -> None:
    path = write(tmp_path, "[tool.other]\nx = 1\n[tool.archaudit]\nbaselines = 'b'\n", "pyproject.toml")
    assert load_config(path).baselines == tmp_path / "b"


def test_faults_in_a_pyproject_have_the_whole_key(tmp_path: Path) -> None:
    path = write(tmp_path, "[[tool.archaudit.budgets]]\nmetric = 'params'\nmax = 'x'\n", "pyproject.toml")
    with pytest.raises(ConfigError, match=r"pyproject\.toml: tool\.archaudit\.budgets\[0\]\.max: 'x' is not a number"):
        load_config(path)


@pytest.mark.parametrize("text", ["", "tool = 1", "[tool]\narchaudit = 1"])
def test_a_pyproject_without_the_table_is_not_a_config(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"has no table \[tool\.archaudit\]"):
        load_config(write(tmp_path, text, "pyproject.toml"))


def test_a_broken_pyproject_is_skipped_unless_it_has_the_table(tmp_path: Path) -> None:
    outer = write(tmp_path, "")
    inner = tmp_path / "inner"
    inner.mkdir()
    write(inner, "name = 'archaudit'\nbroken", "pyproject.toml")
    assert find_config(inner) == outer
    ours = write(inner, "[tool.archaudit]\nbroken", "pyproject.toml")
    assert find_config(inner) == ours


def test_reading_a_config_imports_neither_torch_nor_rich() -> None:
    program = (
        "import sys; from archaudit.config import load_example_config; load_example_config(); "
        "sys.exit(', '.join({'torch', 'rich', 'click', 'jinja2'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
