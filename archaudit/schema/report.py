"""Checks judged without a comparison of two models, as `archaudit check` does it."""

from __future__ import annotations

from archaudit.schema.checks import Verdict
from archaudit.schema.diff import ClassUse, FlowDiff, Group, InitialisationChange, ModuleDiff
from archaudit.schema.profile import Cost, Profile
from archaudit.schema.proof import CheckpointMap, Equivalence
from archaudit.schema.record import FORMAT_VERSION, Outcome, Record


class SourceLine(Record, frozen=True, kw_only=True):
    """Where something is written: a file, by its path from the top of its repository, and a line counted from 1."""

    file: str
    line: int | None = None


class Judgement(Record, frozen=True, kw_only=True):
    """Verdicts, what they come to, and what explains those that are not green.

    `differences` says, by the name of the run, how a model that does not hold against its baseline differs from it. `places` says, by the
    id of the check, where the class of the module is written that caused most of it. `unmeasured` says, by the name of the run, why a model
    could not be measured: then nothing is green. `source` is the config.
    """

    format_version: int = FORMAT_VERSION
    outcome: Outcome
    checks: tuple[Verdict, ...]
    differences: dict[str, Report] = {}
    places: dict[str, SourceLine] = {}
    unmeasured: dict[str, str] = {}
    source: str = ""


# --- all that a renderer may know ---


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
