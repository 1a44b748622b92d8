"""The gate on findings of the audit: a verdict for each finding of a model, and one for the model; and what a change does to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from archaudit.audit import compare_audits, list_rules
from archaudit.config import AuditConfig
from archaudit.errors import ArchauditError
from archaudit.pipeline.auditing import audit, audit_target
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import Target
from archaudit.schema import Audit, AuditChange, Finding, Match, Pair, SourceLine, Verdict

# The metric of these verdicts in reports; it is no metric of a profile.
METRIC = "audit"


def judge_audits(names: Iterable[str], options: Options) -> tuple[tuple[Verdict, ...], dict[str, SourceLine]]:
    """The verdicts on the findings of the models, and the source line of each; none without a table [audit] in the config."""
    config = options.config.audit if options.config is not None else None
    if config is None or options.config is None:
        return (), {}
    verdicts: list[Verdict] = []
    places: dict[str, SourceLine] = {}
    for name in tuple(names) or options.config.models:
        try:
            found = audit(name, options, proof=False)
        except ArchauditError as error:
            verdicts.append(_make_verdict(f"audit-{name}", name, config, "inconclusive", f"the model was not audited: {error.message}"))
            continue
        verdicts += judge_findings(found, name, config)
        places |= {_name_check(each, name): each.place for each in found.findings if each.place is not None}
    return tuple(verdicts), places


def judge_findings(found: Audit, name: str, config: AuditConfig) -> list[Verdict]:
    """The verdict on their number; and if there are too many, a failed verdict on each, at its source line."""
    number, few = len(found.findings), len(found.findings) <= config.most
    reason = f"{number:,} finding{'' if number == 1 else 's'} by {len(found.rules):,} rules, {config.most:,} allowed"
    if few and found.not_judged and not found.rules:
        few, reason = False, f"no rule could be judged: {next(iter(found.not_judged.values()))}"
        return [_make_verdict(f"audit-{name}", name, config, "inconclusive", reason)]
    whole = _make_verdict(f"audit-{name}", name, config, "passed" if few else "failed", reason, number)
    return [whole, *(_judge_finding(each, name, config) for each in found.findings if not few)]


def _judge_finding(finding: Finding, name: str, config: AuditConfig) -> Verdict:
    reason = f"{list_rules()[finding.code].rule.name}: {finding.message}; fix: {finding.fix}"
    return Verdict(
        id=_name_check(finding, name),
        origin="audit",
        model=name,
        metric=METRIC,
        scope=finding.path,
        comparison=finding.code,
        expected="",
        outcome="failed",
        reason=reason,
        level=config.level,
        key="audit",
    )


def _name_check(finding: Finding, name: str) -> str:
    """`AR201 backbone.conv1, after`: unique, because a rule has one finding for each key of a module."""
    key = f" {finding.key}" if finding.key else ""
    return f"{finding.code} {finding.path or '(root)'}{key}, {name}"


def _make_verdict(identity: str, name: str, config: AuditConfig, outcome: str, reason: str, number: int | None = None) -> Verdict:
    return Verdict(
        id=identity,
        origin="audit",
        model=name,
        metric=METRIC,
        scope="",
        comparison="max",
        expected=f"{config.most}",
        limit=config.most,
        actual=number,
        deviation=None if number is None else number - config.most,
        outcome=outcome,  # type: ignore[arg-type]
        reason=reason,
        level=config.level,
        key="audit",
    )


def audit_change(targets: Sequence[Target], matches: Iterable[Match], options: Options) -> AuditChange:
    """The findings that the change from the first to the second target introduces, and those that it resolves."""
    audits = Pair(*(audit_target(target, options, proof=False) for target in targets))
    matched = {each.after_path: each.before_path for each in matches if each.before_path is not None and each.after_path is not None}
    resolved, introduced = compare_audits(audits, matched)
    return AuditChange(
        before=len(audits.before.findings),
        after=len(audits.after.findings),
        introduced=introduced,
        resolved=resolved,
        not_judged={**audits.before.not_judged, **audits.after.not_judged},
    )
