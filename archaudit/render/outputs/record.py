"""JSON: the judgement's own record; of a model that differs from its baseline, the rows that differ."""

from __future__ import annotations

import json

import msgspec

from archaudit.schema import Judgement


def write(judgement: Judgement) -> str:
    """The record with sorted keys."""
    content = msgspec.to_builtins(msgspec.structs.replace(judgement, differences={}))
    content["differences"] = {
        run: {
            "delta": msgspec.to_builtins(report.delta),
            "flops_complete": report.flops_complete,
            "modules": [msgspec.to_builtins(row) for row in report.modules if row.changes != ("same",)],
        }
        for run, report in judgement.differences.items()
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"
