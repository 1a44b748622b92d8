"""The results that are rendered: a report of two models, and the judgement of `archaudit check`."""

from __future__ import annotations

import msgspec

from archaudit.schema.audit import AuditChange
from archaudit.schema.checks import Verdict
from archaudit.schema.diff import ClassUse, FlowDiff, Group, InitialisationChange, ModuleDiff
from archaudit.schema.profile import Cost, Profile
from archaudit.schema.proof import CheckpointMap, Equivalence
from archaudit.schema.record import FORMAT_VERSION, Outcome, Record, SourceLine


class Judgement(Record, frozen=True, kw_only=True):
    """The verdicts of `archaudit check`, the outcome of all, and what explains those that did not pass.

    `differences` has, by the name of the run, the comparison of a model with the baseline that it fails. `places` has, by the id of the
    check, the source line of the class of the module with the largest part of the change. `unmeasured` has, by the name of the run, the
    reason why a model could not be measured: then the outcome is not `passed`. `source` is the path of the config.
    """

    format_version: int = FORMAT_VERSION
    outcome: Outcome
    checks: tuple[Verdict, ...]
    differences: dict[str, Report] = {}
    places: dict[str, SourceLine] = {}
    unmeasured: dict[str, str] = {}
    source: str = ""


class Report(Record, frozen=True, kw_only=True):
    """Everything that a renderer of a comparison gets: both profiles, the diff and the verdicts.

    `flow` is None for weights without code; `equivalence` is None without --equivalent; `audit` is absent without --audit.
    """

    format_version: int = FORMAT_VERSION
    before: Profile
    after: Profile
    delta: Cost
    flops_complete: bool
    modules: tuple[ModuleDiff, ...]
    groups: tuple[Group, ...] = ()
    checks: tuple[Verdict, ...] = ()
    outcome: Outcome
    flow: FlowDiff | None = None
    initialisation: tuple[InitialisationChange, ...] = ()
    classes_added: tuple[ClassUse, ...] = ()
    classes_removed: tuple[ClassUse, ...] = ()
    checkpoint: CheckpointMap | None = None
    equivalence: Equivalence | None = None
    audit: AuditChange | msgspec.UnsetType = msgspec.UNSET
