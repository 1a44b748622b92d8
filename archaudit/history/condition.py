"""`params > 3M`, `flops of decoder >= 2G`: a condition on a profile."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from archaudit.errors import ConfigError
from archaudit.metrics import METRICS, Metric, find_metric, measure_scope
from archaudit.quantities import parse
from archaudit.schema import Profile, Record

_FORM = re.compile(r"^\s*(?P<metric>[\w:.-]+)(?:\s+of\s+(?P<scope>\S+))?\s*(?P<sign>>=|<=|==|=|>|<|≥|≤)\s*(?P<limit>.+?)\s*$")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "≥": operator.ge, "≤": operator.le,
    "==": operator.eq, "=": operator.eq,
}  # fmt: skip
_HINT = 'Write a metric, a sign and a number: "params > 3M", "macs of decoder* >= 2G".'


class Condition(Record, frozen=True, kw_only=True):
    """A metric, over a scope (empty: the whole model), against a number."""

    text: str
    metric: str
    scope: str
    sign: str
    limit: float

    def judge(self, profile: Profile) -> tuple[bool | None, str]:
        """Whether it holds, and what was measured; None, with the reason, where that cannot be said."""
        metric = find_metric(self.metric)
        assert metric is not None
        measured = measure_scope(profile, metric, self.scope)
        if measured.value is None:
            return None, measured.reason
        return _SIGNS[self.sign](measured.value, self.limit), f"{measured.value:,}"


def parse_condition(text: str) -> Condition:
    """The condition, or a ConfigError that says what was expected."""
    found = _FORM.match(text)
    if found is None:
        raise ConfigError(f"{text!r} is no condition", _HINT)
    metric = find_metric(found["metric"])
    if metric is None:
        raise ConfigError(f"{text!r}: there is no metric {found['metric']!r}", f"Known: {', '.join(METRICS)}.")
    return Condition(
        text=text, metric=metric.name, scope=found["scope"] or "", sign=found["sign"], limit=_read_limit(text, metric, found["limit"])
    )


def _read_limit(text: str, metric: Metric, limit: str) -> float:
    try:
        figure = parse(limit)
    except ValueError as error:
        raise ConfigError(f"{text!r}: {error}", _HINT) from error
    if figure.relation or figure.is_range or figure.approximate:
        raise ConfigError(f"{text!r}: {limit!r} is not one number", _HINT)
    if figure.unit not in ("", metric.unit):
        raise ConfigError(f"{text!r}: {metric.name} is counted in {metric.unit or 'elements'}, not {figure.unit}", _HINT)
    return figure.value
