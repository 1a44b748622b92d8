"""What is asked of models, and what became of it."""

from __future__ import annotations

from typing import Literal

from archaudit.schema.record import Outcome, Record

Level = Literal["error", "warn", "info"]


def name_run(model: str, scenario: str | None) -> str:
    """What one measurement of a model is called: its name, and its input scenario after a dot, which no model's name has."""
    return f"{model}.{scenario}" if scenario else model


class Check(Record, frozen=True, kw_only=True):
    """One thing asked of a number: a budget, a comparison with a baseline, or a claim.

    `model` names the model it is about (as in the config; empty: the after side), `scope` the patterns over its paths. `against` is what it
    is compared with, for comparisons that need two numbers: `baseline` (the model's own saved profile) or another model's name, there over
    `against_scope` (None: the same scope). `comparison` is a key of `judge.COMPARISONS`, `expected` the figure as written.
    `expect_outcome` is `failed` for a claim known to be false, `inconclusive` for one known to hold under another reading only, with the
    reason in `why`; `group` names the section it stands beside, `document` and `source` where it was written, `near` a text that stands on
    the same line, `written` the figure as it is there where its unit stands elsewhere (in a table's heading). `tolerance` is the share
    that "about" widens its figure by (None: the usual one); `exempt` says why it is not judged.

    A budget may be about modules of `types` only (patterns over type names, each with everything below it), about a `section` of the
    breakdown, or about one input `scenario` of the model. `floor` is the smallest change that a limit in percent cares about. Only level
    `error` decides the outcome. `until` is the last day (ISO) on which the limit holds at all, `why` then its reason. `key` is where it
    stands in the config: `budgets[0]`.
    """

    id: str
    origin: Literal["budget", "baseline", "claim"]
    model: str = ""
    metric: str
    scope: tuple[str, ...] = ("",)
    comparison: str
    expected: str
    against: str | None = None
    against_scope: tuple[str, ...] | None = None
    source: str | None = None
    group: str | None = None
    expect_outcome: Outcome = "passed"
    why: str | None = None
    document: str | None = None
    near: str | None = None
    written: str | None = None
    tolerance: float | None = None
    exempt: str | None = None
    types: tuple[str, ...] = ()
    section: str | None = None
    scenario: str | None = None
    floor: str | None = None
    level: Level = "error"
    until: str | None = None
    key: str | None = None

    @property
    def run(self) -> str:
        """The name of the measured run that it is about."""
        return name_run(self.model, self.scenario)


class Contributor(Record, frozen=True, kw_only=True):
    """A module that grew: the path, and by how much of the check's metric."""

    path: str
    delta: int


class Verdict(Record, frozen=True, kw_only=True):
    """A check with its answer. `actual` and `deviation` are unrounded, in the metric's unit; None where nothing was measured.

    `scope` lists the check's patterns, joined by ` + `, with types as `[Conv2d]`; empty is the whole model. `limit` is the number that
    `expected` came to (3M is 3,000,000), and of a growth in percent the `floor` where that allows more. For a claim, `finding` is `true`
    or `false` whatever was expected of it; `outcome` is what the gate makes of that.
    `interval` are the lowest and the highest number that a claim's figure stands for, None at an end that is open; `reading` names the
    other convention under which the claim would be true (its finding is then `other reading`). `measured` is what was
    found where that is no number (a shape, a setting's text). `hints` explain a false figure by what was measured; `reason` has them too.
    """

    id: str
    origin: Literal["budget", "baseline", "claim"]
    model: str
    metric: str
    scope: str
    comparison: str
    expected: str
    limit: int | float | None = None
    actual: int | float | None = None
    deviation: int | float | None = None
    outcome: Outcome
    reason: str
    finding: Literal["true", "false", "other reading", "unbound", "exempt"] | None = None
    source: str | None = None
    group: str | None = None
    why: str | None = None
    contributors: tuple[Contributor, ...] = ()
    document: str | None = None
    interval: tuple[int | float | None, int | float | None] | None = None
    reading: str | None = None
    measured: str | None = None
    hints: tuple[str, ...] = ()
    level: Level = "error"
    scenario: str | None = None
    until: str | None = None
    floor: str | None = None
