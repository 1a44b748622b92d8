"""Numbers as text: exact, short, as shares, changes and ratios. A text never claims more than is true.

`archaudit.schema.quantity` parses what is printed here.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

# From here on people say how many times, below in percent.
_LEAST_TIMES = 2
_DECIMAL_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K"))
_BINARY_STEPS = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


def format_exact(value: float) -> str:
    """`2,516,853`; a number that is not whole keeps its digits."""
    return f"{value:,}" if isinstance(value, int) or not float(value).is_integer() else f"{int(value):,}"


def format_signed(value: float) -> str:
    """`+1,234`, `-1,234`, `0`."""
    return "0" if value == 0 else ("+" if value > 0 else "-") + format_exact(abs(value))


def format_short(value: float, unit: str = "") -> str:
    """Three significant digits with one letter: `2.52M`; bytes in powers of 1024: `9.60 MiB`. Below a thousand: exact."""
    if unit == "bytes":
        return _format_steps(value, _BINARY_STEPS, " ", " byte" if abs(value) == 1 else " bytes")
    return _format_steps(value, _DECIMAL_STEPS, "", "")


def _format_steps(value: float, steps: tuple[tuple[float, str], ...], space: str, plain: str) -> str:
    size = abs(value)
    for position, (step, letter) in enumerate(steps):
        # 999,999 rounds to 1000K, which is 1.00M: the larger unit starts where rounding reaches it
        if size >= step * 0.9995 or (position == len(steps) - 1 and size >= step):
            scaled = Decimal(value) / Decimal(step)
            decimals = 2 if abs(scaled) < Decimal("9.995") else 1 if abs(scaled) < Decimal("99.95") else 0
            # half up, as people round: half to even prints 1,005 as 1.00K, and 1.00K does not include 1,005
            rounded = scaled.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
            return f"{rounded:f}{space}{letter}"
    return f"{format_exact(value)}{plain}"


def format_percent(share: float) -> str:
    """A share as `63.2 %`. Never `0.0 %` or `100.0 %` unless it is exactly that: `<0.1 %`, `>99.9 %`."""
    percent = share * 100
    if percent in (0, 100, -100):
        return f"{percent:.0f} %"
    size = abs(percent)
    sign = "-" if percent < 0 else ""  # -<0.1 % is a decrease by less than 0.1 %
    if size < 0.05:
        return f"{sign}<0.1 %"
    if 99.95 <= size < 100:
        return f"{sign}>99.9 %"
    if 100 < size < 100.05:
        return f"{sign}>100.0 %"
    return f"{percent:,.1f} %"


def format_change(before: float, after: float) -> str:
    """The change from before to after in percent, signed: `-63.2 %`, `+12.0 %`; `new`, `gone` or `same` where there is none."""
    if before == after:
        return "same"
    if before == 0:
        return "new"
    if after == 0:
        return "gone"
    text = format_percent((after - before) / abs(before))
    return text if text.startswith("-") else f"+{text}"


def format_ratio(before: float, after: float, words: tuple[str, str] = ("fewer", "more")) -> str:
    """How many times fewer or more: `31.6x fewer`, `2.00x more`; below twice in percent: `3.5 % more`. `same` if equal.

    `words` are those for a decrease and for an increase.
    """
    if before == after:
        return "same"
    if before <= 0 or after <= 0:
        return "new" if before == 0 else "gone" if after == 0 else ""
    word = words[0] if before > after else words[1]
    times = format_times(before, after)
    return f"{times or format_percent(abs(after - before) / before)} {word}"


def format_times(before: float, after: float) -> str:
    """The larger number as a multiple of the smaller: `31.6x`, `2.00x`; empty below twice, where percent are easier to read."""
    if before <= 0 or after <= 0:
        return ""
    ratio = before / after if before > after else after / before
    if ratio < _LEAST_TIMES:
        return ""
    return f"{ratio:.{2 if ratio < 9.995 else 1 if ratio < 99.95 else 0}f}x"


def format_speed(before: float, after: float) -> str:
    """How much faster or slower: `2.92x faster`; below twice in percent of the time: `12.0 % less time`."""
    return format_ratio(before, after, ("faster", "slower") if format_times(before, after) else ("less time", "more time"))


def format_pair(first: float, second: float, unit: str = "") -> tuple[str, str]:
    """Two numbers for one sentence: short where the short forms differ, exact where they would look equal."""
    short = format_short(first, unit), format_short(second, unit)
    return short if short[0] != short[1] or first == second else (format_exact(first), format_exact(second))
