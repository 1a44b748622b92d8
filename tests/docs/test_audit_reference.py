"""docs/audit.md describes every rule of the audit as the registry has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs.audit_reference import MARK, write_rules

from archaudit.audit import FAMILIES, list_rules

PAGE = Path(__file__).parent.parent.parent / "docs" / "audit.md"


def test_the_rules_on_the_page_are_those_of_the_registry(request):
    head, mark, rules = PAGE.read_text(encoding="utf-8").partition(MARK)
    if request.config.getoption("--update-docs"):
        rules = write_rules()
        PAGE.write_text(head + MARK + rules, encoding="utf-8")
    assert mark
    assert rules == write_rules(), "to write it again: pytest tests/docs --update-docs"


@pytest.mark.parametrize("code", list_rules())
def test_a_rule_says_what_why_an_example_a_fix_and_a_source(code):
    rule = list_rules()[code].rule
    assert rule.code == code
    prefix = code[:3]
    assert FAMILIES[prefix].name == rule.family
    for text in (rule.summary, rule.why, rule.fix):
        assert text.endswith("."), text
        assert len(text) > 20
    assert len(rule.example) > 10
    assert len(rule.source) > 10
    assert not rule.source.endswith(".")
    assert all(text == "" or text.endswith(".") for text in (rule.off, rule.note))
