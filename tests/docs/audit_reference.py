"""The rules in docs/audit.md, made from the registry of rules."""

from __future__ import annotations

from archaudit.audit import FAMILIES, list_rules
from archaudit.schema import Rule

# What follows this line in the page is generated.
MARK = "<!-- The rules below are generated: pytest tests/docs --update-docs -->\n"


def write_rules() -> str:
    """A section for each family, with every rule in it."""
    lines: list[str] = []
    for prefix, family in FAMILIES.items():
        rules = [judge.rule for code, judge in list_rules().items() if code.startswith(prefix)]
        lines += ["", f"## {prefix}xx {family.name}", "", f"{family.about.capitalize()}.", ""]
        lines += ["| code | name | what it finds | support |", "|---|---|---|---|"]
        lines += [f"| {rule.code} | {rule.name} | {rule.summary} | {describe_support(rule)} |" for rule in rules]
        for rule in rules:
            lines += ["", *write_rule(rule)]
    return "\n".join(lines) + "\n"


def describe_support(rule: Rule) -> str:
    return rule.support + (", off by default" if rule.off else "")


def write_rule(rule: Rule) -> list[str]:
    lines = [
        f"### {rule.code} {rule.name}",
        "",
        f"{rule.summary} {rule.why}",
        "",
        *(f"    {line}" for line in rule.example.splitlines()),
        "",
    ]
    lines.append(f"Fix: {rule.fix} Source: {rule.source}.")
    lines += [
        text for title, reason in (("Off by default", rule.off), ("Note", rule.note)) if reason for text in ("", f"{title}: {reason}")
    ]
    return lines
