"""JUnit XML: a suite for each model, a case for each check.

A check that failed is a failure, one that could not be judged an error; those that only warn are skipped cases with what they found.
"""

from __future__ import annotations

from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from archaudit.render.formatting import make_visible
from archaudit.schema import Judgement, Verdict, name_run

_KINDS = {"failed": "failure", "inconclusive": "error"}


def write(judgement: Judgement) -> str:
    """The document; without checks it has one case, which is an error."""
    root = Element("testsuites", name="archaudit")
    checks = sorted(judgement.checks, key=_name_suite)
    for name, group in groupby(checks, key=_name_suite):
        _write_suite(root, name, list(group))
    if not checks:
        suite = SubElement(root, "testsuite", name="archaudit", tests="1", failures="0", errors="1", skipped="0")
        case = SubElement(suite, "testcase", name="checks", classname="archaudit")
        SubElement(case, "error", type="inconclusive", message="nothing was asked: there are no budgets or baselines")
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
