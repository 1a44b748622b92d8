"""The records that a config file is read into."""

from __future__ import annotations

from pathlib import Path

import msgspec

from archaudit.schema import Check, LatencyBudget, Level, Overridden, TrainingSettings

BASELINE = "baseline"  # the name of a model's saved profile in `against`; not a valid name for a model
COMPUTED_SECTIONS = ("everything else", "total")  # rows of every breakdown; not valid names for a section


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A model with a name. `inputs` are texts as the user writes them (`1x3x64x64`); without any, the default input of the reference.

    `scenarios` are named sets of such inputs; if there are any, `inputs` are those of the first one.
    """

    name: str
    reference: str
    inputs: tuple[str, ...] = ()
    scenarios: dict[str, tuple[str, ...]] = {}


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A named part of the breakdown: patterns of module paths before and after. One side may have none."""

    name: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class AlignPin(msgspec.Struct, frozen=True, kw_only=True):
    """A match that the user gives: the module `after` is the module `before`; with `forbid` it is not.

    If one side is missing, the module of the other side has no counterpart. `key` is its key in the config, `align[0]`.
    """

    key: str
    before: str | None = None
    after: str | None = None
    forbid: bool = False


class TableClaim(msgspec.Struct, frozen=True, kw_only=True):
    """Tables of a document whose rows name their models. `columns` are the headings of columns by metric.

    `models` are the places where names are looked up, `names` the references of names that are not found there. `accept` are readings under
    which a figure counts as true. `exempt` and `expect_false` have a reason by the name of a row.
    """

    key: str
    models: tuple[str, ...]
    name: str
    columns: dict[str, str]
    resolution: str | None = None
    section: str | None = None
    document: str | None = None
    accept: tuple[str, ...] = ()
    names: dict[str, str] = {}
    exempt: dict[str, str] = {}
    expect_false: dict[str, str] = {}


class AuditConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The table [audit]: selectors of rules, the largest number of findings in a model, and the reasons of suppressed ones by selector."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    most: int = 0
    level: Level = "error"
    suppress: dict[str, str] = {}


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A config file. `source` is its name in messages; relative references start at `folder`.

    `checks` are the budgets, the pins of [[unchanged]] and the claims, each in the order of the file, with unique ids. A limit on an
    increase or decrease from the baseline has the origin `baseline`, every other limit the origin `budget`. `formulas` are files or modules
    that register formulas for custom operators. `tables` are tables of documents whose rows are claims. `gated` are the metrics that every
    model must have a budget on. `latency` is the budget on measured time; None without a table [latency]. `overridden` are the budgets that
    others replace. `training` is how a training step is run, for metrics of one. With `strict`, a figure that depends on an assumption is
    inconclusive. `audit` is None without a table [audit].
    """

    source: str
    folder: Path
    baselines: Path
    formulas: tuple[str, ...] = ()
    models: dict[str, ModelConfig] = {}
    sections: tuple[Section, ...] = ()
    pins: tuple[AlignPin, ...] = ()
    checks: tuple[Check, ...] = ()
    tables: tuple[TableClaim, ...] = ()
    gated: tuple[str, ...] = ()
    latency: LatencyBudget | None = None
    overridden: tuple[Overridden, ...] = ()
    strict: bool = False
    audit: AuditConfig | None = None
    training: TrainingSettings | None = None
