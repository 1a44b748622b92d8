"""Numbers as text, short and exact: `≥` marks incomplete FLOPs, which have no delta."""

from __future__ import annotations

from functools import lru_cache

from archaudit.metrics.quantities import format_change, format_exact, format_ratio, format_short, format_signed, format_speed, format_times
from archaudit.render.formatting import NOTHING, format_milliseconds
from archaudit.schema import Record


class Figure(Record, frozen=True, kw_only=True):
    """A number as text: `short` with three digits, `exact` with all; both are empty for no number. The unit is in the heading."""

    short: str = ""
    exact: str = ""


class Sides(Record, frozen=True, kw_only=True):
    """A number before and after, and after minus before."""

    before: Figure
    after: Figure
    delta: Figure


class Trend(Record, frozen=True, kw_only=True):
    """A number before and after with the texts about its change. `direction` is `fewer`, `more`, `same` or empty (unknown).

    `ratio` is empty below twice, where `percent` is easier to read.

    `share_before` and `share_after` are the lengths of the two bars, 0 to 100.
    """

    sides: Sides
    percent: str
    ratio: str
    direction: str
    share_before: float = 0.0
    share_after: float = 0.0


INCOMPLETE = "incomplete"
AT_LEAST = "≥ "

NO_FIGURE = Figure()
_ABSENT = Figure(short=NOTHING, exact=NOTHING)
_ZERO = Figure(short="0", exact="0")
_UNKNOWN = Figure(short="?", exact="?")
# Units of which an incomplete zero is shown as `≥ 0`.
_PLAIN_BOUNDS = ("params", "bytes")


# Cached, because most numbers of a report occur several times: before and after, and from other counters.
@lru_cache(maxsize=65536)
def make_figure(value: float | None, unit: str = "", *, complete: bool = True) -> Figure:
    """A number; `-` for None, `≥ 1.2G` if it is incomplete, `?` for FLOPs that are incomplete where none was counted."""
    if value is None:
        return _ABSENT
    if value == 0 and not complete and unit not in _PLAIN_BOUNDS:
        return _UNKNOWN
    if complete:
        return _ZERO if value == 0 and unit != "bytes" else Figure(short=format_short(value, unit), exact=format_exact(value))
    return Figure(short=AT_LEAST + format_short(value, unit), exact=AT_LEAST + format_exact(value))


def make_delta(value: float, unit: str = "") -> Figure:
    """A signed number."""
    if value == 0:
        return _ZERO
    short = format_short(value, unit)
    return Figure(short=short if short.startswith("-") else f"+{short}", exact=format_signed(value))


def make_sides(before: float | None, after: float | None, unit: str = "", *, complete: tuple[bool, bool] = (True, True)) -> Sides:
    """Before, after and their difference. A missing side counts as zero in the delta; incomplete numbers have no delta."""
    delta = make_delta((after or 0) - (before or 0), unit) if all(complete) else _UNKNOWN
    return Sides(before=make_figure(before, unit, complete=complete[0]), after=make_figure(after, unit, complete=complete[1]), delta=delta)


def make_trend(before: float | None, after: float | None, unit: str = "", *, complete: tuple[bool, bool] = (True, True)) -> Trend:
    """Before, after, and the texts about the change: none if a side was not measured or is incomplete."""
    sides = make_sides(before, after, unit, complete=complete)
    if before is None or after is None:
        return Trend(sides=Sides(before=sides.before, after=sides.after, delta=_ABSENT), percent=NOTHING, ratio=NOTHING, direction="")
    if not all(complete):
        return Trend(sides=sides, percent=INCOMPLETE, ratio=INCOMPLETE, direction="")
    if before != after and sides.before.short == sides.after.short:  # numbers that differ must not look equal
        sides = Sides(before=_only_exact(sides.before), after=_only_exact(sides.after), delta=sides.delta)
    largest = max(abs(before), abs(after)) or 1
    return Trend(
        sides=sides,
        percent=format_change(before, after),
        ratio=_describe_ratio(before, after),
        direction="same" if before == after else "fewer" if after < before else "more",
        share_before=_share(before, largest),
        share_after=_share(after, largest),
    )


def _describe_ratio(before: float, after: float) -> str:
    is_plain = before > 0 and after > 0 and before != after
    return "" if is_plain and not format_times(before, after) else format_ratio(before, after)


def _only_exact(figure: Figure) -> Figure:
    return Figure(short=figure.exact, exact=figure.exact)


def scale_trend(trend: Trend, before: float, after: float, largest: float) -> Trend:
    """The same trend with bars relative to `largest`, so that the bars of several rows can be compared."""
    return Trend(
        sides=trend.sides,
        percent=trend.percent,
        ratio=trend.ratio,
        direction=trend.direction,
        share_before=_share(before, largest or 1),
        share_after=_share(after, largest or 1),
    )


def make_duration(seconds: float | None) -> Figure:
    """A time in milliseconds."""
    return _ABSENT if seconds is None else Figure(short=format_milliseconds(seconds), exact=f"{seconds * 1e3:,.3f}")


def make_duration_trend(before: float | None, after: float | None, *, comparable: bool) -> Trend:
    """Two times and their change; no change if they are not `comparable`."""
    sides = Sides(before=make_duration(before), after=make_duration(after), delta=_ABSENT)
    if before is None or after is None or not comparable:
        return Trend(sides=sides, percent=NOTHING, ratio=NOTHING, direction="")
    largest = max(before, after) or 1
    change = after - before
    if change == 0:
        return Trend(sides=Sides(before=sides.before, after=sides.after, delta=_ZERO), percent="same", ratio="same", direction="same")
    sign = "+" if change > 0 else ""
    delta = Figure(short=sign + format_milliseconds(change), exact=f"{change * 1e3:+,.3f}")
    return Trend(
        sides=Sides(before=sides.before, after=sides.after, delta=delta),
        percent=format_change(before, after),
        ratio=format_speed(before, after) if format_times(before, after) else "",
        direction="fewer" if after < before else "more",
        share_before=_share(before, largest),
        share_after=_share(after, largest),
    )


def summarise_trend(trend: Trend) -> str:
    """`-63.2 % (-4.31M, 2.71x fewer)`; the reason if the two cannot be compared."""
    if not trend.direction:
        return "cannot be compared" + (": incomplete" if trend.percent == INCOMPLETE else "")
    if trend.percent == trend.ratio:
        return trend.percent if trend.direction == "same" else f"{trend.percent} ({trend.sides.delta.short})"
    return f"{trend.percent} ({', '.join(filter(None, (trend.sides.delta.short, trend.ratio)))})"


def _share(value: float, largest: float) -> float:
    """A bar's length, 0 to 100; at least 0.5 for any number but zero, so that it is visible."""
    return 0.0 if value == 0 else round(max(0.5, 100 * abs(value) / largest), 1)
