"""What every record is."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec

FORMAT_VERSION = 1

Shape = tuple[int, ...]
Outcome = Literal["passed", "failed", "inconclusive"]
OperatorStatus = Literal["counted", "zero", "unknown"]
AnyRecord = TypeVar("AnyRecord", bound="Record")
Setting = None | bool | int | float | str | list[Any] | dict[str, Any]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable record with JSON both ways."""
