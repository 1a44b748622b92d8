"""Series of profiles: one model over commits, or several models and inputs."""

from __future__ import annotations

from typing import Literal

from archaudit.schema.profile import Cost, Peaks
from archaudit.schema.record import FORMAT_VERSION, Record


class Contribution(Record, frozen=True, kw_only=True):
    """A module's own part of a change. `path` is its path, or its previous path if it was removed."""

    path: str
    type: str
    delta: int


class Jump(Record, frozen=True, kw_only=True):
    """A significant change of a metric from one commit to the next, and the modules that caused it, the largest first."""

    metric: str
    before: int
    after: int
    layers: tuple[Contribution, ...] = ()


class HistoryStep(Record, frozen=True, kw_only=True):
    """One commit: `commit` is its full hash, `short` the abbreviated one. If the model could not be measured, `totals` is None and `error`
    the reason. `jumps`, `structure` (what changed, in one line) and `same` (whether the architecture is the same) compare with the last
    commit before it that was measured."""

    commit: str
    short: str
    date: str
    subject: str
    totals: Cost | None = None
    peaks: Peaks = Peaks()
    flops_complete: bool = True
    params_complete: bool = True
    memory_complete: bool = True
    error: str | None = None
    jumps: tuple[Jump, ...] = ()
    structure: str = ""
    same: bool = False


class History(Record, frozen=True, kw_only=True):
    """The commits that changed the code of a model, oldest first; `untouched` is the number of the others. `skipped` are commits that
    changed the model's files, but no code that it can reach: they were not measured."""

    format_version: int = FORMAT_VERSION
    reference: str
    steps: tuple[HistoryStep, ...]
    untouched: int = 0
    skipped: tuple[HistoryStep, ...] = ()


class Bisection(Record, frozen=True, kw_only=True):
    """The search for the first commit at which a condition holds.

    The `outcome` is `found` if `first` is that commit; `unsure` if the commits in `skipped` could not be measured and one of them may be
    the first (without a `first`, all at the end of the range, or in all of it); `always` if the condition holds from the beginning of the
    range; `never` if it does not hold at its end. `profiles` is the number of commits that were measured.
    """

    format_version: int = FORMAT_VERSION
    reference: str
    condition: str
    outcome: Literal["found", "unsure", "always", "never"]
    first: HistoryStep | None = None
    before: HistoryStep | None = None
    skipped: tuple[HistoryStep, ...] = ()
    commits: int = 0
    profiles: int = 0


class Variant(Record, frozen=True, kw_only=True):
    """One model on one input. `choices` are the arguments that were set. `pareto` is true if no other variant on the same input is
    better in both metrics of the plot."""

    reference: str
    input: str
    choices: dict[str, str] = {}
    totals: Cost | None = None
    peaks: Peaks = Peaks()
    flops_complete: bool = True
    params_complete: bool = True
    memory_complete: bool = True
    error: str | None = None
    pareto: bool = False


class Sweep(Record, frozen=True, kw_only=True):
    """Every variant, in the order of the command; `metrics` are the two of the plot."""

    format_version: int = FORMAT_VERSION
    variants: tuple[Variant, ...]
    metrics: tuple[str, str] = ("params", "flops")
