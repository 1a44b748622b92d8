"""Runs the selected rules, sorts findings by what they cost, applies suppressions, and compares the audits of two models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from archaudit.audit.evidence import Evidence
from archaudit.audit.registry import list_rules
from archaudit.errors import CannotJudge
from archaudit.schema import Audit, Directive, Finding, Inspection, Pair, SourceLine


def run_audit(evidence: Evidence, codes: Iterable[str], suppressed: Mapping[str, str] | None = None) -> Audit:
    """The findings of the rules with these codes.

    `suppressed` has reasons by `CODE` or `CODE:PATTERN` of module paths, as the config gives them; comments in the source are in the
    evidence.
    """
    findings: dict[tuple[str, str, str], Finding] = {}
    judged: list[str] = []
    not_judged: dict[str, str] = {}
    for code in codes:
        try:
            found = list(list_rules()[code].find(evidence))
        except CannotJudge as problem:
            not_judged[code] = str(problem)
            continue
        judged.append(code)
        findings |= {each.identity: each for each in found}
    inspection = evidence.inspection if evidence.is_inspected else Inspection()
    directives, invalid = _read_directives(inspection)
    listed = [_place(each, inspection.places) for each in findings.values()]
    listed = sort_findings([_suppress(each, directives, suppressed or {}) for each in listed])
    return Audit(
        name=evidence.profile.name,
        reference=evidence.profile.reference,
        totals=evidence.profile.totals,
        findings=tuple(each for each in listed if each.suppressed is None),
        suppressed=tuple(each for each in listed if each.suppressed is not None),
        rules=tuple(judged),
        not_judged=not_judged,
        invalid=invalid,
    )


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """The most expensive first: by FLOPs and parameters together, then by bytes; equal ones in the order of code and path.

    A parameter counts like the multiply-accumulate that reads it at least once.
    """

    def rank(finding: Finding) -> tuple[int, int, int, str, str, str]:
        cost = finding.cost
        return -(cost.flops + 2 * cost.params), -cost.activation_bytes, -cost.buffers, *finding.identity

    return sorted(findings, key=rank)


def _list_above(path: str) -> list[str]:
    """The path, and those of everything above it, nearest first; the root is last."""
    found = [path]
    while path:
        path = path.rpartition(".")[0]
        found.append(path)
    return found


def _place(finding: Finding, places: Mapping[str, SourceLine]) -> Finding:
    """The finding with the line that makes its module, or the nearest module above it whose line is known."""
    if finding.place is not None:
        return finding
    return msgspec.structs.replace(finding, place=next((places[path] for path in _list_above(finding.path) if path in places), None))


# --- suppressions ----------------------------------------------------------------------------------------------------


def _read_directives(inspection: Inspection) -> tuple[dict[str, list[Directive]], tuple[str, ...]]:
    """The valid comments by module path, and a text for each comment without a reason or with an unknown code."""
    valid: dict[str, list[Directive]] = {}
    invalid: dict[str, None] = {}
    for path, directives in inspection.directives.items():
        for each in directives:
            unknown = [code for code in each.codes if code not in list_rules()]
            where = f"{each.place.file}:{each.place.line}"
            if not each.reason:
                invalid[f"{where}: `archaudit: ignore[{', '.join(each.codes)}]` has no reason, so nothing is suppressed"] = None
            elif unknown or not each.codes:
                invalid[f"{where}: there is no rule {', '.join(unknown) or 'named'} to suppress"] = None
            else:
                valid.setdefault(path, []).append(each)
    return valid, tuple(invalid)


def _suppress(finding: Finding, directives: Mapping[str, Sequence[Directive]], suppressed: Mapping[str, str]) -> Finding:
    """The finding with the reason of the first suppression that fits: a comment at its module or above, or an entry of the config."""
    reasons = [each.reason for path in _list_above(finding.path) for each in directives.get(path, ()) if finding.code in each.codes]
    for selector, reason in suppressed.items():
        code, _, pattern = selector.partition(":")
        if code == finding.code and (not pattern or fnmatchcase(finding.path, pattern)):
            reasons.append(reason)
    return msgspec.structs.replace(finding, suppressed=reasons[0]) if reasons else finding


# --- two models ------------------------------------------------------------------------------------------------------


def compare_audits(audits: Pair[Audit], matched: Mapping[str, str]) -> Pair[tuple[Finding, ...]]:
    """The findings of before that are resolved after, and those of after that are introduced.

    `matched` maps paths of after to those of before: a finding in a module that was renamed is the same finding. A finding that is
    suppressed on one side is not introduced on the other.
    """
    known = {each.identity for each in (*audits.before.findings, *audits.before.suppressed)}
    kept: set[tuple[str, str, str]] = set()
    introduced = []
    for finding in (*audits.after.findings, *audits.after.suppressed):
        identity = finding.code, matched.get(finding.path, finding.path), finding.key
        kept.add(identity)
        if identity not in known and finding.suppressed is None:
            introduced.append(finding)
    resolved = [each for each in audits.before.findings if each.identity not in kept and each.code not in audits.after.not_judged]
    return Pair(tuple(resolved), tuple(introduced))
