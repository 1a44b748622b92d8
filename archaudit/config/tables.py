"""A TOML table read with types: every fault is noted with its key, and reading goes on."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from archaudit.metrics import quantities
from archaudit.metrics.catalog import METRICS, Metric
from archaudit.metrics.quantities import Quantity

_BARE_KEY = re.compile(r"[\w-]+")
_LONGEST_QUOTE = 60  # of a user's text in a message, which is one line
_LONGEST_LIST = 12  # of known names in a message
_TOO_LARGE = 10**30  # beyond any cost; Python refuses to write out a number of some thousand digits


class Table:
    """A table being read. A faulty value reads as a missing one, so that one fault is told once; unknown keys are faults too."""

    def __init__(self, values: dict[str, Any], key: str, faults: list[str], known: Iterable[str]) -> None:
        self.values = values
        self.key = key
        self.faults = faults
        names = tuple(known)
        for name in values:
            if name not in names:
                self.fault(name, f"is not a known key{suggest(name, names)}")

    def fault(self, name: str, text: str) -> None:
        """Notes what is wrong with the value called `name`."""
        self.faults.append(f"{join_key(self.key, name)}: {text}")

    def read_text(self, name: str, *, required: bool = False, choices: Iterable[str] | None = None) -> str:
        """Text, one of `choices` where there are any; empty if missing."""
        value = self.values.get(name)
        if value is None:
            if required:
                self.fault(name, "is missing")
            return ""
        if not isinstance(value, str) or not value.strip():
            self.fault(name, f"expected text, not {describe(value)}")
            return ""
        if choices is not None and value not in (known := tuple(choices)):
            self.fault(name, f"{quote(value)} is not known{suggest(value, known)}")
            return ""
        return value

    def read_texts(self, name: str, *, may_be_blank: bool = False, may_be_empty: bool = False) -> tuple[str, ...]:
        """Text or a list of texts; empty if missing. An empty list is a fault where it could be taken for "all"."""
        value = self.values.get(name, [])
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) and (may_be_blank or text.strip()) for text in texts):
            self.fault(name, f"expected text or a list of texts, not {describe(value)}")
            return ()
        if name in self.values and not texts and not may_be_empty:
            self.fault(name, "is an empty list; leave it out instead")
        return tuple(texts)

    def read_scope(self, name: str, metric: Metric | None) -> tuple[str, ...]:
        """Patterns over module paths; the whole model if missing."""
        scope = self.read_texts(name, may_be_blank=True) or ("",)
        if any(scope) and metric is not None and metric.of_profile is not None:
            self.fault(name, f"{metric.name} is known for the whole model only; leave the scope out")
        return scope

    def read_metric(self) -> Metric | None:
        """The metric that the key `metric` names."""
        name = self.read_text("metric", required=True, choices=METRICS)
        return METRICS[name] if name else None

    def read_figure(self, name: str) -> Quantity | None:
        """A figure as people write it, or a TOML number; None if missing."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int, float)) or (isinstance(value, float) and not math.isfinite(value)):
            self.fault(name, f"expected a number such as 3M, not {describe(value)}")
            return None
        if not isinstance(value, str) and abs(value) >= _TOO_LARGE:
            self.fault(name, "is too large a number")
            return None
        try:
            return quantities.parse(value if isinstance(value, str) else _write_number(value))
        except ValueError as error:
            self.fault(name, str(error))
            return None

    def expect_unit(self, name: str, figure: Quantity, metric: Metric) -> None:
        """Notes a fault if `figure` has a unit that is not the metric's. A bare figure fits every metric."""
        if figure.unit in ("", metric.unit):
            return
        if figure.unit == "%":
            self.fault(name, f"{quote(figure.text)} is a share; % is for max_increase and max_decrease")
            return
        fitting = [other.name for other in METRICS.values() if other.unit == figure.unit]
        hint = f"it fits {' or '.join(fitting)}" if fitting else "it fits no metric"
        self.fault(name, f"{quote(figure.text)} does not fit the metric {metric.name}; {hint}")

    def list_tables(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """The tables of an array such as [[budgets]], each with its key: `budgets[0]`, counted from zero."""
        value = self.values.get(name, [])
        key = join_key(self.key, name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.fault(name, f"expected tables, each under [[{key}]], not {describe(value)}")
            return []
        return [(f"{key}[{position}]", item) for position, item in enumerate(value)]


def join_key(key: str, name: str) -> str:
    """The key of a value in a table, as TOML would write it."""
    shown = name if _BARE_KEY.fullmatch(name) else quote(name)
    return f"{key}.{shown}" if key else shown


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, else all of them."""
    spelled = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name[:_LONGEST_QUOTE].casefold(), spelled, n=1)
    if near:
        return f"; did you mean {spelled[near[0]]!r}?"
    shown = [*spelled.values()][:_LONGEST_LIST]
    more = ", ..." if len(spelled) > len(shown) else ""
    return f"; known: {', '.join(shown)}{more}" if shown else "; none is defined"


def quote(text: str) -> str:
    """A user's text for a message: in quotes, on one line, not too long."""
    return repr(text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…")


def describe(value: object) -> str:
    """A TOML value for a message."""
    if isinstance(value, str):
        return quote(value) if value.strip() else "empty text"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return "a number" if isinstance(value, int) or math.isfinite(value) else str(value)
    return "a list" if isinstance(value, list) else "a table" if isinstance(value, dict) else "a date or time"


def _write_number(value: float) -> str:
    """A TOML number in digits alone: `3e6` is `3000000`."""
    whole = int(value)
    return str(whole) if whole == value else format(Decimal(repr(value)), "f")
