"""Limits asked for in Python: `params="<3M"`, `macs={"max_increase": "1%", "floor": "1M"}`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import msgspec

from archaudit.config import LIMITS, RELATIVE_LIMITS
from archaudit.errors import ConfigError
from archaudit.judge import conclude, judge
from archaudit.metrics.catalog import METRICS
from archaudit.metrics.quantities import parse
from archaudit.schema import Check, Judgement, Profile

Limit = str | Mapping[str, str | int]

_COMPARISONS = {"<": "below", "<=": "max", ">": "above", ">=": "min"}
_SIDE, _OTHER = "<model>", "<before>"


def judge_limits(
    profile: Profile, limits: Mapping[str, Limit], scope: str | tuple[str, ...] = "", before: Profile | None = None
) -> Judgement:
    """What becomes of limits on a profile, and of those on its growth since `before`.

    A text has a relation and a figure, `<3M`, `>=10K`; a mapping the keys of a budget in a config. Raises ConfigError for what is neither.
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
        return [_make_check(metric, _COMPARISONS[_read_relation(metric, str(limit))], str(limit), scope)]
    unknown = [key for key in limit if key not in (*LIMITS, "floor")]
    if unknown or not any(key in LIMITS for key in limit):
        raise ConfigError(
            f"{metric}: {', '.join(map(repr, unknown)) or 'nothing'} is no limit", f"Limits are {', '.join(LIMITS)}; and floor."
        )
    floor = str(limit["floor"]) if "floor" in limit else None
    return [_make_check(metric, name, _parse(metric, str(figure)), scope, floor) for name, figure in limit.items() if name in LIMITS]


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


def _parse(metric: str, figure: str) -> str:
    try:
        parse(figure)
    except ValueError as error:
        raise ConfigError(f"{metric}: {error}") from error
    return figure


def _read_relation(metric: str, limit: str) -> str:
    try:
        relation = parse(limit).relation
    except ValueError as error:
        raise ConfigError(f"{metric}: {error}") from error
    if relation not in _COMPARISONS:
        raise ConfigError(f"{metric}={limit!r} does not say which way", f"Write {metric}='<{limit}', or <=, > or >=.")
    return relation
