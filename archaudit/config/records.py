"""What a config file comes to."""

from __future__ import annotations

from pathlib import Path

import msgspec

from archaudit.schema import Check, LatencyBudget

BASELINE = "baseline"  # what `against` calls a model's own saved profile; no model may be named so
COMPUTED_SECTIONS = ("everything else", "total")  # rows that every breakdown has; no section may be named so


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A model that has a name; `inputs` are descriptions as the user writes them (`1x3x64x64`), none for the reference's own.

    `scenarios` are named sets of such descriptions; where there are any, `inputs` are those of the first.
    """

    name: str
    reference: str
    inputs: tuple[str, ...] = ()
    scenarios: dict[str, tuple[str, ...]] = {}


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A named part of the breakdown: patterns over the paths before, and over the paths after; one side may have none."""

    name: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class AlignPin(msgspec.Struct, frozen=True, kw_only=True):
    """The module `before` became the module `after`; with `forbid` it did not. A missing side: the other's module has no counterpart.

    `key` is where it was written, as messages name it: `align[0]`.
    """

    key: str
    before: str | None = None
    after: str | None = None
    forbid: bool = False


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All that a config file says. `source` is the file as messages name it; its relative references start at `folder`.

    `formulas` are files or modules that register formulas for custom operators.

    `checks` are the budgets, the pins, then the claims, each in the file's order, with unique ids. `gated` are the metrics that every
    model must have a budget on. A limit on an increase or a decrease against the
    baseline has the origin `baseline`, every other limit the origin `budget`.
    `latency` is the budget on measured time, which only a table [latency] turns on.
    """

    source: str
    folder: Path
    baselines: Path
    formulas: tuple[str, ...] = ()
    models: dict[str, ModelConfig] = {}
    sections: tuple[Section, ...] = ()
    pins: tuple[AlignPin, ...] = ()
    checks: tuple[Check, ...] = ()
    gated: tuple[str, ...] = ()
    latency: LatencyBudget | None = None
