"""Checks on models, and their verdicts."""

from __future__ import annotations

from typing import Literal

import msgspec

from archaudit.schema.quantity import Quantity, parse_quantity
from archaudit.schema.record import Outcome, Record

Level = Literal["error", "warn", "info"]


def name_run(model: str, scenario: str | None) -> str:
    """The name of one measurement of a model: the model's name, and its input scenario after a dot (no model's name has a dot)."""
    return f"{model}.{scenario}" if scenario else model


class Check(Record, frozen=True, kw_only=True):
    """One condition on a number of a model: a budget, a comparison with a baseline, or a claim of a document.

    `model` is the model's name in the config (empty: the after side), `scope` are patterns over its module paths. `against` is the other
    side of a comparison of two numbers: `baseline` (the saved profile of the model) or the name of another model, there over
    `against_scope` (None: the same scope). `comparison` is a key of `judge.COMPARISONS`. `expected` is the figure as written, `figure` the
    number that it means (None if it is no number); `floor` and `floor_figure` are the same for the smallest change that a limit in percent
    applies to. Both figures are parsed here, once.

    Claims: `expect_outcome` is `failed` for a claim that is known to be false, `inconclusive` for one that is known to be true under
    another counting convention only; `why` is then the reason. `group` is the section that the report shows it in, `document` and `source`
    are where it is written, `near` is a text on the same line. `written` is the figure as it is in the document if its unit is not next to
    it (it may be in the heading of a table). `tolerance` is the share by which "about" widens the figure (None: the default). `exempt` is
    the reason why the figure is not judged.

    Budgets: `types` limits the scope to modules whose type matches a pattern, with everything below them; `section` is a section of the
    breakdown, `scenario` an input scenario of the model. `at` are the sizes (`B=1,T=8192`) at which the formula of the metric is
    evaluated, and the comparison `growth` limits the powers of sizes in it. Only level `error` decides the outcome. `until` is the last day
    (ISO) on which the limit applies, and `why` then its reason. `key` is its place in the config: `budgets[0]`.
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
    at: str | None = None
    figure: Quantity | None = None
    floor_figure: Quantity | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "figure", _parse(self.expected, self.tolerance))
        msgspec.structs.force_setattr(self, "floor_figure", None if self.floor is None else _parse(self.floor))

    @property
    def run(self) -> str:
        """The name of the measurement that it is about."""
        return name_run(self.model, self.scenario)


def _parse(text: str, tolerance: float | None = None) -> Quantity | None:
    try:
        return parse_quantity(text, tolerance)
    except ValueError:  # a shape, a setting's text, or nothing: no number
        return None


class Overridden(Record, frozen=True, kw_only=True):
    """A limit on `metric` at the key `key` of the config, which the budget at `by` replaces for `model`; `whole`: on the whole model."""

    model: str
    metric: str
    comparison: str
    key: str
    by: str
    whole: bool = True


class Contributor(Record, frozen=True, kw_only=True):
    """A module that changed a check's metric: its path, and by how much."""

    path: str
    delta: int


class Verdict(Record, frozen=True, kw_only=True):
    """A check with its result. `actual` and `deviation` are unrounded, in the metric's unit; None if nothing was measured.

    `scope` lists the check's patterns, joined by ` + `, with types as `[Conv2d]`; empty means the whole model. `limit` is the number that
    `expected` means (3M is 3,000,000); for a growth in percent it is the `floor` where that allows more. `measured` is the result as text
    if it is no number (a shape, a setting).

    Claims: `finding` is the result (`unbound`: nothing was compared); `outcome` takes the expectation into account.
    `interval` are the lowest and the highest number that the figure means, None for an open end. `reading` names another counting
    convention under which the claim is true (`finding` is then `other reading`). `hints` explain a false figure by what was measured;
    `reason` includes them. `assumptions` are what the measured number depends on besides the architecture, and `key` is
    the check's key in the config.
    """

    id: str
    origin: Literal["budget", "baseline", "claim", "audit"]
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
    assumptions: tuple[str, ...] = ()
    key: str | None = None
