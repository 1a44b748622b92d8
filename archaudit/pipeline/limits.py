"""Limits given in Python: `params="<3M"`, `macs={"max_increase": "1%", "floor": "1M"}`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import msgspec

from archaudit.config import LIMITS, RELATIVE_LIMITS
from archaudit.errors import ConfigError
from archaudit.judge import conclude, judge
from archaudit.metrics.catalog import METRICS
from archaudit.schema import Check, Judgement, Profile, Quantity, parse_limit

Limit = str | Mapping[str, str | int]

_COMPARISONS = {"<": "below", "<=": "max", ">": "above", ">=": "min"}
_SIDE, _OTHER = "<model>", "<before>"


def judge_limits(
    profile: Profile, limits: Mapping[str, Limit], scope: str | tuple[str, ...] = "", before: Profile | None = None
) -> Judgement:
    """Verdicts on limits for a profile, and for its growth since `before`.

    A limit is a relation and a figure, `<3M`, `>=10K`, or a mapping with the keys of a budget. Raises ConfigError for anything else.
    """
    patterns = (scope,) if isinstance(scope, str) else tuple(scope)
    checks = [check for metric, limit in limits.items() for check in _read_limit(metric, limit, patterns)]
    profiles = {_SIDE: profile} | ({_OTHER: before} if before is not None else {})
    verdicts = judge(checks, profiles, {}, {_SIDE: before} if before is not None else None)
    named = tuple(msgspec.structs.replace(verdict, model=profile.name) for verdict in verdicts)
    return Judgement(outcome=conclude(named), checks=named)


def _read_limit(metric: str, limit: Limit, scope: tuple[str, ...]) -> list[Check]:
    if metric not in METRICS:
        near = get_close_matches(metric, METRICS, n=1)
        raise ConfigError(f"there is no metric {metric!r}", f"Did you mean {near[0]}?" if near else f"Metrics are {', '.join(METRICS)}.")
    if not isinstance(limit, Mapping):
        relation = _parse(metric, str(limit)).relation
        if relation not in _COMPARISONS:
            raise ConfigError(f"{metric}={limit!r} has no relation", f"Write {metric}='<{limit}', or <=, > or >=.")
        return [_make_check(metric, _COMPARISONS[relation], str(limit), scope)]
    unknown = [key for key in limit if key not in (*LIMITS, "floor")]
    if unknown or not any(key in LIMITS for key in limit):
        raise ConfigError(
            f"{metric}: {', '.join(map(repr, unknown)) or 'nothing'} is no limit", f"Limits are {', '.join(LIMITS)}; and floor."
        )
    figures = {name: str(figure) for name, figure in limit.items()}
    for figure in figures.values():
        _parse(metric, figure)
    return [_make_check(metric, name, figure, scope, figures.get("floor")) for name, figure in figures.items() if name in LIMITS]


def _make_check(metric: str, comparison: str, figure: str, scope: tuple[str, ...], floor: str | None = None) -> Check:
    relative = comparison in RELATIVE_LIMITS
    where = " ".join(filter(None, scope))
    return Check(
        id=" ".join(filter(None, (metric, where, comparison if relative else "", figure))),
        origin="budget",
        model=_SIDE,
        metric=metric,
        scope=scope,
        comparison=comparison,
        expected=figure,
        against=_OTHER if relative else None,
        floor=floor if relative else None,
    )


def _parse(metric: str, figure: str) -> Quantity:
    try:
        return parse_limit(figure)
    except ValueError as error:
        raise ConfigError(f"{metric}: {error}") from error
