"""An audit as text and as Markdown: findings by what they cost, equal ones in equal layers folded; and the rules explained."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from archaudit.audit import FAMILIES, list_rules
from archaudit.metrics.quantities import format_short
from archaudit.render.formatting import count, join_names, make_visible, name_path
from archaudit.render.layout import wrap
from archaudit.schema import Audit, Cost, Finding, FixProof, Rule, SourceLine, encode

_NARROWEST, _WIDEST_TEXT = 40, 120
# The paths of folded findings that are listed.
_MOST_NAMED = 4


def fold_findings(findings: Iterable[Finding]) -> list[list[Finding]]:
    """The findings, with those of one rule together that differ only in the numbers of their paths; in the order of the first."""
    groups: dict[tuple[str, str, str, str], list[Finding]] = {}
    for finding in findings:
        proof = finding.proof.outcome if finding.proof is not None else ""
        groups.setdefault((finding.code, _blur(finding.path), _blur(finding.message), proof), []).append(finding)
    return list(groups.values())


def _blur(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def sum_findings(findings: Iterable[Finding]) -> Cost:
    """What all of them cost together."""
    total = Cost()
    for finding in findings:
        total += finding.cost
    return total


def format_cost(cost: Cost) -> str:
    """`1.20M params, 3.40G FLOPs`: what is not zero; empty if nothing that is counted costs."""
    parts = [f"{format_short(value)} {unit}" for value, unit in ((cost.params, "params"), (cost.flops, "FLOPs")) if value]
    if cost.activation_bytes:
        parts.append(f"{format_short(cost.activation_bytes, 'bytes')} of activations")
    if cost.buffers and not cost.params:
        parts.append(f"{cost.buffers:,} buffer elements")
    return ", ".join(parts)


def format_place(place: SourceLine | None) -> str:
    """`models/net.py:12`."""
    if place is None:
        return ""
    return make_visible(place.file) + (f":{place.line}" if place.line is not None else "")


def format_proof(finding: Finding) -> str:
    """`proven: ...`, `advice`, `not proven: ...`."""
    proof = finding.proof
    if proof is None:
        return "advice" if list_rules()[finding.code].rule.support == "advice" or not finding.edits else ""
    return _describe_proof(proof)


def _describe_proof(proof: FixProof) -> str:
    if proof.outcome == "proven":
        how = "bit for bit" if proof.bitwise else f"within {proof.tolerance:g} of the largest output, in {proof.dtype}"
        return f"proven: same outputs {how}"
    return f"{'not equal' if proof.outcome == 'refuted' else 'not proven'}: {make_visible(proof.reason)}"


# --- text ---


def render_audit(audit: Audit, width: int, *, full: bool = False, color: bool = False) -> str:
    """The audit for a terminal."""
    width = max(_NARROWEST, min(width, _WIDEST_TEXT))
    lines = [*wrap(summarize(audit), width)]
    groups = [[each] for each in audit.findings] if full else fold_findings(audit.findings)
    for group in groups:
        lines += ["", *_format_group(group, width, color=color)]
    if audit.suppressed:
        lines += ["", *_format_suppressed(audit, full=full, width=width)]
    for text in audit.invalid:
        lines += wrap(f"! {make_visible(text)}", width, "  ")
    if audit.not_judged:
        lines.append("")
        for reason, codes in _group_reasons(audit):
            lines += wrap(f"? not judged: {', '.join(codes)}: {make_visible(reason)}", width, "  ")
    return "\n".join(lines) + "\n"


def summarize(audit: Audit) -> str:
    """`net: 3 findings; the fixes save 1.20M params, of 4.50M params and 1.00G FLOPs; 1 suppressed`."""
    name = make_visible(audit.name)
    if not audit.findings:
        text = f"{name}: no findings by {count(len(audit.rules), 'rule')}"
    else:
        cost = audit.saving if audit.saving is not None else sum_findings(audit.findings)
        verb = "the fixes save" if audit.saving is not None else "they cost"
        price = f"; {verb} {format_cost(cost)}, of" if format_cost(cost) else " in"
        text = f"{name}: {count(len(audit.findings), 'finding')}{price}"
        text += f" {format_short(audit.totals.params)} params and {format_short(audit.totals.flops)} FLOPs"
    return text + (f"; {len(audit.suppressed):,} suppressed" if audit.suppressed else "")


def _format_group(group: Sequence[Finding], width: int, *, color: bool) -> Iterator[str]:
    first = group[0]
    name = list_rules()[first.code].rule.name
    place, price = format_place(first.place), format_cost(sum_findings(group))
    head = f"{first.code} {name}  {name_path(first.path)}" + (f"  ({place})" if place else "") + (f"  {price}" if price else "")
    head_lines = list(wrap(head, width, "    "))
    yield (f"\x1b[1m{head_lines[0]}\x1b[0m" if color else head_lines[0])
    yield from head_lines[1:]
    yield from wrap(f"    {make_visible(first.message)}", width)
    if len(group) > 1:
        yield from wrap(
            f"    and in {len(group) - 1:,} more: {join_names([name_path(each.path) for each in group[1:]], _MOST_NAMED)}", width, "  "
        )
    support = format_proof(first)
    yield from wrap(f"    fix: {make_visible(first.fix)}" + (f"  [{support}]" if support else ""), width, "  ")


def _format_suppressed(audit: Audit, *, full: bool, width: int) -> Iterator[str]:
    if not full:
        codes = ", ".join(sorted({each.code for each in audit.suppressed}))
        yield f"{count(len(audit.suppressed), 'finding')} suppressed ({codes}); --full lists them"
        return
    yield "Suppressed:"
    for each in audit.suppressed:
        yield from wrap(f"  {each.code} {name_path(each.path)}: {make_visible(each.suppressed or '')}", width, "  ")


def _group_reasons(audit: Audit) -> Iterator[tuple[str, list[str]]]:
    pairs = sorted((reason, code) for code, reason in audit.not_judged.items())
    for reason, members in groupby(pairs, key=lambda pair: pair[0]):
        yield reason, [code for _, code in members]


# --- Markdown and JSON ---


def render_audit_markdown(audit: Audit) -> str:
    """A table that GitHub renders, with a row for each group of equal findings."""
    lines = [f"### Audit of {_cell(audit.name)}", "", _cell(summarize(audit)) + "."]
    if audit.findings:
        lines += ["", *make_markdown_table(audit.findings)]
    return "\n".join(lines) + "\n"


def make_markdown_table(findings: Iterable[Finding]) -> list[str]:
    """The lines of a table of findings."""
    lines = ["| rule | module | line | costs | what, and the fix | proof |", "|---|---|---|---|---|---|"]
    for group in fold_findings(findings):
        first = group[0]
        more = f" and {len(group) - 1:,} more" if len(group) > 1 else ""
        cells = (
            f"{first.code} {list_rules()[first.code].rule.name}",
            f"`{_cell(name_path(first.path))}`{more}",
            _cell(format_place(first.place)),
            format_cost(sum_findings(group)),
            f"{_cell(first.message)}. Fix: {_cell(first.fix)}.",
            _cell(format_proof(first)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(text: str) -> str:
    return make_visible(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


AUDIT_FORMATS: dict[str, Callable[[Audit], str]] = {
    "json": lambda audit: encode(audit).decode(),
    "markdown": render_audit_markdown,
}


# --- rules ---


def render_rule(rule: Rule, width: int) -> str:
    """One rule explained, for a terminal."""
    width = max(_NARROWEST, min(width, _WIDEST_TEXT))
    lines = [f"{rule.code} {rule.name} ({rule.family})", "", *wrap(rule.summary, width), ""]
    for title, text in (("Why", rule.why), ("Fix", rule.fix), ("Source", rule.source), ("Off by default", rule.off), ("Note", rule.note)):
        if text:
            lines += wrap(f"{title}: {text}", width, "    ")
    support = (
        "the model with the fix runs on random inputs and must compute the same" if rule.support == "proof" else "advice, without a proof"
    )
    lines += [*wrap(f"Support: {support}", width, "    "), "", "Example:", *(f"    {line}" for line in rule.example.splitlines())]
    return "\n".join(lines) + "\n"


def render_rules(width: int) -> str:
    """Every rule in a line."""
    lines: list[str] = []
    for prefix, family in FAMILIES.items():
        lines += ["", f"{prefix}xx {family.name}: {family.about}"]
        for code, judge in list_rules().items():
            if code.startswith(prefix):
                off = " (off by default)" if judge.rule.off else ""
                lines += wrap(f"  {code} {judge.rule.name}{off}: {judge.rule.summary}", max(_NARROWEST, width), "    ")
    return "\n".join(lines[1:]) + "\n"
