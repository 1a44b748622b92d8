"""CSV (RFC 4180), a line for each check; no cell is a formula to a spreadsheet."""

from __future__ import annotations

import csv
from io import StringIO

from archaudit.render.formatting import make_visible
from archaudit.schema import Judgement

_COLUMNS = (
    "id", "outcome", "level", "model", "scenario", "metric", "scope", "comparison", "expected", "limit", "actual", "deviation", "reason",
)  # fmt: skip
# What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(judgement: Judgement) -> str:
    """The table with a head. Numbers are unrounded; a text that could be a formula begins with an apostrophe."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for check in judgement.checks:
        writer.writerow([_write_cell(getattr(check, column)) for column in _COLUMNS])
    return out.getvalue()


def _write_cell(value: str | float | None) -> str | float:
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = make_visible(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
