"""`archaudit schema config|profile|report|check`."""

from __future__ import annotations

import json
from typing import Any

import click

from archaudit.cli.output import print_text

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


@click.command(short_help="Print a JSON Schema.")
@click.argument("kind", type=click.Choice(["config", "profile", "report", "check"]))
def command(kind: str) -> int:
    """Print the JSON Schema of archaudit.toml, or of the JSON output of `profile`, `compare` and `check`.

    Editors can use the schema of the config. With taplo (Even Better TOML), write it to FILE and start the config with #:schema ./FILE.
    """
    print_text(json.dumps(_make_config_schema() if kind == "config" else _make_record_schema(kind), indent=1, sort_keys=True))
    return 0


def _make_config_schema() -> dict[str, Any]:
    from archaudit.config import make_config_schema

    return make_config_schema()


def _make_record_schema(kind: str) -> dict[str, Any]:
    import msgspec

    from archaudit.schema import Judgement, Profile, Report

    schema = msgspec.json.schema({"profile": Profile, "report": Report, "check": Judgement}[kind])
    if kind == "check":  # of a model that differs from its baseline, the rows that differ
        schema["$defs"]["Judgement"]["properties"]["differences"] = {"type": "object"}
    return {"$schema": _DRAFT, **schema}
