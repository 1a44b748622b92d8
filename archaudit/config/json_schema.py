"""The config as a JSON Schema: what editors need to complete and check it. Reading a config checks more, and does not use this."""

from __future__ import annotations

from typing import Any

from archaudit.config.budgets import BUDGET_KEYS, DEFAULT_KEYS, LEVELS, LIMITS, UNCHANGED_KEYS
from archaudit.config.claims import CLAIM_KEYS
from archaudit.config.reading import MODEL_KEYS, TABLES
from archaudit.metrics.catalog import METRICS

_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"anyOf": [_TEXT, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_FIGURE = {"type": ["string", "number"], "description": "A number such as 3M, 2.6 GMACs or 10 MiB."}
_METRIC = {"enum": list(METRICS)}
_NAME = r"^[A-Za-z_][\w-]*$"

_VALUES: dict[str, Any] = {
    "metric": _METRIC | {"description": "What is limited."},
    "max": _FIGURE,
    "min": _FIGURE,
    "max_increase": _FIGURE | {"description": "An amount, or a share such as 1%; against the baseline unless `against` says otherwise."},
    "max_decrease": _FIGURE | {"description": "An amount, or a share such as 1%; against the baseline unless `against` says otherwise."},
    "floor": _FIGURE | {"description": "The change up to which a share does not matter: both must be exceeded."},
    "overrides": _TEXT | {"description": "The id of a budget above whose place this one takes for its models."},
    "id": _TEXT,
    "model": _TEXTS | {"description": "Names from [models]; left out: every model."},
    "scenario": _TEXTS | {"description": "Input scenarios of [models.NAME.inputs]; left out: each of them."},
    "scope": _TEXTS | {"description": "Paths or patterns: * within one name, ** across names; left out: the whole model."},
    "type": _TEXTS | {"description": "Types of modules, each with everything below it; patterns as in file names."},
    "section": _TEXT | {"description": "The name of a [[sections]], in place of `scope`."},
    "against": _TEXT | {"description": "`baseline`, or the name of another model."},
    "level": {"enum": list(LEVELS), "description": "Only `error` decides the exit status."},
    "reason": _TEXT | {"description": "Why the limit is what it is."},
    "until": {"type": "string", "format": "date", "description": "The last day of a raise; past it the check fails. It needs a reason."},
    "reference": _TEXT | {"description": "Where the model is: file.py:Class, package.module:Class, torchvision:NAME, a saved profile."},
    "input": _TEXTS | {"description": "1x3x224x224, or ids=int64[1,128]."},
    "inputs": {"type": "object", "additionalProperties": _TEXTS, "minProperties": 1, "description": "Named input scenarios."},
}


def make_config_schema() -> dict[str, Any]:
    """The schema of archaudit.toml, and of the table [tool.archaudit]."""
    budget = _describe_table(BUDGET_KEYS, required=("metric",)) | {"anyOf": [{"required": [name]} for name in LIMITS]}
    model = _describe_table(MODEL_KEYS, required=("reference",))
    patterns = {"type": ["string", "array"], "items": {"type": "string"}}  # a side of a section may be empty
    section = {
        "type": "object",
        "properties": {"name": _TEXT, "before": patterns, "after": patterns},
        "required": ["name"],
        "additionalProperties": False,
    }
    pin = {"before": _TEXT, "after": _TEXT, "forbid": {"type": "boolean"}}
    known: dict[str, Any] = {
        "baselines": _TEXT | {"description": "The folder of saved profiles, beside the config (default: baselines)."},
        "formulas": _TEXTS | {"description": "Files or modules that register formulas for operators."},
        "gated": {"type": "array", "items": _METRIC, "minItems": 1, "description": "Metrics that every model must have a budget on."},
        "models": {"type": "object", "patternProperties": {_NAME: model}, "additionalProperties": False},
        "defaults": _describe_table(DEFAULT_KEYS),
        "budgets": {"type": "array", "items": budget},
        "unchanged": {"type": "array", "items": _describe_table(UNCHANGED_KEYS)},
        "sections": {"type": "array", "items": section},
        "align": {"type": "array", "items": {"type": "object", "properties": pin, "additionalProperties": False}},
        "claims": {
            "type": "array",
            "items": {"type": "object", "properties": {key: {} for key in CLAIM_KEYS}, "additionalProperties": False},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "archaudit.toml",
        "type": "object",
        "properties": {name: known.get(name, {}) for name in TABLES},
        "additionalProperties": False,
    }


def _describe_table(keys: tuple[str, ...], required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: _VALUES[key] for key in keys},
        "required": list(required),
        "additionalProperties": False,
    }
