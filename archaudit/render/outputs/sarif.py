"""SARIF 2.1.0, the format of code scanning: a result for each check that does not hold, at the class of the module that caused it.

Source: OASIS, Static Analysis Results Interchange Format 2.1.0.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from archaudit.render.formatting import make_visible
from archaudit.schema import Judgement, SourceLine, Verdict

_LEVELS = {"error": "error", "warn": "warning", "info": "note"}
_VERSION = "2.1.0"
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def write(judgement: Judgement) -> str:
    """The log of one run; that it ended well says only that every check was judged."""
    told = [check for check in judgement.checks if check.outcome != "passed"]
    rules = list(dict.fromkeys(f"{check.metric}/{check.comparison}" for check in told))
    run: dict[str, Any] = {
        "tool": {"driver": {"name": "archaudit", "rules": [{"id": make_visible(rule)} for rule in rules]}},
        "invocations": [{"executionSuccessful": bool(judgement.checks) and judgement.outcome != "inconclusive"}],
        "results": [_write_result(check, judgement.places.get(check.id), judgement.source) for check in told],
        "columnKind": "unicodeCodePoints",
    }
    return json.dumps({"$schema": _SCHEMA, "version": _VERSION, "runs": [run]}, indent=1, sort_keys=True) + "\n"


def _write_result(check: Verdict, place: SourceLine | None, source: str) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": quote(place.file if place is not None else source or "archaudit.toml")}}
    if place is not None and place.line is not None:
        location["region"] = {"startLine": place.line}
    return {
        "ruleId": make_visible(f"{check.metric}/{check.comparison}"),
        "level": _LEVELS[check.level],
        "message": {"text": make_visible(f"{check.id}: {check.outcome}: {check.reason}")},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"check/v1": make_visible(check.id)},
    }
