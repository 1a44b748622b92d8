"""What every record is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

FORMAT_VERSION = 1

Shape = tuple[int, ...]
Outcome = Literal["passed", "failed", "inconclusive"]
OperatorStatus = Literal["counted", "zero", "unknown"]
AnyRecord = TypeVar("AnyRecord", bound="Record")
Value = TypeVar("Value")
OtherValue = TypeVar("OtherValue")
Setting = None | bool | int | float | str | list[Any] | dict[str, Any]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable record with JSON both ways."""


class SourceLine(Record, frozen=True, kw_only=True):
    """A place in source code: a file, by its path from the top of its repository, and a line number from 1."""

    file: str
    line: int | None = None


class Pair(NamedTuple, Generic[Value]):
    """The same thing on both sides of a comparison, before first."""

    before: Value
    after: Value

    def map(self, function: Callable[[Value], OtherValue]) -> Pair[OtherValue]:
        """The function's result for each side."""
        return Pair(function(self.before), function(self.after))


def escape_surrogates(text: str) -> str:
    """The text with each lone surrogate, which no file can have, as an escape such as `\\udc80`."""
    return text.encode("utf-8", "backslashreplace").decode()


def escape_texts(value: Any) -> Any:
    """Lists and dicts with lone surrogates escaped in every text and key."""
    if isinstance(value, dict):
        return {escape_texts(name): escape_texts(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [escape_texts(each) for each in value]
    return escape_surrogates(value) if isinstance(value, str) else value


# More equal texts in a row are not listed one by one.
_MOST_LISTED = 3


def join_repeated(texts: Iterable[str]) -> str:
    """The texts with commas; many equal ones in a row (the tensors of a cache) as one: `1x1, 64 times 1x8x4096x128`."""
    counts = [(text, len(list(same))) for text, same in groupby(texts)]
    return ", ".join(f"{count} times {text}" if count > _MOST_LISTED else ", ".join([text] * count) for text, count in counts)
