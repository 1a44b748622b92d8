"""Faults in config files: one message for each, with its key, and all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archaudit.config import load_config
from archaudit.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "archaudit.toml"
    path.write_text(text, encoding="utf-8")
    return path


def read_faults(folder: Path, text: str) -> list[str]:
    """The lines of the error that `text` as a config raises, without the file."""
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, text))
    lines = caught.value.message.splitlines()
    assert [line for line in lines if not line.startswith(f"{folder / 'archaudit.toml'}: ")] == []
    return [line.removeprefix(f"{folder / 'archaudit.toml'}: ") for line in lines]


BUDGET = '[[budgets]]\nmetric = "params"\n'
CLAIM = '[[claims]]\nmetric = "params"\n'
MODELS = '[models.before]\nreference = "b.py:B"\n[models.after]\nreference = "a.py:A"\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("budget = 1", "budget: is not a known key; did you mean 'budgets'?"),
        (
            "'a b' = 1",
            "'a b': is not a known key; known: baselines, formulas, gated, models, defaults, budgets, unchanged, sections, align, claims",
        ),
        ("baselines = 3", "baselines: expected text, not a number"),
        ("baselines = ' '", "baselines: expected text, not empty text"),
        ("[budgets]\nmax = 1", "budgets: expected tables, each under [[budgets]], not a table"),
        ("claims = [1]", "claims: expected tables, each under [[claims]], not a list"),
        ("models = true", "models: expected tables, each under [models.NAME], not true"),
        ("models.a = 'x'", "models.a: expected a table [models.a], not 'x'"),
        ("[models.a]", "models.a.reference: is missing"),
        ("[models.a]\nreference = 1979-05-27", "models.a.reference: expected text, not a date or time"),
        (
            "[models.a]\nreference = 'a:b'\ninputs = ''",
            "models.a.inputs: expected a table [models.a.inputs] with at least one name, not empty text",
        ),
        (
            "[models.a]\nreference = 'a:b'\ninputs = {}",
            "models.a.inputs: expected a table [models.a.inputs] with at least one name, not an empty table",
        ),
        (
            "[models.a]\nreference = 'a:b'\ninputs = {'a b' = '1'}",
            "models.a.inputs: 'a b' is not a valid name; use letters, digits, _ and -",
        ),
        (
            "[models.a]\nreference = 'a:b'\ninput = '1'\ninputs = {a = '1'}",
            "models.a.input: cannot be given together with `inputs`; remove one of them",
        ),
        ("gated = ['parms']", "gated: 'parms' is not known; did you mean 'params'?"),
        ("gated = []", "gated: is an empty list; remove it"),
        ("defaults = 3", "defaults: expected a table [defaults], not a number"),
        ("[defaults]\nlevel = 'fatal'", "defaults.level: 'fatal' is not known; known: error, warn, info"),
        ("[defaults]\nmax = 3", "defaults.max: is not a known key; known: model, scenario, against, level, floor"),
        (BUDGET + "max = 1\nlevel = 'erro'", "budgets[0].level: 'erro' is not known; did you mean 'error'?"),
        (
            BUDGET + "max = 1\nfloor = '1K'",
            "budgets[0].floor: is for max_increase and max_decrease in percent: the percentage and the floor must both be exceeded",
        ),
        (BUDGET + "max_increase = '1%'\nfloor = '1 GMACs'", "budgets[0].floor: '1 GMACs' does not fit the metric params; it fits macs"),
        (BUDGET + "max = 1\nuntil = 2026-12-31", "budgets[0].reason: is missing; it is required where `until` is given"),
        (BUDGET + "max = 1\nreason = 'so'\nuntil = '2026-13-31'", "budgets[0].until: '2026-13-31' is not a valid date"),
        (
            BUDGET + "max = 1\nreason = 'so'\nuntil = 2026-12-31T00:00:00",
            "budgets[0].until: expected a date such as 2026-12-31, not a date or time",
        ),
        (BUDGET + "max = 1\noverrides = 'cap'", "budgets[0].overrides: 'cap' is not the id of a budget above; none is defined"),
        (BUDGET + "max = 1\nscenario = 'big'", "budgets[0].scenario: 'big' is not an input scenario of a model; none is defined"),
        (BUDGET + "max = 1\nsection = 'Head'", "budgets[0].section: 'Head' is not known; none is defined"),
        ("[[unchanged]]\nmetric = 'params'", "unchanged[0].metric: is not a known key; known: id, model, scenario, scope, type, section"),
        ("[[unchanged]]\nagainst = 'x'", "unchanged[0].against: 'x' is neither 'baseline' nor in [models]; known: baseline"),
        ("[models.a]\nreference = 'a:b'\ninput = [1, 3]", "models.a.input: expected text or a list of texts, not a list"),
        ("[models.'a:b']\nreference = 'a:b'", "models: 'a:b' is not a valid name; use letters, digits, _ and -"),
        (
            "[models.baseline]\nreference = 'a:b'",
            "models: 'baseline' cannot be the name of a model: it names a model's saved profile",
        ),
        ("[[sections]]\nname = 'A'", "sections[0].before: is missing; at least one of before, after is required"),
        ("[[sections]]\nbefore = 'a'", "sections[0].name: is missing"),
        ("[[sections]]\nname = 'Total'\nafter = 'a'", "sections[0].name: 'Total' is a row of every breakdown; choose another name"),
        ("[[sections]]\nname = 'A'\nafter = 'a'\n" * 2, "sections[1].name: 'A' is already the name of another section"),
        ("[[budgets]]\nmax = 1", "budgets[0].metric: is missing"),
        ("[[budgets]]\nmetric = 'parms'\nmax = 1", "budgets[0].metric: 'parms' is not known; did you mean 'params'?"),
        ("[[budgets]]\nmetric = 'MACs'\nmax = 1", "budgets[0].metric: 'MACs' is not known; did you mean 'macs'?"),
        (BUDGET, "budgets[0].max: is missing; at least one of max, min, max_increase, max_decrease, growth is required"),
        (BUDGET + "max = 'three'", "budgets[0].max: 'three' is not a number; write for example 3M, 25K, 2.6 GMACs, 884,736 or 1.5%"),
        (BUDGET + "max = true", "budgets[0].max: expected a number such as 3M, not true"),
        (BUDGET + "max = nan", "budgets[0].max: expected a number such as 3M, not nan"),
        (BUDGET + "max = 0x" + "f" * 5000, "budgets[0].max: is too large a number"),
        (BUDGET + "max_increase = 0x" + "f" * 5000, "budgets[0].max_increase: is too large a number"),
        (BUDGET + "max = []", "budgets[0].max: expected a number such as 3M, not an empty list"),
        (BUDGET + "max = '-3M'", "budgets[0].max: '-3M' is negative"),
        (BUDGET + "max = '<3M'", "budgets[0].max: '<3M' must be an exact number, without ~ or a relation"),
        (BUDGET + "max = '2.6 GMACs'", "budgets[0].max: '2.6 GMACs' does not fit the metric params; it fits macs"),
        ("[[budgets]]\nmetric = 'flops'\nmax = '1 GMACs'", "budgets[0].max: '1 GMACs' does not fit the metric flops; it fits macs"),
        (BUDGET + "max = '3 ms'", "budgets[0].max: '3 ms' does not fit the metric params; it fits no metric"),
        (BUDGET + "max = '1%'", "budgets[0].max: '1%' is a percentage; % is for max_increase and max_decrease"),
        (BUDGET + "max_increase = '1x'", "budgets[0].max_increase: '1x' does not fit the metric params; it fits no metric"),
        (BUDGET + "max = 1\nscope = []", "budgets[0].scope: is an empty list; remove it"),
        (BUDGET + "max = 1\nscope = 5", "budgets[0].scope: expected text or a list of texts, not a number"),
        (BUDGET + "max = 1\nmodel = 'after'", "budgets[0].model: 'after' is not in [models]; none is defined"),
        (MODELS + BUDGET + "max = 1\nmodel = ['aftr']", "budgets[0].model: 'aftr' is not in [models]; did you mean 'after'?"),
        (BUDGET + "max = 1\nagainst = 'baseline'", "budgets[0].against: is for max_increase and max_decrease only"),
        (
            MODELS + BUDGET + "max_increase = 1\nagainst = 'befor'",
            "budgets[0].against: 'befor' is neither 'baseline' nor in [models]; did you mean 'before'?",
        ),
        (
            "[[budgets]]\nmetric = 'saved_bytes'\nmax = '1 GiB'\nscope = 'head'",
            "budgets[0].scope: saved_bytes is measured for the whole model only; remove `scope`",
        ),
        ((BUDGET + "max = 1\nid = 'a'\n") * 2, "budgets[1].id: 'a' is already the id of budgets[0]"),
        (CLAIM, "claims[0].figure: is missing"),
        (CLAIM + "figure = 'many'", "claims[0].figure: 'many' is not a number; write for example 3M, 25K, 2.6 GMACs, 884,736 or 1.5%"),
        (
            CLAIM + "figure = '3 GiB'",
            "claims[0].figure: '3 GiB' does not fit the metric params; it fits param_bytes or activation_bytes or ",
        ),
        (CLAIM + "figure = '42x'", "claims[0].figure: '42x' needs comparison = 'ratio'"),
        (CLAIM + "figure = '63 %'", "claims[0].figure: '63 %' needs comparison = 'percent'"),
        (CLAIM + "figure = '42'\ncomparison = 'ration'", "claims[0].comparison: 'ration' is not known; did you mean 'ratio'?"),
        (
            MODELS + CLAIM + "figure = '42'\ncomparison = 'ratio'\nagainst = 'before'",
            "claims[0].figure: '42' is not a ratio; write for example 42x",
        ),
        (
            CLAIM + "figure = '63%'\ncomparison = 'percent'",
            "claims[0].against: is missing; comparison = 'percent' needs a model to compare with",
        ),
        (
            MODELS + CLAIM + "figure = 3\nagainst = 'before'",
            "claims[0].against: is for comparison = 'ratio', 'percent' or 'difference' only",
        ),
        ("[[claims]]\nmetric = 'shap'\nfigure = '[1]'", "claims[0].metric: 'shap' is not known; did you mean 'shape'?"),
        (
            "[[claims]]\nmetric = 'setting'\nfigure = 1",
            "claims[0].metric: 'setting': setting needs a name after a colon; write for example",
        ),
        (
            "[[claims]]\nmetric = 'children:a'\nfigure = 1",
            "claims[0].metric: 'children:a': children has nothing after it; write for example",
        ),
        ("[[claims]]\nmetric = 'shape'\nfigure = 'big'", "claims[0].figure: 'big' is not a shape; write for example [B, 128, H/8, W/8]"),
        ("[[claims]]\nmetric = 'shape'", "claims[0].figure: is missing"),
        ("[[claims]]\nmetric = 'presence'\nfigure = 'her'", "claims[0].figure: 'her' is not known; known: present, absent, new, gone"),
        ("[[claims]]\nmetric = 'presence'\nfigure = 'new'", "claims[0].against: is missing; figure = 'new' needs a model to compare with"),
        ("[[claims]]\nmetric = 'setting:p'\nfigure = {}", "claims[0].figure: expected a number such as 3M, not an empty table"),
        ("[[claims]]\nfigure = '5'\nexempt = ''", "claims[0].exempt: expected text, not empty text"),
        ("[[claims]]\nexempt = 'so'", "claims[0].figure: is missing"),
        (
            "[[claims]]\nfigure = '5'\nexempt = 'so'\nmetric = 'params'",
            "claims[0].metric: cannot be given together with `exempt`; remove one of them",
        ),
        (CLAIM + "figure = '~3'\ntolerance = '5'", "claims[0].tolerance: '5' is not a percentage below 100%; write for example 5%"),
        (CLAIM + "figure = '3'\nunit = 'apples'", "claims[0].figure: '3 apples' has an unknown unit 'apples'"),
        (CLAIM + "figure = 3\nexpect = 'other reading'", "claims[0].why: is missing; it is required where `expect` is 'other reading'"),
        (CLAIM + "figure = 3\nsection = 'Head'", "claims[0].section: 'Head' is not known; none is defined"),
        (CLAIM + "figure = 3\nexpect = false", "claims[0].expect: expected text, not false"),
        (CLAIM + "figure = 3\nexpect = 'no'", "claims[0].expect: 'no' is not known; known: true, false, other reading"),
        (CLAIM + "figure = 3\nexpect = 'false'", "claims[0].why: is missing; it is required where `expect` is 'false'"),
        (CLAIM + "figure = 3\nwhy = 'so'", "claims[0].why: is for expect = 'false' or 'other reading' only"),
    ],
)
def test_a_fault_gives_one_message_with_its_key(tmp_path: Path, text: str, fault: str) -> None:
    lines = read_faults(tmp_path, text)
    assert len(lines) == 1
    assert lines[0].startswith(fault)


def test_all_faults_are_listed_at_once(tmp_path: Path) -> None:
    text = "color = 1\n" + MODELS + BUDGET + "max = 'three'\nscop = ''\n" + BUDGET + "max = '1%'\nmodel = 'c'\n" + CLAIM
    assert [line.split(": ")[0] for line in read_faults(tmp_path, text)] == [
        "color",
        "budgets[0].scop",
        "budgets[0].max",
        "budgets[1].max",
        "budgets[1].model",
        "claims[0].figure",
    ]


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"a = 1\na = 2", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000])
def test_a_file_that_is_not_toml_gives_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "archaudit.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.message.startswith(f"{path}: is not TOML: ")
    assert "\n" not in caught.value.message


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "other.toml")
    assert caught.value.message == "other.toml: cannot be read: No such file or directory"
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_hostile_text_stays_on_one_short_line(tmp_path: Path) -> None:
    long = "x" * 5000
    lines = read_faults(tmp_path, f'"a\\nb" = 1\n[[budgets]]\nmetric = "{long}"\nmax = "1\\u001b[31m"\n')
    assert len(lines) == 3
    assert all(len(line) < 400 and line.isprintable() for line in lines)


VALUES: st.SearchStrategy[str] = st.sampled_from(
    ["1", "-1", "1e400", "0x" + "f" * 5000, "true", "''", "'a'", "'3M'", "[]", "['a']", "[[]]", "{}", "{a = 1}", "1979-05-27"]
)
KEYS = st.sampled_from(
    [
        "baselines",
        "models",
        "sections",
        "claims",
        "budgets",
        "metric",
        "max",
        "max_increase",
        "scope",
        "model",
        "figure",
        "exempt",
        "tolerance",
        "unit",
        "id",
        "name",
        "why",
        "level",
        "floor",
        "until",
        "reason",
        "type",
        "section",
        "scenario",
        "overrides",
        "gated",
        "defaults",
        "unchanged",
        "reference",
        "inputs",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["", "[[budgets]]", "[[unchanged]]", "[defaults]", "[[claims]]", "[[sections]]", "[models.a]", "[models.a.inputs]"]
            ),
            KEYS,
            VALUES,
        ),
        max_size=6,
    )
)
def test_no_toml_raises_anything_but_a_config_error(tmp_path: Path, lines: list[tuple[str, str, str]]) -> None:
    path = write(tmp_path, "\n".join(f"{table}\n{key} = {value}" for table, key, value in lines))
    message = ""
    try:
        load_config(path)
    except ConfigError as error:
        message = error.message
    assert [line for line in message.splitlines() if not line.startswith(f"{path}: ")] == []
