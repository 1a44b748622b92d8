"""The config as a JSON Schema: what editors need to complete and check it, and what docs/configuration.md is made of.

Reading a config checks more, and does not use this.
"""

from __future__ import annotations

from typing import Any, get_args

from archaudit.config.budgets import BUDGET_KEYS, DEFAULT_KEYS, LEVELS, LIMITS, UNCHANGED_KEYS
from archaudit.config.claims import CLAIM_KEYS
from archaudit.config.latency import LATENCY_KEYS
from archaudit.config.reading import MODEL_KEYS, TABLES
from archaudit.metrics.catalog import METRICS
from archaudit.schema import Device, Precision

_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"anyOf": [_TEXT, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_PATTERNS = {"type": ["string", "array"], "items": {"type": "string"}}  # may be empty
_FIGURE = {"type": ["string", "number"]}
_METRIC = {"enum": list(METRICS)}
_NAME = r"^[A-Za-z_][\w-]*$"


def _describe(kind: dict[str, Any], text: str) -> dict[str, Any]:
    return kind | {"description": text}


_CHANGE = "An amount, or a percentage such as 1%, compared with `against`."
# What a key means in the tables of models, budgets, pins and defaults.
_VALUES: dict[str, Any] = {
    "metric": _describe(_METRIC, "The metric that is limited."),
    "max": _describe(_FIGURE, "The largest value: a number such as 3M, 2.6 GMACs or 10 MiB."),
    "min": _describe(_FIGURE, "The smallest value."),
    "max_increase": _describe(_FIGURE, f"The largest increase. {_CHANGE}"),
    "max_decrease": _describe(_FIGURE, f"The largest decrease. {_CHANGE}"),
    "floor": _describe(_FIGURE, "For a percentage: the budget fails only if the change exceeds this amount too."),
    "overrides": _describe(_TEXT, "The id of a budget above. This budget replaces it for its models."),
    "id": _describe(_TEXT, "The name in reports. Default: made from the metric, scope and model."),
    "model": _describe(_TEXTS, "Names from [models]. Default: `after` in `compare`, every model in `check`."),
    "scenario": _describe(_TEXTS, "Names from [models.NAME.inputs]. Default: every scenario."),
    "scope": _describe(_TEXTS, "Module paths or patterns: * matches within one name, ** across names. Default: the whole model."),
    "type": _describe(_TEXTS, "Module classes, each with everything below it; patterns as in file names."),
    "section": _describe(_TEXT, "The name of a section, in place of `scope`."),
    "against": _describe(_TEXT, "What is compared with: `baseline` (the default), or the name of another model."),
    "level": _describe({"enum": list(LEVELS)}, "Only `error` (the default) decides the exit status; `warn` and `info` are shown."),
    "reason": _describe(_TEXT, "Why the limit is what it is."),
    "until": _describe(
        {"type": "string", "format": "date"}, "The last day of the limit, a TOML date. After it the check fails. Needs `reason`."
    ),
    "reference": _describe(_TEXT, "The model: file.py:Class, package.module:Class, torchvision:NAME, or a saved profile."),
    "input": _describe(_TEXTS, "The input, such as 1x3x224x224 or ids=int64[1,128]."),
    "inputs": _describe(
        {"type": "object", "additionalProperties": _TEXTS, "minProperties": 1},
        "Several named inputs (scenarios), each judged separately. `compare` takes the first.",
    ),
}
_CLAIM_VALUES: dict[str, Any] = {
    "id": _describe(_TEXT, "The name in reports. Default: made from the source and the figure."),
    "figure": _describe(
        {"type": ["string", "number", "boolean", "array"]}, "The number as the document writes it, such as ~21K, 42x or 63%."
    ),
    "document": _describe(_TEXT, "The document's file name."),
    "source": _describe(_TEXT, "The part of the document, such as a heading."),
    "near": _describe(_TEXT, "Text near the figure, to tell equal figures apart."),
    "section": _describe(_TEXT, "The name of the section of the report that shows the claim."),
    "model": _describe(_TEXT, "The name of the model that the figure is about."),
    "metric": _describe(_TEXT, "What the figure counts; see docs/claims.md."),
    "scope": _describe(_TEXTS, "Module paths or patterns. Default: the whole model."),
    "comparison": _describe({"enum": ["equals", "ratio", "percent", "difference"]}, "How the figure is compared. Default: `equals`."),
    "against": _describe(_TEXT, "The other model of a ratio, percentage or difference."),
    "against_scope": _describe(_TEXTS, "Module paths or patterns in the other model. Default: `scope`."),
    "unit": _describe(_TEXT, "The unit, if the document writes it elsewhere, such as in a table heading."),
    "tolerance": _describe(_TEXT, "The percentage by which an approximate figure may differ, such as 5%."),
    "expect": _describe({"enum": ["true", "false", "other reading"]}, "The expected result. Default: `true`. Others need `why`."),
    "why": _describe(_TEXT, "Why the claim is expected to be false, or true under another reading."),
    "exempt": _describe(
        _TEXT, "Why the number is not checked. Only `id`, `figure`, `document`, `source`, `near` and `section` go with it."
    ),
}
_LATENCY_VALUES: dict[str, Any] = {
    "id": _describe(_TEXT, "The name in reports. Default: latency."),
    "before": _describe(_TEXT, "A model that is measured in the same run, or `baseline` for recorded times of the baseline of `after`."),
    "after": _describe(_TEXT, "The model whose time is limited."),
    "max_ratio": _describe(_FIGURE, "The largest ratio after/before, such as 0.5. In place of `max_increase`."),
    "max_increase": _describe(_TEXT, "The largest increase in percent. Default: 5%."),
    "min_change": _describe(_TEXT, "A change up to this time never fails, such as 0.1 ms. Default: 0.02 ms."),
    "device": _describe({"enum": list(get_args(Device))}, "Where to run. Default: auto, CUDA if there is a device."),
    "dtype": _describe({"enum": list(get_args(Precision))}, "The arithmetic. Default: float32."),
}
_SECTION_VALUES: dict[str, Any] = {
    "name": _describe(_TEXT, "The name of the row."),
    "before": _describe(_PATTERNS, "Module paths or patterns in the model before."),
    "after": _describe(_PATTERNS, "Module paths or patterns in the model after."),
}
_PIN_VALUES: dict[str, Any] = {
    "before": _describe(_TEXT, "The path of a module before. Alone: it has no counterpart."),
    "after": _describe(_TEXT, "The path of a module after. Alone: it has no counterpart."),
    "forbid": _describe({"type": "boolean"}, "true: the two are not the same module."),
}


def make_config_schema() -> dict[str, Any]:
    """The schema of archaudit.toml, and of the table [tool.archaudit]."""
    budget = _make_table(_pick(BUDGET_KEYS), required=("metric",)) | {"anyOf": [{"required": [name]} for name in LIMITS]}
    model = _make_table(_pick(MODEL_KEYS), required=("reference",))
    claim = _make_table({key: _CLAIM_VALUES[key] for key in CLAIM_KEYS}, required=("figure",))
    latency = _make_table({key: _LATENCY_VALUES[key] for key in LATENCY_KEYS}, required=("before", "after"))
    known: dict[str, Any] = {
        "baselines": _describe(_TEXT, "The folder of saved profiles, relative to the config. Default: baselines."),
        "formulas": _describe(_TEXTS, "Files or modules that register formulas for operators."),
        "gated": _describe({"type": "array", "items": _METRIC, "minItems": 1}, "Metrics that every model must have a budget on."),
        "models": _describe(
            {"type": "object", "patternProperties": {_NAME: model}, "additionalProperties": False}, "The models, each under its name."
        ),
        "defaults": _describe(_make_table(_pick(DEFAULT_KEYS)), "Values for all budgets that do not set them."),
        "budgets": _make_array(budget, "Limits on metrics. A budget needs at least one of max, min, max_increase and max_decrease."),
        "unchanged": _make_array(_make_table(_pick(UNCHANGED_KEYS)), "Parts of a model that may not change at all."),
        "sections": _make_array(_make_table(_SECTION_VALUES, required=("name",)), "The rows of the breakdown in reports."),
        "align": _make_array(_make_table(_PIN_VALUES), "Corrections to how modules are matched."),
        "claims": _make_array(claim, "Figures of documents, and what they are about."),
        "latency": _describe(latency, "The budget on measured time."),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "archaudit.toml",
        "type": "object",
        "properties": {name: known[name] for name in TABLES},
        "additionalProperties": False,
    }


def _pick(keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: _VALUES[key] for key in keys}


def _make_table(properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _make_array(table: dict[str, Any], text: str) -> dict[str, Any]:
    return {"type": "array", "items": table, "description": text}
