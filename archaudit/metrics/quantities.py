"""Numbers with units as people write them: "3M", "2.6 GMACs", "~21K", "63 %", "42x", "2-3M". Parsed to intervals, and printed.

A printed figure stands for every number that rounds to it: `2.52M` is [2.515M, 2.525M), `884,736` is itself, `~21K` is 21K ± 10 %. A range
is taken at its ends: `2-3M` is [2M, 3M], and `~2-3M` that with each end moved out by 10 % of itself.
K, M, B, G, T are decimal; Ki, Mi, Gi, Ti binary. A limit in a budget is taken at its value: `3M` is 3,000,000.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

from archaudit.schema import Record

# "about" widens a figure by this share unless the claim says otherwise: people write ~21K for anything from 19K to 23K.
APPROXIMATE_SHARE = Decimal("0.10")

_MULTIPLIERS = {
    "": Decimal(1),
    "K": Decimal(10) ** 3,
    "THOUSAND": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "MILLION": Decimal(10) ** 6,
    "B": Decimal(10) ** 9,
    "BILLION": Decimal(10) ** 9,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "KI": Decimal(2) ** 10,
    "MI": Decimal(2) ** 20,
    "GI": Decimal(2) ** 30,
    "TI": Decimal(2) ** 40,
}

_UNITS = {
    "": "",
    "param": "params",
    "params": "params",
    "parameter": "params",
    "parameters": "params",
    "flop": "flops",
    "flops": "flops",
    "mac": "macs",
    "macs": "macs",
    "madd": "macs",
    "madds": "macs",
    "mult-adds": "macs",
    "multiply-adds": "macs",
    "multiply-accumulates": "macs",
    "b": "bytes",
    "byte": "bytes",
    "bytes": "bytes",
    "x": "x",
    "×": "x",
    "times": "x",
    "%": "%",
    "percent": "%",
    "ms": "ms",
    "us": "us",
    "µs": "us",
    "s": "s",
}

_RELATIONS = {
    "≤": "<=",
    "≥": ">=",
    "under": "<",
    "below": "<",
    "less than": "<",
    "fewer than": "<",
    "at most": "<=",
    "up to": "<=",
    "above": ">",
    "more than": ">",
    "at least": ">=",
}
_DIGITS = r"\d{1,3}(?:[,_]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(
    rf"""^\s*
    (?P<relation><=|>=|≤|≥|<|>|(?:under|below|less\ than|fewer\ than|at\ most|up\ to|above|more\ than|at\ least)\s)?\s*
    (?P<about>~|≈|(?:about|around|approximately|roughly|nearly|almost|ca\.)\s)?\s*
    (?P<sign>[-+−])?
    (?P<digits>{_DIGITS})
    (?P<span>\s*(?P<step>[KMGT]i|[KMBGT])?\s?(?:-|–|—|\sto\s)\s?(?P<upper>{_DIGITS}))?
    \s*(?P<rest>[^\d]*?)\s*$""",
    re.VERBOSE | re.IGNORECASE,
)
_SUFFIX = re.compile(r"^(?P<multiplier>million|billion|thousand|[KMGT]i|[KMBGT])?\s*(?P<unit>.*)$", re.IGNORECASE)

# No figure in a report needs more; a longer one is noise, and parsing it would only cost time.
_LONGEST = 60


class Quantity(Record, frozen=True, kw_only=True):
    """A figure as written, and the numbers it may stand for.

    `value` is its nominal value; any number in [`low`, `high`) prints as it (`high` itself too when `closed`). `relation` is `<`, `<=`,
    `>`, `>=` or empty; `unit` is `params`, `flops`, `macs`, `bytes`, `%`, `x`, `ms`, `us`, `s` or empty. `scale` is what its last
    digits were multiplied by; `is_range` says that it has two ends, `value` in the middle; `is_signed` that it was written with a sign.
    """

    text: str
    value: float
    low: float
    high: float
    closed: bool
    unit: str = ""
    relation: str = ""
    approximate: bool = False
    scale: float = 1
    is_range: bool = False
    is_signed: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether it stands for one number only."""
        return self.low == self.high

    def contains(self, number: float) -> bool:
        """Whether `number` would be written like this figure."""
        return self.low <= number < self.high or (self.closed and number == self.high)


def parse(text: str, tolerance: float | None = None) -> Quantity:
    """A figure such as `<3M`, `2.6 GMACs`, `~21K`, `884,736`, `63 %`, `42x` or `2-3M`.

    `tolerance` is the share that "about" widens it by, a tenth if None. Raises ValueError, saying what was expected, for anything else.
    """
    found = _NUMBER.match(text) if len(text) <= _LONGEST else None
    if found is None:
        raise ValueError(f"{_shorten(text)!r} is not a number; write for example 3M, 25K, 2.6 GMACs, 884,736 or 1.5%")
    multiplier, unit = _split_suffix(found["rest"], text)
    share = (APPROXIMATE_SHARE if tolerance is None else Decimal(str(tolerance))) if found["about"] else None
    if found["span"]:
        value, low, high = _read_range(found, multiplier, share, text)
        closed = True
    else:
        digits = _read_digits(found["digits"])
        value = (-1 if found["sign"] in ("-", "−") else 1) * digits * multiplier
        low, high, closed = _interval(value, digits, multiplier, share, whole_is_exact=unit not in ("%", "x"))
    relation = (found["relation"] or "").strip().lower()
    return Quantity(
        text=text.strip(),
        value=_as_number(value),
        low=_as_number(low),
        high=_as_number(high),
        closed=closed,
        unit=unit,
        relation=_RELATIONS.get(relation, relation),
        approximate=bool(found["about"]),
        scale=_as_number(multiplier),
        is_range=bool(found["span"]),
        is_signed=bool(found["sign"]),
    )


def _read_digits(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("_", ""))


def _read_range(found: re.Match[str], multiplier: Decimal, share: Decimal | None, text: str) -> tuple[Decimal, Decimal, Decimal]:
    """The middle and the ends of `2-3M`; the first end has the last one's multiplier unless it brings its own."""
    own = _MULTIPLIERS[found["step"].upper()] if found["step"] else multiplier
    low, high = _read_digits(found["digits"]) * own, _read_digits(found["upper"]) * multiplier
    if low >= high or found["sign"] or found["relation"]:
        raise ValueError(f"{_shorten(text)!r} is not a number: a range is written as 2-3M, the smaller end first")
    margin = share or Decimal(0)
    return (low + high) / 2, low * (1 - margin), high * (1 + margin)


def _split_suffix(rest: str, text: str) -> tuple[Decimal, str]:
    if rest.lower() in _UNITS and rest != "B" and not (rest[:1] == "M" and rest.lower() == "ms"):
        # a lone B is a billion, as in "7B", a lone b a byte; milliseconds are never "Ms"
        return Decimal(1), _UNITS[rest.lower()]
    parts = _SUFFIX.match(rest)
    unit = parts["unit"].strip().lower() if parts else ""
    if parts is None or unit not in _UNITS:
        raise ValueError(
            f"{_shorten(text)!r} has an unknown unit {_shorten(rest)!r}; known: K M B G T, Ki Mi Gi Ti, params, FLOPs, MACs, bytes, %, x"
        )
    return _MULTIPLIERS[(parts["multiplier"] or "").upper()], _UNITS[unit]


def _interval(
    value: Decimal, digits: Decimal, multiplier: Decimal, share: Decimal | None, *, whole_is_exact: bool
) -> tuple[Decimal, Decimal, bool]:
    if share is not None:
        margin = abs(value) * share
        return value - margin, value + margin, True
    exponent = digits.as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) else 0
    if multiplier == 1 and decimals == 0 and whole_is_exact:  # a count is itself; 63 % and 42x are rounded like any other figure
        return value, value, True
    half = multiplier * Decimal(1).scaleb(-decimals) / 2
    return value - half, value + half, False


def _as_number(value: Decimal) -> float:
    return int(value) if value == value.to_integral_value() else float(value)


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


# --- printing -------------------------------------------------------------------------------------------------------

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
        # 999,999 rounds to 1000K, which is 1.00M: the larger step begins where rounding reaches it.
        if size >= step * 0.9995 or (position == len(steps) - 1 and size >= step):
            scaled = Decimal(value) / Decimal(step)
            decimals = 2 if abs(scaled) < Decimal("9.995") else 1 if abs(scaled) < Decimal("99.95") else 0
            # half up, as people round: half to even would print 1,005 as 1.00K, which does not stand for it
            rounded = scaled.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
            return f"{rounded:f}{space}{letter}"
    return f"{format_exact(value)}{plain}"


def format_percent(share: float) -> str:
    """A share as `63.2 %`. Never `0.0 %` or `100.0 %` unless it is exactly that: `<0.1 %`, `>99.9 %`."""
    percent = share * 100
    if percent in (0, 100, -100):
        return f"{percent:.0f} %"
    size = abs(percent)
    sign = "-" if percent < 0 else ""  # the bound is on the size: -<0.1 % is a decrease by less than 0.1 %
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


def format_ratio(before: float, after: float) -> str:
    """How many times fewer or more: `31.6x fewer`, `2.00x more`; never `1.00x` unless equal (then `same`)."""
    if before == after:
        return "same"
    if before <= 0 or after <= 0:
        return "new" if before == 0 else "gone" if after == 0 else ""
    ratio = before / after if before > after else after / before
    word = "fewer" if before > after else "more"
    if ratio < 1.005:
        return f"<1.01x {word}"
    return f"{ratio:.{2 if ratio < 9.995 else 1 if ratio < 99.95 else 0}f}x {word}"


def format_pair(first: float, second: float, unit: str = "") -> tuple[str, str]:
    """Two numbers for one sentence: short where the short forms differ, exact where they would look equal."""
    short = format_short(first, unit), format_short(second, unit)
    return short if short[0] != short[1] or first == second else (format_exact(first), format_exact(second))
