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

from collections.abc import Mapping
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
    from torch import nn


class Profile(schema.Profile, frozen=True, kw_only=True):
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


class Report(schema.Report, frozen=True, kw_only=True):
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


def profile(
    model: nn.Module | str,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    other_counters: bool = False,
    device: Literal["cpu", "cuda"] = "cpu",
    dtype: str | None = None,
    params_only: bool = False,
) -> Profile:
    """The profile of a live model that runs on `args` and `kwargs` (any structure of tensors), or of a reference.

    A single tensor is one argument; a string such as `1x3x224x224` or `ids=int64[1,128]` describes a tensor. With `other_counters`,
    torchinfo and fvcore count too. `device` is the one whose operators are assumed for the memory. The model and its floating-point inputs
    are cast to `dtype` if given. With `params_only` a model is not run and needs no input. Raises an ArchauditError when the model cannot
    be found, copied, built or run.
    """
    dtype = parse_dtype(str(dtype)) if dtype is not None else None
    if isinstance(model, str):
        if args or kwargs:
            raise ArchauditError("args and kwargs are for a live model", "A reference has its own inputs.")
        measured = profile_reference(model, Options(other_counters=other_counters, device=device, dtype=dtype, params_only=params_only))
    else:
        options = {"other_counters": other_counters, "device": device, "dtype": dtype, "params_only": params_only}
        measured = _profile_live(model, args, kwargs, **options)
    return Profile(**_get_fields(measured))


def compare(
    before: nn.Module | str | schema.Profile,
    after: nn.Module | str | schema.Profile,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    config: str | Path | None = None,
) -> Report:
    """The report on two models: references, saved or measured profiles, or live models (both run on `args` and `kwargs`).

    `config` is a file with sections, budgets and claims; its checks on named models apply to references of these names.
    """
    from archaudit.config import load_config

    options = Options(config=load_config(Path(config)) if config is not None else None)
    targets = [_make_target(side, args, kwargs, options, label) for side, label in ((before, "before"), (after, "after"))]
    report = compare_profiles(targets, measure_targets(targets, options), options)
    return Report(**_get_fields(report))


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
    return Target(name=type(side).__name__, key=f"<{label}>", saved=_profile_live(side, args, kwargs, other_counters=False))


def _profile_live(model: nn.Module, args: Any, kwargs: Mapping[str, Any] | None, **options: Any) -> schema.Profile:
    from archaudit.measure.recipe import measure_live

    texts = [args] if isinstance(args, str) else list(args) if isinstance(args, (list, tuple)) else []
    if texts and all(isinstance(text, str) for text in texts):
        return measure_live(model, kwargs=kwargs, inputs=parse_inputs(texts), **options)
    return measure_live(model, args, kwargs, **options)


def _get_fields(record: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}
