"""The rules of the audit: what is wasted or wrong in a model, found in its profile and in the built model.

A family of rules is one file, with one line in FAMILIES (`registry.py`). A rule is a `Rule` record and a function that yields findings.
"""

from __future__ import annotations

from archaudit.audit.evidence import Evidence
from archaudit.audit.registry import FAMILIES, Judge, find_rule, is_selector, list_rules, select_rules
from archaudit.audit.running import compare_audits, run_audit, sort_findings

__all__ = [
    "FAMILIES",
    "Evidence",
    "Judge",
    "compare_audits",
    "find_rule",
    "is_selector",
    "list_rules",
    "run_audit",
    "select_rules",
    "sort_findings",
]
