"""Numbers with units as people write them, "3M", "2.6 GMACs", "~21K", "63 %", "42x", "2-3M", parsed to intervals.

A figure means every number that rounds to it: `2.52M` is [2.515M, 2.525M), `884,736` is one number, `~21K` is 21K ± 10 %. A range runs
between its ends: `2-3M` is [2M, 3M], and `~2-3M` moves each end outwards by 10 % of itself. `25.6±0.1M` is [25.5M, 25.7M].
K, M, B, G, T are decimal; Ki, Mi, Gi, Ti binary. A limit in a budget is its value: `3M` is 3,000,000.
"""

from __future__ import annotations

import re
from decimal import Decimal

from archaudit.schema.record import Record

# "about" widens a figure by this share unless a claim sets its own: people write ~21K for anything from 19K to 23K.
APPROXIMATE_SHARE = Decimal("0.10")

_MULTIPLIERS = {
    "": Decimal(1),
    "K": Decimal(10) ** 3,
    "THOUSAND": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "THOUSANDS": Decimal(10) ** 3,
    "MILLION": Decimal(10) ** 6,
    "MILLIONS": Decimal(10) ** 6,
    "MIO": Decimal(10) ** 6,
    "MN": Decimal(10) ** 6,
    "B": Decimal(10) ** 9,
    "BILLION": Decimal(10) ** 9,
    "BILLIONS": Decimal(10) ** 9,
    "BN": Decimal(10) ** 9,
    "MRD": Decimal(10) ** 9,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "KI": Decimal(2) ** 10,
    "MI": Decimal(2) ** 20,
    "GI": Decimal(2) ** 30,
    "TRILLION": Decimal(10) ** 12,
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
    "m-adds": "macs",
    "multadds": "macs",
    "mult-add": "macs",
    "mult-adds": "macs",
    "multiadds": "macs",
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
# ASCII digits only: \d also matches the digits of other scripts, which a reader of a config may not recognize as the same number.
_DIGITS = r"[0-9]{1,3}(?:[,_][0-9]{3})+(?:\.[0-9]+)?|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:e[-+]?[0-9]{1,2}(?![0-9.]))?"
_NUMBER = re.compile(
    rf"""^\s*
    (?P<relation><=|>=|≤|≥|<|>|(?:under|below|less\ than|fewer\ than|at\ most|up\ to|above|more\ than|at\ least)\s)?\s*
    (?P<about>~|≈|(?:about|around|approximately|roughly|nearly|almost|ca\.)\s)?\s*
    (?P<sign>[-+−])?
    (?P<digits>{_DIGITS})
    (?:\s*(?:±|\+/-|\+-)\s?(?P<spread>{_DIGITS})
      |(?P<span>\s*(?P<step>[KMGT]i|[KMBGT])?\s?(?:-|–|—|\sto\s)\s?(?P<upper>{_DIGITS})))?
    \s*(?P<rest>[^0-9]*?)\s*$""",
    re.VERBOSE | re.IGNORECASE,
)
_SUFFIX = re.compile(
    r"^(?P<multiplier>(?:m|b|tr)illions?|thousands?|(?:mio|mrd|mn|bn)\b\.?|[KMGT]i|[KMBGT])?\s*(?P<unit>.*)$", re.IGNORECASE
)

# The letter m after a number, not as a part of `mib`, `ms`, `million`, `mac` or `madd`.
_LOWERCASE_M = re.compile(r"[0-9]\s*m(?!i|s\b|ac|add|ult)")

# Characters. No figure in a document is longer; a longer text is no figure, and matching it only costs time.
_LONGEST = 60


class Quantity(Record, frozen=True, kw_only=True):
    """A figure as written, and the numbers that it can mean.

    `value` is its nominal value; any number in [`low`, `high`) rounds to it (`high` itself too if `closed`). `relation` is `<`, `<=`,
    `>`, `>=` or empty; `unit` is `params`, `flops`, `macs`, `bytes`, `%`, `x`, `ms`, `us`, `s` or empty. `scale` is the factor of its
    K, M or G; `is_range` says that it has two ends, with `value` in the middle; `is_signed` that it was written with a sign.
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
        """Whether it means one number only."""
        return self.low == self.high

    def contains(self, number: float) -> bool:
        """Whether `number` rounds to this figure, or lies in its range."""
        return self.low <= number < self.high or (self.closed and number == self.high)


def parse_quantity(text: str, tolerance: float | None = None) -> Quantity:
    """A figure such as `<3M`, `2.6 GMACs`, `~21K`, `884,736`, `63 %`, `42x` or `2-3M`.

    `tolerance` is the share by which "about" widens it, a tenth if None. Raises ValueError for anything else; its text names what is
    expected.
    """
    found = _NUMBER.match(text) if len(text) <= _LONGEST else None
    if found is None:
        raise ValueError(f"{_shorten(text)!r} is not a number; write for example 3M, 25K, 2.6 GMACs, 884,736 or 1.5%")
    multiplier, unit = _split_suffix(found["rest"], text)
    share = (APPROXIMATE_SHARE if tolerance is None else Decimal(str(tolerance))) if found["about"] else None
    if found["span"]:
        value, low, high = _read_range(found, multiplier, share, text)
        closed = True
    elif found["spread"]:
        value, margin = _read_digits(found["digits"]) * multiplier, _read_digits(found["spread"]) * multiplier
        low, high, closed = value - margin, value + margin, True
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


def parse_limit(text: str) -> Quantity:
    """A figure of a config or of a limit in Python: one number, and no `0.18m`, which could mean a thousandth or a million.

    Raises ValueError, as `parse_quantity` does.
    """
    figure = parse_quantity(text)
    if figure.is_range:
        raise ValueError(f"{_shorten(text)!r} is a range; write one number, such as 3M")
    if _LOWERCASE_M.search(text):
        raise ValueError(f"{_shorten(text)!r} is not clear: m is a thousandth; write M for a million")
    return figure


def _read_digits(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("_", ""))


def _read_range(found: re.Match[str], multiplier: Decimal, share: Decimal | None, text: str) -> tuple[Decimal, Decimal, Decimal]:
    """The middle and the ends of `2-3M`; the first end takes the multiplier of the last one unless it has its own."""
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
    return _MULTIPLIERS[(parts["multiplier"] or "").upper().rstrip(".")], _UNITS[unit]


def _interval(
    value: Decimal, digits: Decimal, multiplier: Decimal, share: Decimal | None, *, whole_is_exact: bool
) -> tuple[Decimal, Decimal, bool]:
    if share is not None:
        margin = abs(value) * share
        return value - margin, value + margin, True
    exponent = digits.as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) else 0
    if multiplier == 1 and decimals == 0 and whole_is_exact:  # a count is exact; 63 % and 42x are rounded
        return value, value, True
    half = multiplier * Decimal(1).scaleb(-decimals) / 2
    return value - half, value + half, False


def _as_number(value: Decimal) -> float:
    return int(value) if value == value.to_integral_value() else float(value)


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
