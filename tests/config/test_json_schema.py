"""The JSON Schema of the config and the reading of the config agree: both follow one declaration."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import archaudit
from archaudit.config import make_config_schema
from archaudit.config.declaration import CLAIM, CONFIG, LATENCY, Field, TableType
from archaudit.config.reading import read_config
from archaudit.errors import ConfigError
from archaudit.timing.decision import MIN_CHANGE_S

ROOT = Path(__file__).parent.parent.parent
PACKAGE = Path(archaudit.__file__).parent
CONFIGS = [ROOT / ".ci" / "archaudit.toml", *sorted((PACKAGE / "examples" / "segmentation").glob("*.toml"))]
VALIDATOR = jsonschema.Draft202012Validator(make_config_schema())

# Enough for a table of each kind to be read without a fault.
COMPLETE = {
    "models": {"reference": "a.py:A"},
    "budgets": {"metric": "params", "max": 1},
    "unchanged": {},
    "defaults": {},
    "sections": {"name": "Head", "before": "head"},
    "align": {"before": "a", "after": "b"},
    "claims": {"metric": "params", "figure": 3},
    "tables": {"models": "timm", "name": "Model", "params": "Params"},
    "latency": {"before": "baseline", "after": "a"},
    "audit": {"select": "dead", "max": 3, "suppress": {"AR101:head": "loaded later"}},
    "training": {"optimizer": "sgd", "amp": "bfloat16", "checkpoint": "model"},
}
TABLES = {name: each for name, each in CONFIG.fields.items() if isinstance(each, TableType)}
KEYS = [(name, key) for name, table in TABLES.items() for key in table.fields]


def wrap(name: str, values: dict[str, object]) -> dict[str, object]:
    """A config with one table, and a model that its checks can name."""
    form = TABLES[name].form
    config: dict[str, object] = {"models": {"a": COMPLETE["models"]}}
    return config | {name: [values] if form == "array" else {"a": values} if form == "named" else values}


def find_schema(name: str) -> dict[str, object]:
    schema = make_config_schema()["properties"][name]
    return schema.get("items") or next(iter(schema.get("patternProperties", {}).values()), schema)


def find_faults(config: dict[str, object]) -> list[str]:
    """What reading finds wrong, one text for each fault."""
    try:
        read_config(config, "here", Path())
    except ConfigError as error:
        return [line.removeprefix("here: ") for line in error.message.splitlines()]
    return []


def accepts(config: dict[str, object]) -> bool:
    return VALIDATOR.is_valid(json.loads(json.dumps(config, default=str)))  # dates are texts in JSON


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_schema_accepts_the_configs_of_the_repository(path):
    jsonschema.Draft202012Validator.check_schema(make_config_schema())
    config = tomllib.loads(path.read_text())
    assert config
    VALIDATOR.validate(json.loads(json.dumps(config, default=str)))


@pytest.mark.parametrize("name", TABLES)
def test_the_schema_has_the_keys_that_are_declared_each_with_a_meaning(name):
    properties = find_schema(name)["properties"]
    assert list(properties) == list(TABLES[name].fields)
    assert [key for key, schema in properties.items() if len(schema.get("description", "")) < 10 or len(schema) < 2] == []


@pytest.mark.parametrize("name", TABLES)
def test_a_complete_table_is_accepted_and_a_misspelt_key_is_refused_by_both(name):
    complete, misspelt = wrap(name, COMPLETE[name]), wrap(name, COMPLETE[name] | {"figgure": 3})
    assert (find_faults(complete), accepts(complete)) == ([], True)
    assert not accepts(misspelt)
    (fault,) = find_faults(misspelt)
    assert ".figgure: is not a known key" in fault
    assert (find_faults({"bugdets": []}), accepts({"bugdets": []})) == (["bugdets: is not a known key; did you mean 'budgets'?"], False)


@pytest.mark.parametrize(("name", "key"), KEYS)
def test_each_key_is_read_and_a_value_of_a_wrong_type_is_refused_by_both(name, key):
    config = wrap(name, COMPLETE[name] | {key: {"wrong": {"type": 1}}})
    assert any(f".{key}: " in fault or f".{key}.wrong: " in fault for fault in find_faults(config)), "reading does not look at it"
    assert not accepts(config)


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, key in KEYS if getattr(TABLES[name].fields[key], "choices", ())])
def test_the_choices_of_a_key_are_those_that_reading_accepts(name, key):
    field = TABLES[name].fields[key]
    assert isinstance(field, Field)
    for value in field.choices:
        config = wrap(name, COMPLETE[name] | {key: value})
        assert accepts(config)
        assert not any(f"{key}: {value!r} is not known" in fault for fault in find_faults(config))
    wrong = wrap(name, COMPLETE[name] | {key: "wrong"})
    assert not accepts(wrong)
    assert any(f".{key}: 'wrong' is not known" in fault for fault in find_faults(wrong))


@pytest.mark.parametrize(
    "text",
    [
        "[[budgets]]\nmetric = 'params'",
        "[[budgets]]\nmetric = 'params'\nmax = 1\nuntil = 2026-12-31",
        "[[budgets]]\nmetric = 'params'\nmax = 1\nscope = []",
        "[[unchanged]]\nscope = 'a'\nsection = 'b'",
        "[models.'a b']\nreference = 'x'",
        "[models.a]",
        "[models.a]\nreference = ' '",
        "[models.a]\nreference = 'x'\ninput = '1'\ninputs = {a = '1'}",
        "[models.a]\nreference = 'x'\ninputs = {}",
        "gated = ['parms']",
        "[[unchanged]]\nmetric = 'params'",
        "[[claims]]\nfigure = '3M'\nmetric = 'params'\ncomparison = 'times'",
        "[[sections]]\nname = 'a'",
        "[[align]]\nforbid = true",
        "[[claims]]\nfigure = 3",
        "[[claims]]\nmetric = 'params'",
        "[[claims]]\nfigure = 3\nmetric = 'params'\nexempt = 'so'",
        "[[claims]]\nfigure = 3\nexempt = 'so'\nexpect = 'false'\nwhy = 'so'",
        "[latency]\nbefore = 'a'",
        "[latency]\nbefore = 'baseline'\nafter = 'b'\nmax_ratio = 2\nmax_increase = '3%'",
    ],
)
def test_what_is_missing_or_contradicts_is_refused_by_both(text):
    config = tomllib.loads(text)
    assert find_faults(config)
    assert not accepts(config)


def test_defaults_in_descriptions_are_those_of_the_code():
    properties = find_schema("latency")["properties"]
    assert f"Default: {MIN_CHANGE_S * 1e3:g} ms." in properties["min_change"]["description"]
    assert properties["max_increase"]["description"].endswith("Default: `5%`.")
    assert list(LATENCY.fields) == list(properties)
    assert find_schema("claims")["properties"]["comparison"]["enum"] == ["equals", "difference", "ratio", "percent"]
    assert list(CLAIM.fields)[1] == "figure"


VALUES = st.one_of(
    st.sampled_from(["a", "", " ", "3M", "1%", "baseline", "head", "params", "warn", "true", "2026-12-31", "1x3x8x8", "5 ms"]),
    st.sampled_from([1, 0, -1, 2.5, True, False, [], ["a"], [1], [""], {}, {"a": "1"}, {"a b": "1"}, {"a": []}]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=400)
@given(
    st.sampled_from([*TABLES]).flatmap(
        lambda name: st.tuples(st.just(name), st.dictionaries(st.sampled_from([*TABLES[name].fields]), VALUES))
    )
)
def test_the_schema_accepts_every_config_that_reading_accepts(drawn):
    name, values = drawn
    config = wrap(name, COMPLETE[name] | values)
    if not find_faults(config):
        VALIDATOR.validate(config)
