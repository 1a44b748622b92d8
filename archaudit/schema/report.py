"""All that a renderer may know."""

from __future__ import annotations

from archaudit.schema.checks import Verdict
from archaudit.schema.costs import Cost
from archaudit.schema.definitions import ClassUse, InitialisationChange
from archaudit.schema.diff import Group, ModuleDiff
from archaudit.schema.forward import FlowDiff
from archaudit.schema.profile import Profile
from archaudit.schema.proof import CheckpointMap, Equivalence
from archaudit.schema.record import FORMAT_VERSION, Outcome, Record


class Report(Record, frozen=True, kw_only=True):
    """All that a renderer may know: both profiles, the diff and the verdicts.

    `equivalence` is None where no proof was asked for.
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
