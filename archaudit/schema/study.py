"""Many profiles side by side: one model over commits, or several models and inputs."""

from __future__ import annotations

from typing import Literal

from archaudit.schema.profile import Cost, Peaks
from archaudit.schema.record import FORMAT_VERSION, Record


class Contribution(Record, frozen=True, kw_only=True):
    """A module's own part in a change: by its path, or the path that it had before where it is gone."""

    path: str
    type: str
    delta: int


class Jump(Record, frozen=True, kw_only=True):
    """A metric that changed notably from one commit to the next, and the modules that did it, the largest first."""

    metric: str
    before: int
    after: int
    layers: tuple[Contribution, ...] = ()


class HistoryStep(Record, frozen=True, kw_only=True):
    """One commit: `commit` in full, `short` as git abbreviates it. `totals` is None, and `error` says why, where the model could not be
    measured. `jumps` compare with the last commit before it that could."""

    commit: str
    short: str
    date: str
    subject: str
    totals: Cost | None = None
    peaks: Peaks = Peaks()
    flops_complete: bool = True
    error: str | None = None
    jumps: tuple[Jump, ...] = ()


class History(Record, frozen=True, kw_only=True):
    """The commits that touched what a model is read from, oldest first; `untouched` is how many others there were."""

    format_version: int = FORMAT_VERSION
    reference: str
    steps: tuple[HistoryStep, ...]
    untouched: int = 0


class Bisection(Record, frozen=True, kw_only=True):
    """The search for the first commit at which a condition holds.

    `found`: `first` is that commit. `unsure`: the commits `skipped` before it could not be measured, and one of them may be the first;
    without a `first`, those at the end of the range, or all of it.
    `always`, `never`: it holds from the beginning of the range, or not at its end. `profiles` is how many commits were looked at.
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
    """One model on one input. `choices` are the arguments that were set, `pareto` the metrics of a plot where no other variant is better
    in both."""

    reference: str
    input: str
    choices: dict[str, str] = {}
    totals: Cost | None = None
    peaks: Peaks = Peaks()
    flops_complete: bool = True
    error: str | None = None
    pareto: bool = False


class Sweep(Record, frozen=True, kw_only=True):
    """Every variant, in the order in which they were asked for; `metrics` are the two of the plot."""

    format_version: int = FORMAT_VERSION
    variants: tuple[Variant, ...]
    metrics: tuple[str, str] = ("params", "flops")
