"""archaudit from Python: profiles and comparisons of live models, references and saved profiles.

    >>> import archaudit
    >>> report = archaudit.compare("before", "after")
    >>> report
    <Report before → after: 6,831,509 → 2,516,853 params, passed>
    >>> report.after.totals.params
    2516853
    >>> report.check(params="<3M", macs={"max_increase": "0%"}).outcome
    'passed'
    >>> profile = archaudit.profile("after")
    >>> profile.check(params="<2M", scope="aspp").checks[0].reason
    '1,541,376 is 458,624 under the limit of 2M'

Importing this module imports neither torch nor a renderer. A live model is measured in this process, on a copy without values, and stays
unchanged. A reference is measured in a separate process.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from archaudit import schema
from archaudit.errors import ArchauditError
from archaudit.judge import conclude
from archaudit.load.inputs import parse_dtype, parse_inputs
from archaudit.metrics.catalog import is_unknown
from archaudit.metrics.quantities import format_short
from archaudit.pipeline import Options, Target, compare_profiles, read_profile, resolve
from archaudit.pipeline import profile as profile_reference
from archaudit.pipeline.limits import Limit, judge_limits
from archaudit.pipeline.measuring import measure_targets

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import nn

    from archaudit.render.exports import Table


class _Tabular:
    """What profiles, reports and sweeps have in common: tables and a figure, as `--format csv`, `latex` and `svg` print them.

    `columns` are the names of `--columns`, `rows` those of `--rows`, and `extra` is a CSV file as for `--extra`; names in it that match no
    model are a warning.
    """

    __slots__ = ()

    def to_csv(self, columns: Sequence[str] = (), *, rows: str = "", extra: str | Path | None = None) -> str:
        """A table for a spreadsheet: exact numbers under the names of the columns."""
        return self._write("csv", columns, rows, extra)

    def to_latex(self, columns: Sequence[str] = (), *, rows: str = "", extra: str | Path | None = None) -> str:
        """A table for a paper, for the package booktabs."""
        return self._write("latex", columns, rows, extra)

    def to_dataframe(self, columns: Sequence[str] = (), *, rows: str = "", extra: str | Path | None = None) -> DataFrame:
        """The table as a data frame of pandas. Raises ArchauditError where pandas is not installed."""
        from archaudit.render.exports import make_frame

        return make_frame(self._tabulate(columns, rows, extra))

    def to_svg(self) -> str:
        """A figure for a paper: the data flow of the models, or the plot of a sweep. Raises ArchauditError where nothing can be drawn."""
        from archaudit.render.exports import draw

        record: Any = self
        return draw(record)

    def _write(self, form: str, columns: Sequence[str], rows: str, extra: str | Path | None) -> str:
        from archaudit.render.exports import write_table

        return write_table(self._tabulate(columns, rows, extra), form)

    def _tabulate(self, columns: Sequence[str], rows: str, extra: str | Path | None) -> Table:
        from archaudit.render.exports import Selection, read_extra, tabulate

        names = (columns,) if isinstance(columns, str) else tuple(columns)
        selection = Selection(rows=rows, columns=names, extra=None if extra is None else read_extra(Path(extra)))
        record: Any = self
        table, notes = tabulate(record, selection)
        for note in notes:
            warnings.warn(note, stacklevel=4)
        return table


class Profile(_Tabular, schema.Profile, frozen=True, kw_only=True):
    """Everything measured about one model with one input. The attributes are the keys of its JSON.

    `totals.params`, `totals.flops` (= 2 x `totals.macs`), `flops_complete`, `modules` (in `named_modules()` order), `ledger`.
    """

    def to_json(self) -> str:
        """The profile as `archaudit profile --format json` prints it."""
        return self._render("json")

    def to_markdown(self) -> str:
        """The profile as tables that GitHub renders."""
        return self._render("markdown")

    def to_html(self) -> str:
        """The profile as one self-contained page."""
        return self._render("html")

    def check(self, *, scope: str | tuple[str, ...] = "", **limits: Limit) -> schema.Judgement:
        """Judges limits: `profile.check(params="<3M", macs="<=2.6G", scope="decoder*").outcome` is `passed`, `failed` or `inconclusive`.

        The `checks` of the result say why. Raises ConfigError for an unknown metric or a malformed limit.
        """
        return judge_limits(self, limits, scope)

    def save(self, path: str | Path) -> None:
        """Saves the profile as a baseline: without the facts of the machine and the versions."""
        Path(path).write_bytes(schema.encode_baseline(schema.strip_provenance(self)))

    def __repr__(self) -> str:
        macs = f"{'' if self.flops_complete else 'at least '}{format_short(self.totals.macs)} MACs"
        known = "MACs unknown" if is_unknown(self, "macs") else macs
        params = f"{'' if self.params_complete else 'at least '}{self.totals.params:,} params"
        return f"<Profile {self.name}: {params}, {known}>"

    def _repr_html_(self) -> str:
        from archaudit.render import summary_profile_html

        return summary_profile_html(self)

    def _render(self, form: str) -> str:
        from archaudit.render import PROFILE_FORMATS

        return PROFILE_FORMATS[form](self)


class Report(_Tabular, schema.Report, frozen=True, kw_only=True):
    """What changed between two models, and the verdicts of the checks. The attributes are the keys of its JSON.

    `outcome` is `passed`, `failed` or `inconclusive`, which it is without checks; `delta` is after minus before.
    """

    def to_json(self) -> str:
        """The report as `archaudit compare --format json` prints it."""
        return self._render("json")

    def to_markdown(self) -> str:
        """The report as tables that GitHub renders."""
        return self._render("markdown")

    def to_html(self) -> str:
        """The report as one self-contained page."""
        return self._render("html")

    def check(self, *, scope: str | tuple[str, ...] = "", **limits: Limit) -> Report:
        """The report with more checks, limits on the model after: `params="<3M"`, or, for its growth since the model before,
        `macs={"max_increase": "1%", "floor": "1M"}`. Raises ConfigError for an unknown metric or a malformed limit.
        """
        checks = self.checks + judge_limits(self.after, limits, scope, self.before).checks
        return msgspec.structs.replace(self, checks=checks, outcome=conclude(checks))

    def __repr__(self) -> str:
        params = f"{self.before.totals.params:,} → {self.after.totals.params:,} params"
        return f"<Report {self.before.name} → {self.after.name}: {params}, {self.outcome}>"

    def _repr_html_(self) -> str:
        from archaudit.render import summary_html

        return summary_html(self)

    def _render(self, form: str) -> str:
        from archaudit.render import FORMATS

        return FORMATS[form](self)


class Sweep(_Tabular, schema.Sweep, frozen=True, kw_only=True):
    """Several models, inputs and arguments, measured. The attributes are the keys of its JSON: `variants`, `metrics` (of the plot)."""

    def to_json(self) -> str:
        """The sweep as `archaudit sweep --format json` prints it."""
        return self._render("json")

    def to_markdown(self) -> str:
        """The sweep as a table that GitHub renders."""
        return self._render("markdown")

    def to_html(self) -> str:
        """The sweep as one self-contained page."""
        return self._render("html")

    def __repr__(self) -> str:
        failed = sum(variant.error is not None for variant in self.variants)
        return f"<Sweep of {len(self.variants):,} variants{f', {failed:,} could not be measured' if failed else ''}>"

    def _render(self, form: str) -> str:
        from archaudit.render.command_texts import STUDY_FORMATS

        return STUDY_FORMATS[form](self)


def profile(
    model: nn.Module | str,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    other_counters: bool = False,
    device: Literal["cpu", "cuda"] = "cpu",
    dtype: str | None = None,
    params_only: bool = False,
    name: str | None = None,
    training: bool | str | Mapping[str, Any] = False,
) -> Profile:
    """The profile of a live model that runs on `args` and `kwargs` (any structure of tensors), or of a reference.

    A single tensor is one argument; a string such as `1x3x224x224` or `ids=int64[1,128]` describes a tensor. With `other_counters`,
    torchinfo and fvcore count too. `device` is the one whose operators are assumed for the memory. The model and its floating-point inputs
    are cast to `dtype` if given. With `params_only` a model is not run and needs no input. `training` measures a training step too:
    True for AdamW in full precision, the name of an optimizer (`sgd:momentum=0.9`), or `{"optimizer": ..., "amp": "bf16", "checkpoint":
    "model", "memory_bytes": 24 * 2**30}`. `name` is the one in texts. Raises an
    ArchauditError when the model cannot be found, copied, built or run.
    """
    options: dict[str, Any] = {"other_counters": other_counters, "device": device, "params_only": params_only}
    options["training"] = _read_training(training)
    options["dtype"] = parse_dtype(str(dtype)) if dtype is not None else None
    if isinstance(model, str):
        if args or kwargs:
            raise ArchauditError("args and kwargs are for a live model", "A reference has its own inputs.")
        measured = profile_reference(model, Options(**options))
    else:
        measured = _profile_live(model, args, kwargs, **options)
    return Profile(**_get_fields(_rename(measured, name)))


def _read_training(training: bool | str | Mapping[str, Any]) -> schema.TrainingSettings | None:
    if isinstance(training, str):
        return schema.TrainingSettings(optimizer=training)
    if isinstance(training, Mapping):
        given = {**training, "amp": parse_dtype(str(training["amp"]))} if training.get("amp") else dict(training)
        try:
            return msgspec.convert(given, schema.TrainingSettings)
        except msgspec.ValidationError as error:
            known = ", ".join(schema.TrainingSettings.__struct_fields__)
            raise ArchauditError(f"training is not understood: {error}", f"Its keys are {known}.") from error
    return schema.TrainingSettings() if training else None


def compare(
    before: nn.Module | str | schema.Profile,
    after: nn.Module | str | schema.Profile,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    config: str | Path | None = None,
    names: tuple[str | None, str | None] = (None, None),
    training: bool | str | Mapping[str, Any] = False,
) -> Report:
    """The report on two models: references, saved or measured profiles, or live models (both run on `args` and `kwargs`).

    `config` is a file with sections, budgets and claims; its checks on named models apply to references of these names. `names` are those
    of both models in texts; without them, a live model has the name of its class. `training` is that of `profile`.
    """
    from archaudit.config import load_config

    options = Options(config=load_config(Path(config)) if config is not None else None, training=_read_training(training))
    if len(names) != 2:
        raise ArchauditError(f"names has {len(names)} names, not that of before and that of after")
    targets = [_make_target(side, args, kwargs, options, label) for side, label in ((before, "before"), (after, "after"))]
    profiles = [_rename(each, name) for each, name in zip(measure_targets(targets, options), names, strict=True)]
    targets = [target if name is None else msgspec.structs.replace(target, name=name) for target, name in zip(targets, names, strict=True)]
    report = compare_profiles(targets, profiles, options)
    return Report(**_get_fields(report))


def sweep(
    references: str | Sequence[str],
    *,
    inputs: str | Sequence[str] = (),
    settings: Mapping[str, Sequence[Any]] | None = None,
    metrics: tuple[str, str] = ("params", "flops"),
    workers: int | None = None,
    executor: Executor | None = None,
    config: str | Path | None = None,
    dtype: str | None = None,
    params_only: bool = False,
) -> Sweep:
    """Measures every reference with every combination of `inputs` (alternatives in braces: `1x3x{224,384}x224`) and `settings`.

    `settings` has the values of each keyword argument: `{"width": [16, 32]}`. `metrics` are the two of the plot and the Pareto front. The
    measurements run in `workers` processes (None: one for each processor) or on an `executor`. A model that cannot be measured is a variant
    with an error. Raises an ArchauditError for an invalid plan.
    """
    from archaudit.config import load_config
    from archaudit.sweeps import Plan, measure_variants

    plan = Plan(
        references=(references,) if isinstance(references, str) else tuple(references),
        inputs=(inputs,) if isinstance(inputs, str) else tuple(inputs),
        settings=tuple(f"{name}={','.join(map(repr, values))}" for name, values in (settings or {}).items()),
        metrics=metrics,
    )
    options = Options(
        config=load_config(Path(config)) if config is not None else None,
        other_counters=False,
        symbolic=False,
        dtype=parse_dtype(str(dtype)) if dtype is not None else None,
        params_only=params_only,
    )
    return Sweep(**_get_fields(measure_variants(plan, options, workers, executor)))


def load_profile(path: str | Path) -> Profile:
    """Reads a saved profile. Raises SavedFileError."""
    return Profile(**_get_fields(read_profile(Path(path))))


def _make_target(
    side: nn.Module | str | schema.Profile, args: Any, kwargs: Mapping[str, Any] | None, options: Options, label: str
) -> Target:
    if isinstance(side, str):
        return resolve(side, options.config)
    if isinstance(side, schema.Profile):
        return Target(name=side.name, key=f"<{label}>", saved=side)
    return Target(
        name=type(side).__name__, key=f"<{label}>", saved=_profile_live(side, args, kwargs, other_counters=False, training=options.training)
    )


def _profile_live(model: nn.Module, args: Any, kwargs: Mapping[str, Any] | None, **options: Any) -> schema.Profile:
    from archaudit.measure.recipe import measure_live

    texts = [args] if isinstance(args, str) else list(args) if isinstance(args, (list, tuple)) else []
    if texts and all(isinstance(text, str) for text in texts):
        return measure_live(model, kwargs=kwargs, inputs=parse_inputs(texts), **options)
    return measure_live(model, args, kwargs, **options)


def _rename(measured: schema.Profile, name: str | None) -> schema.Profile:
    return measured if name is None else msgspec.structs.replace(measured, name=name)


def _get_fields(record: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}
