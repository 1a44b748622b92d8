"""Reads a TOML table as it is declared: every fault is noted with its key, and reading continues."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from archaudit.config.declaration import NAME_PATTERN, RELATIVE_LIMITS, Field, Kind, TableType
from archaudit.metrics.catalog import METRICS, Metric
from archaudit.schema import Quantity, parse_limit, parse_quantity

_BARE_KEY = re.compile(r"[\w-]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LONGEST_QUOTE = 60  # of a user's text in a message, which is one line
_LONGEST_LIST = 12  # of known names in a message
_TOO_LARGE = 10**30  # beyond any cost; Python refuses to write out a number of some thousand digits


class Table:
    """A table that is being read. A faulty value is read as a missing one, so that one fault gives one message.

    Unknown and missing keys, and keys that conflict with one another, are noted at once; faulty values when they are read. Each `read_`
    method is for the keys of one kind of field.
    """

    def __init__(self, values: dict[str, Any], key: str, faults: list[str], declared: TableType) -> None:
        self.values = values
        self.key = key
        self.faults = faults
        self.fields = declared.fields
        for name in values:
            if name not in self.fields:
                self.fault(name, f"is not a known key{suggest(name, self.fields)}")
        for name, field in self.fields.items():
            if isinstance(field, Field):
                self._check_presence(name, field)
        if declared.one_of and not any(name in values for name in declared.one_of):
            self.fault(declared.one_of[0], f"is missing; at least one of {', '.join(declared.one_of)} is required")

    def _check_presence(self, name: str, field: Field) -> None:
        """Notes a key that is missing, and one that is given with another that it excludes or without one that it needs."""
        given = name in self.values
        if field.required and not given:
            self.fault(name, "is missing")
        if given and field.conflicts in self.values:
            self.fault(name, f"cannot be given together with `{field.conflicts}`; remove one of them")
        if given and field.needs and field.needs not in self.values:
            self.fault(field.needs, f"is missing; it is required where `{name}` is given")

    def fault(self, name: str, text: str) -> None:
        """Notes what is wrong with the value of the key `name`."""
        self.faults.append(f"{join_key(self.key, name)}: {text}")

    def read_text(self, name: str, *, choices: Iterable[str] | None = None) -> str:
        """A text, the default if it is missing. `choices` are those that other tables define."""
        field = self._find_field(name, "text")
        value = self.values.get(name)
        if value is None:
            return field.default
        if not isinstance(value, str) or not value.strip():
            self.fault(name, f"expected text, not {describe(value)}")
            return field.default
        known = tuple(choices) if choices is not None else field.choices
        if value not in known and (known or choices is not None):
            self.fault(name, f"{quote(value)} is not known{suggest(value, known)}")
            return field.default
        return value

    def read_texts(self, name: str) -> tuple[str, ...]:
        """A text or a list of texts; empty if it is missing."""
        return self._read_texts(name, self.values.get(name, []), self._find_field(name, "texts"))

    def _read_texts(self, name: str, value: object, field: Field) -> tuple[str, ...]:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) and (field.allow_blank or text.strip()) for text in texts):
            self.fault(name, f"expected text or a list of texts, not {describe(value)}")
            return ()
        if name in self.values and not texts and not field.allow_empty:
            self.fault(name, "is an empty list; remove it")
        for text in texts if field.choices else ():
            if text not in field.choices:
                self.fault(name, f"{quote(text)} is not known{suggest(text, field.choices)}")
        return tuple(texts)

    def read_named_texts(self, name: str) -> dict[str, tuple[str, ...]]:
        """A table with a text or a list of texts under each name; empty if it is missing."""
        field = self._find_field(name, "named_texts")
        values, key = self.values.get(name, {}), join_key(self.key, name)
        if not isinstance(values, dict) or (name in self.values and not values):
            self.fault(name, f"expected a table [{key}] with at least one name, not {describe(values)}")
            return {}
        for each in values:
            self._check_name(name, each)
        inner = Table(values, key, self.faults, TableType(form="table", meaning="", fields=dict.fromkeys(values, field)))
        return {each: inner._read_texts(each, value, field) for each, value in values.items()}

    def read_text_table(self, name: str) -> dict[str, str]:
        """A table with one text under each key; empty if it is missing."""
        field = self._find_field(name, "text_table")
        values, key = self.values.get(name, {}), join_key(self.key, name)
        if not isinstance(values, dict) or (name in self.values and not values):
            self.fault(name, f"expected a table [{key}] with at least one key, not {describe(values)}")
            return {}
        text = replace(field, kind="text")
        inner = Table(values, key, self.faults, TableType(form="table", meaning="", fields=dict.fromkeys(values, text)))
        return {each: inner.read_text(each) for each in values}

    def read_scope(self, name: str, metric: Metric | None) -> tuple[str, ...]:
        """Patterns over module paths; the whole model if they are missing."""
        scope = self.read_texts(name) or ("",)
        if any(scope) and metric is not None and metric.of_profile is not None:
            self.fault(name, f"{metric.name} is measured for the whole model only; remove `{name}`")
        return scope

    def read_metric(self) -> Metric | None:
        """The metric that the key `metric` names."""
        name = self.read_text("metric")
        return METRICS[name] if name else None

    def read_flag(self, name: str) -> bool:
        """True or false; the default if it is missing."""
        default = self._find_field(name, "flag").default == "true"
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            self.fault(name, f"expected true or false, not {describe(value)}")
            return default
        return value

    def read_date(self, name: str) -> str | None:
        """A date as ISO text; None if it is missing."""
        self._find_field(name, "date")
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, str) and _DATE.fullmatch(value):
            try:
                return date.fromisoformat(value).isoformat()
            except ValueError:
                self.fault(name, f"{quote(value)} is not a valid date")
                return None
        if not isinstance(value, date) or isinstance(value, datetime):
            self.fault(name, f"expected a date such as 2026-12-31, not {describe(value)}")
            return None
        return value.isoformat()

    def read_number(self, name: str) -> Quantity | None:
        """A number as people write it, or a TOML number; the default (None for none) if it is missing."""
        field = self._find_field(name, "number")
        if name not in self.values:
            return parse_limit(field.default) if field.default else None
        return self.parse_number(name, self.values[name], parse_limit)

    def parse_number(self, name: str, value: object, parse: Callable[[str], Quantity] = parse_quantity) -> Quantity | None:
        """A number as people write it, or a TOML number, that is given for the key `name`; `parse` reads it as text."""
        if isinstance(value, bool) or not isinstance(value, (str, int, float)) or (isinstance(value, float) and not math.isfinite(value)):
            self.fault(name, f"expected a number such as 3M, not {describe(value)}")
            return None
        if not isinstance(value, str) and abs(value) >= _TOO_LARGE:
            self.fault(name, "is too large a number")
            return None
        try:
            return parse(value if isinstance(value, str) else _write_number(value))
        except ValueError as error:
            self.fault(name, str(error))
            return None

    def expect_unit(self, name: str, figure: Quantity, metric: Metric) -> None:
        """Notes a fault if `figure` has a unit that is not the metric's. A figure without a unit fits every metric."""
        if figure.unit in ("", metric.unit):
            return
        if figure.unit == "%":
            self.fault(name, f"{quote(figure.text)} is a percentage; % is for {' and '.join(RELATIVE_LIMITS)}")
            return
        fitting = [other.name for other in METRICS.values() if other.unit == figure.unit]
        hint = f"it fits {' or '.join(fitting)}" if fitting else "it fits no metric"
        self.fault(name, f"{quote(figure.text)} does not fit the metric {metric.name}; {hint}")

    def _find_field(self, name: str, kind: Kind) -> Field:
        field = self.fields[name]
        assert isinstance(field, Field), f"{name} is a table"
        assert field.kind == kind, f"{name} is declared as {field.kind}"
        return field

    def open_table(self, name: str) -> Table | None:
        """The table [name]; None if it is missing or faulty."""
        if name not in self.values:
            return None
        return self._open(join_key(self.key, name), self.values[name], name)

    def open_tables(self, name: str) -> list[Table]:
        """The tables [[name]] in order."""
        return [Table(values, key, self.faults, self._find_table(name)) for key, values in self.list_tables(name)]

    def open_named_tables(self, name: str) -> dict[str, Table | None]:
        """The tables [name.NAME] by their names; None for a faulty one."""
        values, key = self.values.get(name, {}), join_key(self.key, name)
        if not isinstance(values, dict):
            self.fault(name, f"expected tables, each under [{key}.NAME], not {describe(values)}")
            return {}
        for each in values:
            self._check_name(name, each)
        return {each: self._open(join_key(key, each), inner, name) for each, inner in values.items()}

    def list_tables(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """The values of the tables [[name]], each with its key: `budgets[0]`, counted from zero."""
        value, key = self.values.get(name, []), join_key(self.key, name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.fault(name, f"expected tables, each under [[{key}]], not {describe(value)}")
            return []
        return [(f"{key}[{position}]", item) for position, item in enumerate(value)]

    def _open(self, key: str, values: object, name: str) -> Table | None:
        if isinstance(values, dict):
            return Table(values, key, self.faults, self._find_table(name))
        self.faults.append(f"{key}: expected a table [{key}], not {describe(values)}")
        return None

    def _check_name(self, name: str, given: str) -> None:
        if not re.fullmatch(NAME_PATTERN, given):
            self.fault(name, f"{quote(given)} is not a valid name; use letters, digits, _ and -")

    def _find_table(self, name: str) -> TableType:
        declared = self.fields[name]
        assert isinstance(declared, TableType), f"{name} is not a table"
        return declared


def join_key(key: str, name: str) -> str:
    """The key of a value in a table, as TOML would write it."""
    shown = name if _BARE_KEY.fullmatch(name) else quote(name)
    return f"{key}.{shown}" if key else shown


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the most similar known one, else all of them."""
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
    if isinstance(value, (list, dict)):
        noun = "list" if isinstance(value, list) else "table"
        return f"a {noun}" if value else f"an empty {noun}"
    return "a date or time"


def _write_number(value: float) -> str:
    """A TOML number in digits alone: `3e6` is `3000000`."""
    whole = int(value)
    return str(whole) if whole == value else format(Decimal(repr(value)), "f")
