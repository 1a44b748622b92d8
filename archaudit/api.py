"""archaudit from Python: profiles and comparisons of live models, references and saved profiles.

    >>> import archaudit
    >>> report = archaudit.compare("before", "after")
    >>> report.after.totals.params
    2516853
    >>> report.outcome
    'passed'

Importing this module imports neither torch nor a renderer. A live model is measured in this process, on a copy without values; it is
left exactly as it was. A reference is measured in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from archaudit import schema
from archaudit.errors import ArchauditError
from archaudit.pipeline import Options, Target, compare_profiles, read_profile, resolve
from archaudit.pipeline import profile as profile_reference
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

    def save(self, path: str | Path) -> None:
        """Writes what a baseline holds: the profile without what varies by machine and version."""
        Path(path).write_bytes(schema.encode(schema.strip_provenance(self)))

    def _render(self, form: str) -> str:
        from archaudit.render import PROFILE_FORMATS

        return PROFILE_FORMATS[form](self)


class Report(schema.Report, frozen=True, kw_only=True):
    """What changed between two models, and what became of the checks. The attributes are the keys of its JSON.

    `outcome` is `passed`, `failed` or `inconclusive` (also when there was nothing to check); `delta` is after minus before.
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

    def _render(self, form: str) -> str:
        from archaudit.render import FORMATS

        return FORMATS[form](self)


def profile(model: nn.Module | str, args: Any = (), kwargs: Mapping[str, Any] | None = None, *, witnesses: bool = False) -> Profile:
    """The profile of a live model run on `args` and `kwargs` (any structure of tensors), or of a reference.

    A single tensor stands for one argument. `witnesses` asks torchinfo and fvcore too. Raises an ArchauditError when the model cannot be
    found, copied, built or run.
    """
    if isinstance(model, str):
        if args or kwargs:
            raise ArchauditError("a reference brings its own inputs", "Pass args and kwargs with a live model only.")
        measured = profile_reference(model, Options(witnesses=witnesses))
    else:
        measured = _profile_live(model, args, kwargs, witnesses=witnesses)
    return Profile(**_fields(measured))


def compare(
    before: nn.Module | str | schema.Profile,
    after: nn.Module | str | schema.Profile,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    config: str | Path | None = None,
) -> Report:
    """The report on two models: references, saved or measured profiles, or live models (both run on `args` and `kwargs`).

    `config` is a file with sections, budgets and claims; checks about named models apply where the names are those of references.
    """
    from archaudit.config import load_config

    options = Options(config=load_config(Path(config)) if config is not None else None)
    targets = [_find_target(side, args, kwargs, options, label) for side, label in ((before, "before"), (after, "after"))]
    report = compare_profiles(targets, measure_targets(targets, options), options)
    return Report(**_fields(report))


def load_profile(path: str | Path) -> Profile:
    """A saved profile. Raises SavedFileError."""
    return Profile(**_fields(read_profile(Path(path))))


def _find_target(
    side: nn.Module | str | schema.Profile, args: Any, kwargs: Mapping[str, Any] | None, options: Options, label: str
) -> Target:
    if isinstance(side, str):
        return resolve(side, options.config)
    if isinstance(side, schema.Profile):
        return Target(name=side.name, key=f"<{label}>", saved=side)
    return Target(name=type(side).__name__, key=f"<{label}>", saved=_profile_live(side, args, kwargs, witnesses=False))


def _profile_live(model: nn.Module, args: Any, kwargs: Mapping[str, Any] | None, *, witnesses: bool) -> schema.Profile:
    from archaudit.measure.live import measure_live

    return measure_live(model, args, kwargs, witnesses=witnesses)


def _fields(record: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}
