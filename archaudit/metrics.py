"""METRICS: what can be asked of a profile, with unit, getter, and whether it adds up over modules.

A scope is a pattern over module paths: `""` is the whole model, `decoder.0` that module with everything below it, `*` stands for any
part of one name, `**` for any number of names. The cost of a scope is the sum of the own costs of every module that it covers, so
nested matches never count twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import lru_cache

from archaudit.schema import Cost, ModuleRecord, Profile, Record, sum_costs


class Metric(Record, frozen=True, kw_only=True):
    """A number that a profile has: additive ones come from a Cost, the others (peaks) from the whole profile only."""

    name: str
    unit: str
    label: str
    additive: bool
    of_cost: Callable[[Cost], int] | None = None
    of_profile: Callable[[Profile], int | None] | None = None
    needs_complete_flops: bool = False
    depends_on_inputs: bool = True


def _additive(name: str, unit: str, label: str, *, needs_complete_flops: bool = False, depends_on_inputs: bool = True) -> Metric:
    return Metric(
        name=name,
        unit=unit,
        label=label,
        additive=True,
        of_cost=lambda cost: int(getattr(cost, name)),
        needs_complete_flops=needs_complete_flops,
        depends_on_inputs=depends_on_inputs,
    )


def _peak(name: str, label: str, getter: Callable[[Profile], int | None]) -> Metric:
    return Metric(name=name, unit="bytes", label=label, additive=False, of_profile=getter)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _additive("params", "params", "Parameters", depends_on_inputs=False),
        _additive("trainable_params", "params", "Trainable parameters", depends_on_inputs=False),
        _additive("buffers", "", "Buffer elements", depends_on_inputs=False),
        _additive("param_bytes", "bytes", "Parameter bytes", depends_on_inputs=False),
        _additive("flops", "flops", "FLOPs", needs_complete_flops=True),
        _additive("macs", "macs", "MACs", needs_complete_flops=True),
        _additive("activation_bytes", "bytes", "Activation bytes"),
        _additive("moved_bytes", "bytes", "Bytes moved"),
        _peak("peak_activation_bytes", "Peak live activations", lambda profile: profile.peaks.activation_bytes),
        _peak("saved_bytes", "Saved for backward", lambda profile: profile.peaks.saved_bytes),
    )
}


class Measured(Record, frozen=True, kw_only=True):
    """A metric's value over a scope; `value` is None, with the reason, where nothing can be said."""

    value: int | None
    reason: str = ""
    modules: int = 0


def measure_scope(profile: Profile, metric: Metric, scopes: str | Iterable[str] = "") -> Measured:
    """The value of `metric` over everything that `scopes` (one pattern or several) covers in `profile`."""
    patterns = (scopes,) if isinstance(scopes, str) else tuple(scopes)
    if metric.of_profile is not None:
        if any(patterns):
            return Measured(value=None, reason=f"{metric.name} is not additive: it is known for the whole model only")
        value = metric.of_profile(profile)
        return Measured(value=value, reason="" if value is not None else f"{metric.name} was not measured")
    modules = select_modules(profile, patterns)
    if not modules:
        return Measured(value=None, reason=f"no module of {profile.name} matches {', '.join(map(repr, patterns))}")
    incomplete = [module.path for module in modules if not module.flops_complete] if metric.needs_complete_flops else []
    if incomplete:
        deepest = max(incomplete, key=lambda path: path.count(".") + bool(path))
        return Measured(
            value=None, reason=f"the FLOPs of {deepest or 'the model'} are incomplete: an operator in it is unknown", modules=len(modules)
        )
    assert metric.of_cost is not None
    return Measured(value=metric.of_cost(sum_costs(module.own for module in modules)), modules=len(modules))


def select_modules(profile: Profile, patterns: Iterable[str]) -> list[ModuleRecord]:
    """Every module that a pattern names, or that stands below one so named; each once, in the profile's order."""
    wanted = tuple(patterns)
    if "" in wanted:
        return list(profile.modules)
    expressions = [_compile(pattern) for pattern in wanted]
    return [module for module in profile.modules if any(expression.match(module.path) for expression in expressions)]


def nearest_paths(profile: Profile, pattern: str) -> list[str]:
    """The paths that a pattern without a match may have meant, the likeliest first."""
    return get_close_matches(pattern, [module.path for module in profile.modules if module.path], n=3, cutoff=0.4)


@lru_cache(maxsize=512)
def _compile(pattern: str) -> re.Pattern[str]:
    """A pattern as an expression that matches a path it names and, at a dot, everything below it. The root's empty path matches none."""
    parts = []
    for token in re.split(r"(\*\*\.|\*\*|\*|\?)", pattern):
        parts.append({"**.": r"(?:.*\.)?", "**": ".*", "*": "[^.]*", "?": "[^.]"}.get(token, re.escape(token)))
    return re.compile("(?=.)" + "".join(parts) + r"(?:\.|\Z)", re.DOTALL)
