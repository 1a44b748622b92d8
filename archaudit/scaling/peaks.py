"""The peak of live memory: the largest of the sums at every moment of the run, of which few are the largest for any size.

Each moment has its own polynomial. The moments that are the largest somewhere in the range are found by evaluating all of them at many
sizes; the law is the maximum of their polynomials, so it is piecewise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archaudit.scaling.expressions import Expression, compile_text, evaluate_code, sum_expressions
from archaudit.scaling.fitting import Fitter, name_conditions
from archaudit.scaling.samples import Key, Sample

# More pieces than a reader can use mean that the moments were not understood.
_MOST_PIECES = 12


# A piece, and the position of the module that runs at the moment of the peak.
Pieces = list[tuple[str, int]]


def fit_peak(fitter: Fitter, points: Sequence[Mapping[str, int]]) -> tuple[str, Pieces] | None:
    """The law of the peak as text, with its pieces; None if there is none. Where another order of allocations follows from a size that is
    one, or a multiple, each case has its own."""
    whole = _fit_case(fitter, points)
    if whole is not None:
        return whole
    for atom, by, column in fitter.list_splits():
        texts, pieces = [], []
        for condition in name_conditions(atom, by):
            holds = condition == name_conditions(atom, by)[0]
            numbers = [number for number, each in enumerate(column) if each == holds]
            code = compile_text(condition)
            side = _fit_case(fitter.take(numbers), [point for point in points if evaluate_code(code, point)])
            if side is None:
                break
            texts.append(f"{condition}*({side[0]})")
            pieces += [(f"{condition}*({text})", position) for text, position in side[1]]
        if len(texts) == 2:
            return " + ".join(texts), pieces
    return None


def _fit_case(fitter: Fitter, points: Sequence[Mapping[str, int]]) -> tuple[str, Pieces] | None:
    allocations = fitter.fit_allocations() if _is_regular(fitter.samples) else None
    found = find_peaks(fitter.samples, allocations, points) if allocations is not None else None
    if found is None:
        return None
    pieces = [(expression.format(), position) for expression, position in found]
    return (pieces[0][0] if len(pieces) == 1 else f"max({', '.join(text for text, _ in pieces)})"), pieces


def _is_regular(samples: Sequence[Sample]) -> bool:
    return all(sample.events == samples[0].events for sample in samples)


def find_peaks(
    samples: Sequence[Sample], allocations: Mapping[Key, Expression], points: Sequence[Mapping[str, int]]
) -> list[tuple[Expression, int]] | None:
    """The live bytes at each moment that is the peak at one of the points, with the position of the module that runs then.

    None if the order of allocations differs between the samples, or if there are too many such moments.
    """
    events = samples[0].events
    if any(sample.events != events for sample in samples) or any(key not in allocations for _, key in events):
        return None
    moments = _find_moments(events, allocations, points)
    if not 0 < len(moments) <= _MOST_PIECES:
        return None
    found: dict[Expression, int] = {}
    for moment in moments:
        expression, position = _sum_live(events, allocations, moment)
        found.setdefault(expression, position)
    return list(found.items())


def _find_moments(
    events: Sequence[tuple[bool, Key]], allocations: Mapping[Key, Expression], points: Sequence[Mapping[str, int]]
) -> list[int]:
    """The fewest moments of which one is the peak at each point, those that are the peak most often first."""
    different = list(dict.fromkeys(allocations[key] for _, key in events))
    numbers = {expression: number for number, expression in enumerate(different)}
    steps = [numbers[allocations[key]] if allocated else ~numbers[allocations[key]] for allocated, key in events]
    tops: list[set[int]] = []
    for point in points:
        values = [expression.evaluate(point) for expression in different]
        live = peak = 0
        moments: set[int] = set()
        for moment, step in enumerate(steps):
            live += values[step] if step >= 0 else -values[~step]
            if live > peak:
                peak, moments = live, {moment}
            elif live == peak:
                moments.add(moment)
        tops.append(moments)
    chosen: list[int] = []
    while tops:
        counts: dict[int, int] = {}
        for moments in tops:
            for moment in moments:
                counts[moment] = counts.get(moment, 0) + 1
        best = max(counts, key=lambda moment: (counts[moment], -moment))
        chosen.append(best)
        tops = [moments for moments in tops if best not in moments]
    return chosen


def _sum_live(events: Sequence[tuple[bool, Key]], allocations: Mapping[Key, Expression], moment: int) -> tuple[Expression, int]:
    live: dict[Key, Expression] = {}
    for allocated, key in events[: moment + 1]:
        if allocated:
            live[key] = allocations[key]
        else:
            live.pop(key, None)
    return sum_expressions(live.values()), events[moment][1][0]
