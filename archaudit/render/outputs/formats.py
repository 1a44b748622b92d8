"""The outputs of `archaudit check` for programs: JUnit XML, SARIF, OpenMetrics, JSON, CSV, and a badge as SVG.

JUnit has a suite for each model and a case for each check. A failed check is a failure, an inconclusive one an error; checks of level warn
and info that did not pass are skipped cases with their reason.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from io import StringIO
from itertools import groupby
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import msgspec

from archaudit.audit import list_rules
from archaudit.render.formatting import make_visible
from archaudit.schema import Judgement, SourceLine, Verdict, name_run

_KINDS = {"failed": "failure", "inconclusive": "error"}


def write_junit(judgement: Judgement) -> str:
    """JUnit XML; without checks it has one case, which is an error."""
    root = Element("testsuites", name="archaudit")
    checks = sorted(judgement.checks, key=_name_suite)
    for name, group in groupby(checks, key=_name_suite):
        _write_suite(root, name, list(group))
    if not checks:
        suite = SubElement(root, "testsuite", name="archaudit", tests="1", failures="0", errors="1", skipped="0")
        case = SubElement(suite, "testcase", name="checks", classname="archaudit")
        SubElement(case, "error", type="inconclusive", message="there are no budgets or baselines to check")
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _name_suite(check: Verdict) -> str:
    return make_visible(name_run(check.model, check.scenario)) or "archaudit"


def _write_suite(root: Element, name: str, checks: list[Verdict]) -> None:
    kinds = [_find_kind(check) for check in checks]
    counts = {f"{kind}s" if kind != "skipped" else kind: str(kinds.count(kind)) for kind in ("failure", "error", "skipped")}
    suite = SubElement(root, "testsuite", {"name": name, "tests": str(len(checks)), **counts})
    for check, kind in zip(checks, kinds, strict=True):
        case = SubElement(suite, "testcase", name=make_visible(check.id), classname=f"archaudit.{name}")
        reason = make_visible(check.reason)
        if kind == "skipped":
            SubElement(case, "skipped", message=f"{check.level}: {reason}")
        elif kind:
            SubElement(case, kind, type=check.outcome, message=reason).text = reason
        else:
            SubElement(case, "system-out").text = reason


def _find_kind(check: Verdict) -> str:
    if check.outcome == "passed":
        return ""
    return _KINDS[check.outcome] if check.level == "error" else "skipped"


# --- SARIF 2.1.0, the format of code scanning: a result for each check that did not pass, at the class of the module that caused it ---


_LEVELS = {"error": "error", "warn": "warning", "info": "note"}
_VERSION = "2.1.0"
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def write_sarif(judgement: Judgement) -> str:
    """SARIF with one run. `executionSuccessful` means that every check could be judged."""
    open_checks = [check for check in judgement.checks if check.outcome != "passed"]
    rules = list(dict.fromkeys(map(_name_rule, open_checks)))
    run: dict[str, Any] = {
        "tool": {"driver": {"name": "archaudit", "rules": [_describe_rule(rule) for rule in rules]}},
        "invocations": [{"executionSuccessful": bool(judgement.checks) and judgement.outcome != "inconclusive"}],
        "results": [_make_result(check, judgement.places.get(check.id), judgement.source) for check in open_checks],
        "columnKind": "unicodeCodePoints",
    }
    return json.dumps({"$schema": _SCHEMA, "version": _VERSION, "runs": [run]}, indent=1, sort_keys=True) + "\n"


def _name_rule(check: Verdict) -> str:
    """`params/max`; the code of a rule of the audit."""
    return check.comparison if check.comparison in list_rules() else f"{check.metric}/{check.comparison}"


def _describe_rule(name: str) -> dict[str, Any]:
    """A rule; one of the audit with its name, what it finds, and why."""
    judge = list_rules().get(name)
    if judge is None:
        return {"id": make_visible(name)}
    rule = judge.rule
    help_text = f"{rule.why} Fix: {rule.fix} Example: {rule.example}. Source: {rule.source}."
    return {"id": name, "name": rule.name, "shortDescription": {"text": rule.summary}, "help": {"text": help_text}}


def _make_result(check: Verdict, place: SourceLine | None, source: str) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": quote(place.file if place is not None else source or "archaudit.toml")}}
    if place is not None and place.line is not None:
        location["region"] = {"startLine": place.line}
    return {
        "ruleId": make_visible(_name_rule(check)),
        "level": _LEVELS[check.level],
        "message": {"text": make_visible(f"{check.id}: {check.outcome}: {check.reason}")},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"check/v1": make_visible(check.id)},
    }


# --- OpenMetrics text, for GitLab's metrics reports and Prometheus ---


_OUTCOMES = ("passed", "failed", "inconclusive")
# Each family with its help text and its value for a check; None leaves the check out.
_FAMILIES: dict[str, tuple[str, Callable[[Verdict], float | None]]] = {
    "archaudit_measured": ("What was measured, in the metric's own unit.", lambda check: check.actual),
    "archaudit_limit": ("The limit as a number, in the metric's own unit.", lambda check: check.limit),
}


def write_openmetrics(judgement: Judgement) -> str:
    """OpenMetrics: each family with a sample for each check, then the outcomes as state sets."""
    lines = []
    for name, (text, read) in _FAMILIES.items():
        lines += [f"# TYPE {name} gauge", f"# HELP {name} {text}"]
        lines += [f"{name}{{{_label(check)}}} {value}" for check in judgement.checks if (value := read(check)) is not None]
    lines += ["# TYPE archaudit_check stateset", "# HELP archaudit_check The outcome of each check."]
    for check in judgement.checks:
        lines += [f'archaudit_check{{{_label(check)},archaudit_check="{each}"}} {int(check.outcome == each)}' for each in _OUTCOMES]
    lines += ["# TYPE archaudit_outcome stateset", "# HELP archaudit_outcome The outcome of all checks together."]
    lines += [f'archaudit_outcome{{archaudit_outcome="{each}"}} {int(judgement.outcome == each)}' for each in _OUTCOMES]
    return "\n".join([*lines, "# EOF", ""])


def _label(check: Verdict) -> str:
    labels = {
        "check": check.id,
        "level": check.level,
        "metric": check.metric,
        "model": name_run(check.model, check.scenario),
        "scope": check.scope,
    }
    return ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items())


def _escape(text: str) -> str:
    return make_visible(text).replace("\\", "\\\\").replace('"', '\\"')


# --- JSON: the record; for a model that differs from its baseline, only the rows that differ ---


def write_json(judgement: Judgement) -> str:
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


# --- CSV (RFC 4180) with a line for each check; a spreadsheet reads no cell as a formula ---


_COLUMNS = (
    "id", "outcome", "level", "model", "scenario", "metric", "scope", "comparison", "expected", "limit", "actual", "deviation", "reason",
)  # fmt: skip
# Characters that begin a formula in spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(judgement: Judgement) -> str:
    """CSV with a header line. Numbers are unrounded; a text that looks like a formula gets an apostrophe in front."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for check in judgement.checks:
        writer.writerow([_format_cell(getattr(check, column)) for column in _COLUMNS])
    return out.getvalue()


def _format_cell(value: str | float | None) -> str | float:
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = make_visible(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


# --- a badge as SVG with the outcome as word and colour, without fonts, scripts or links ---


# Dark enough for white text (WCAG AA).
_COLORS = {"passed": "#1a7f37", "failed": "#cf222e", "inconclusive": "#9a6700"}
_GREY = "#555555"
_HEIGHT, _CHARACTER, _MARGIN = 20, 6.6, 12


def write_badge(judgement: Judgement) -> str:
    """An SVG badge."""
    label, value = "archaudit", judgement.outcome if judgement.checks else "no checks"
    widths = [round(len(text) * _CHARACTER) + _MARGIN for text in (label, value)]
    title = f"{label}: {value}"
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", width=str(sum(widths)), height=str(_HEIGHT), role="img")
    root.set("aria-label", title)
    SubElement(root, "title").text = title
    for text, start, width, color in ((label, 0, widths[0], _GREY), (value, widths[0], widths[1], _COLORS[judgement.outcome])):
        SubElement(root, "rect", x=str(start), width=str(width), height=str(_HEIGHT), fill=color)
        place = {"x": f"{start + width / 2:g}", "y": "14", "fill": "#ffffff", "text-anchor": "middle"}
        SubElement(root, "text", {**place, "font-family": "Verdana,DejaVu Sans,sans-serif", "font-size": "11"}).text = text
    return tostring(root, encoding="unicode") + "\n"
