"""docs/configuration.md, made from the JSON Schema of the config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archaudit.config import make_config_schema

_HEAD = """\
# Configuration reference

<!-- This page is generated: pytest tests/docs --update-docs -->

archaudit reads `archaudit.toml`, or the table `[tool.archaudit]` of `pyproject.toml`, in the current folder or the nearest one above.
`--config FILE` names another file. [Budgets](budgets.md) explains how to use it. `archaudit schema config` prints the JSON Schema that this
page is made from; editors such as VS Code (Even Better TOML) use it if the first line of the config is `#:schema ./FILE`.
"""
# How TOML writes a table of each kind.
_HEADINGS = {"array": "[[{name}]]", "object": "[{name}]"}


def write_reference() -> str:
    """The whole page."""
    properties = make_config_schema()["properties"]
    tables = {name: schema for name, schema in properties.items() if _find_table(schema) is not None}
    plain = {name: schema for name, schema in properties.items() if name not in tables}
    lines = [_HEAD, "## Top-level keys", "", *_write_rows(plain, required=())]
    for name, schema in tables.items():
        lines += ["", *_write_table(name, schema)]
    return "\n".join(lines) + "\n"


def _find_table(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of the table that an array of tables repeats, that names stand for, or that it is itself."""
    items = schema.get("items", {})
    named = next(iter(schema.get("patternProperties", {}).values()), None)
    return next((each for each in (items, named, schema) if each and "properties" in each), None)


def _write_table(name: str, schema: dict[str, Any]) -> Iterator[str]:
    table = _find_table(schema)
    assert table is not None
    heading = _HEADINGS[schema["type"]].format(name=f"{name}.NAME" if "patternProperties" in schema else name)
    yield from (f"## {name}", "", f"`{heading}`: {schema['description']}", "")
    yield from _write_rows(table["properties"], table["required"])


def _write_rows(properties: dict[str, Any], required: tuple[str, ...] | list[str]) -> Iterator[str]:
    yield from ("| key | value | meaning |", "|---|---|---|")
    for key, schema in properties.items():
        needed = " (required)" if key in required else ""
        yield f"| `{key}`{needed} | {_name_type(schema)} | {_escape(schema['description'])} |"


def _name_type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "a metric" if "params" in schema["enum"] else ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return "metric or list of metrics" if "enum" in schema["anyOf"][0] else "text or list of texts"
    if "additionalProperties" in schema:
        return "table"
    if schema.get("format") == "date":
        return "date"
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if kinds == ["array"]:
        return "list"
    names = {"string": "text", "number": "number", "boolean": "true or false", "array": "list", "object": "table"}
    return " or ".join(names[kind] for kind in kinds)


def _escape(text: str) -> str:
    """A text in a cell of a Markdown table: asterisks of patterns are no emphasis."""
    return text.replace("|", "\\|").replace("*", "\\*")
