"""The first commit at which a condition holds, by bisection. A condition is `params > 3M`, or `flops of decoder >= 2G`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from archaudit.errors import ConfigError
from archaudit.history.commits import CommitMeasurer, list_range, open_measurer
from archaudit.metrics.catalog import METRICS, Metric, find_metric, measure_scope
from archaudit.pipeline import Options
from archaudit.schema import Bisection, Profile, Record, parse_quantity

_FORM = re.compile(r"^\s*(?P<metric>[\w:.-]+)(?:\s+of\s+(?P<scope>\S+))?\s*(?P<sign>>=|<=|==|=|>|<|≥|≤)\s*(?P<limit>.+?)\s*$")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "≥": operator.ge, "≤": operator.le,
    "==": operator.eq, "=": operator.eq,
}  # fmt: skip
_HINT = 'Write a metric, a comparison and a number: "params > 3M", "macs of decoder* >= 2G".'


class Condition(Record, frozen=True, kw_only=True):
    """A comparison of a metric, over a scope (empty: the whole model), with a number."""

    text: str
    metric: str
    scope: str
    sign: str
    limit: float

    def judge(self, profile: Profile) -> tuple[bool | None, str]:
        """Whether it holds, with the measured value; None, with the reason, where it cannot be judged."""
        metric = find_metric(self.metric)
        assert metric is not None
        measured = measure_scope(profile, metric, self.scope)
        if measured.value is None:
            return None, measured.reason
        return _SIGNS[self.sign](measured.value, self.limit), f"{measured.value:,}"


def parse_condition(text: str) -> Condition:
    """The condition. Raises ConfigError that says what was expected."""
    found = _FORM.match(text)
    if found is None:
        raise ConfigError(f"{text!r} is not a condition", _HINT)
    metric = find_metric(found["metric"])
    if metric is None:
        raise ConfigError(f"{text!r}: there is no metric {found['metric']!r}", f"Known: {', '.join(METRICS)}.")
    return Condition(
        text=text, metric=metric.name, scope=found["scope"] or "", sign=found["sign"], limit=_read_limit(text, metric, found["limit"])
    )


def _read_limit(text: str, metric: Metric, limit: str) -> float:
    try:
        figure = parse_quantity(limit)
    except ValueError as error:
        raise ConfigError(f"{text!r}: {error}", _HINT) from error
    if figure.relation or figure.is_range or figure.approximate:
        raise ConfigError(f"{text!r}: {limit!r} is not one number", _HINT)
    if figure.unit not in ("", metric.unit):
        raise ConfigError(f"{text!r}: {metric.name} is counted in {metric.unit or 'elements'}, not {figure.unit}", _HINT)
    return figure.value


# --- the search, with about log2(n) profiles -------------------------------------------------------------------------


def bisect(reference: str, commits: str | None, when: str, options: Options) -> Bisection:
    """The first commit of a range (None: all up to HEAD) at which `when` holds, while it does not hold at the one before.

    A commit whose model cannot be measured, or where the condition cannot be judged, is skipped. Raises RevisionError or ConfigError.
    """
    condition = parse_condition(when)
    with open_measurer(reference, options) as measurer:
        start, listed = list_range(measurer.repository, commits)
        candidates = [start, *listed] if start is not None else listed
        return _Search(measurer, condition, candidates).run()


class _Search:
    """Keeps `low`, a commit where the condition does not hold (-1: before the first one), and `high`, one where it holds."""

    def __init__(self, measurer: CommitMeasurer, condition: Condition, commits: list[str]) -> None:
        self._measurer = measurer
        self._condition = condition
        self._commits = commits
        self._skipped: set[int] = set()
        self._expected = 1 + len(commits).bit_length()  # the last commit, then halves; more where commits are skipped

    def run(self) -> Bisection:
        high = self._find_end()
        if high is None:
            # the commits at the end of the range, or all of them, may be unknown
            return self._conclude("unsure" if self._skipped else "never", None)
        low = -1
        while (place := self._choose(low, high)) is not None:
            holds = self._holds(place)
            if holds is None:
                self._skipped.add(place)
            elif holds:
                high = place
            else:
                low = place
        between = [place for place in range(low + 1, high) if place in self._skipped]
        if between:
            return self._conclude("unsure", high, low, between)
        return self._conclude("found" if low >= 0 else "always", high, low)

    def _find_end(self) -> int | None:
        """The last commit that can be judged, if the condition holds there."""
        for place in reversed(range(len(self._commits))):
            holds = self._holds(place)
            if holds is not None:
                return place if holds else None
            self._skipped.add(place)
        return None

    def _choose(self, low: int, high: int) -> int | None:
        """The commit in the middle of the remaining ones; the nearest to it where that one was skipped."""
        middle = (low + high) // 2
        left = [place for place in range(low + 1, high) if place not in self._skipped]
        return min(left, key=lambda place: (abs(place - middle), place)) if left else None

    def _holds(self, place: int) -> bool | None:
        self._measurer.advance(self._measurer.count, self._expected)
        result = self._measurer.measure(self._commits[place])
        return None if result.profile is None else self._condition.judge(result.profile)[0]

    def _conclude(self, outcome: str, first: int | None, low: int = -1, between: list[int] | None = None) -> Bisection:
        describe = self._measurer.describe
        skipped = between if between is not None else sorted(self._skipped)
        return Bisection(
            reference=self._measurer.reference,
            condition=self._condition.text,
            outcome=outcome,  # type: ignore[arg-type]
            first=describe(self._commits[first]) if first is not None else None,
            before=describe(self._commits[low]) if low >= 0 else None,
            skipped=tuple(describe(self._commits[place]) for place in skipped),
            commits=len(self._commits),
            profiles=self._measurer.count,
        )
