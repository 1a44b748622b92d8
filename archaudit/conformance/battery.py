"""archaudit itself as a counter among others: the whole battery in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from archaudit.conformance.case import CaseResult, Count, Score

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


def run_counters(against: Sequence[str] = (), cases: Sequence[str] = ()) -> tuple[tuple[CaseResult, ...], tuple[Score, ...]]:
    """Every case run through archaudit, then through each counter named in `against`: results, and a score for each counter.

    `cases` limits the battery to these names. Raises MeasureError for an unknown counter or case, or one that is not installed.
    """
    from archaudit.conformance.models import all_cases
    from archaudit.conformance.rivals import rival
    from archaudit.conformance.run import run_battery, score
    from archaudit.errors import MeasureError

    known = {case.name: case for case in all_cases()}
    unknown = [name for name in cases if name not in known]
    if unknown:
        raise MeasureError(f"the battery has no case {unknown[0]!r}", f"Cases: {', '.join(sorted(known))}.")
    counters = {"archaudit": _count_by_archaudit, **{name: rival(name) for name in against}}
    results = run_battery([known[name] for name in cases] or list(known.values()), counters)
    return results, score(results)


def _count_by_archaudit(build: Callable[[], nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
    from archaudit.conformance.run import count_profile
    from archaudit.measure.live import measure_live

    return count_profile(measure_live(build(), args, kwargs))
