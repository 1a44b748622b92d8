"""The JSON Schema of a config: editors complete and check a file by it, and docs/configuration.md is made from it.

It accepts every config that reading accepts. Reading finds more faults: those that depend on other values or tables.
"""

from __future__ import annotations

from typing import Any

from archaudit.config.declaration import CONFIG, NAME_PATTERN, Field, TableType

_TEXT: dict[str, Any] = {"type": "string", "pattern": r"\S"}  # not blank


def make_config_schema() -> dict[str, Any]:
    """The schema of archaudit.toml, and of the table [tool.archaudit]."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "archaudit.toml"} | _make_table(CONFIG)


def _make_schema(declared: Field | TableType) -> dict[str, Any]:
    if isinstance(declared, TableType):
        return _make_tables(declared) | {"description": declared.meaning}
    default = f" Default: `{declared.default}`." if declared.default else ""
    return _make_type(declared) | {"description": declared.meaning + default}


def _make_tables(declared: TableType) -> dict[str, Any]:
    table = _make_table(declared)
    if declared.form == "array":
        return {"type": "array", "items": table}
    if declared.form == "named":
        return {"type": "object", "patternProperties": {f"^{NAME_PATTERN}$": table}, "additionalProperties": False}
    return table


def _make_table(declared: TableType) -> dict[str, Any]:
    fields = {name: field for name, field in declared.fields.items() if isinstance(field, Field)}
    table: dict[str, Any] = {
        "type": "object",
        "properties": {name: _make_schema(each) for name, each in declared.fields.items()},
        "required": [name for name, field in fields.items() if field.required],
        "additionalProperties": False,
    }
    if declared.one_of:
        table["anyOf"] = [{"required": [name]} for name in declared.one_of]
    if needs := {name: [field.needs] for name, field in fields.items() if field.needs}:
        table["dependentRequired"] = needs
    if conflicts := [{"not": {"required": [name, field.conflicts]}} for name, field in fields.items() if field.conflicts in fields]:
        table["allOf"] = conflicts
    return table


def _make_type(field: Field) -> dict[str, Any]:
    match field.kind:
        case "text":
            return {"enum": list(field.choices)} if field.choices else _TEXT
        case "texts":
            return _make_texts(field)
        case "named_texts":
            texts = _make_texts(field)
            return {"type": "object", "patternProperties": {f"^{NAME_PATTERN}$": texts}, "additionalProperties": False, "minProperties": 1}
        case "text_table":
            return {"type": "object", "additionalProperties": _TEXT, "minProperties": 1}
        case "number":
            return {"type": ["string", "number"]}
        case "value":
            return {"type": ["string", "number", "boolean", "array"], "items": {"type": ["string", "number", "boolean"]}}
        case "flag":
            return {"type": "boolean"}
        case "date":
            return {"type": "string", "format": "date"}


def _make_texts(field: Field) -> dict[str, Any]:
    """A text, or a list of texts."""
    text = {"enum": list(field.choices)} if field.choices else {"type": "string"} if field.allow_blank else _TEXT
    texts: dict[str, Any] = {"type": "array", "items": text}
    return {"anyOf": [text, texts if field.allow_empty else texts | {"minItems": 1}]}
