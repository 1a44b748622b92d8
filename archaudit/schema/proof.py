"""What two models have in common that can be tried: outputs and checkpoints."""

from __future__ import annotations

from typing import Literal

from archaudit.schema.record import FORMAT_VERSION, Record, Shape
from archaudit.schema.weights import TensorSource


class Deviation(Record, frozen=True, kw_only=True):
    """How far the outputs of two matched modules lie apart at most; None where they differ in shape, or one is not finite."""

    before_path: str
    after_path: str
    max_difference: float | None


class Equivalence(Record, frozen=True, kw_only=True):
    """Whether two models compute the same with the same weights, tried on random inputs.

    `not comparable` means that it could not be tried, for the `reason` given. `max_difference` is the largest between any two values of the
    outputs, `tolerance` what was allowed, `dtype` what was computed in; `bitwise` says whether all values were equal to the last bit.
    `first_difference` is the first module in the order of execution whose output differs.
    """

    outcome: Literal["equivalent", "different", "not comparable"]
    reason: str
    max_difference: float | None = None
    tolerance: float | None = None
    bitwise: bool | None = None
    dtype: str | None = None
    first_difference: Deviation | None = None


class ReshapedKey(Record, frozen=True, kw_only=True):
    """A key of a checkpoint whose tensor has another shape after."""

    before: str
    after: str
    before_shape: Shape
    after_shape: Shape


class CheckpointMap(Record, frozen=True, kw_only=True):
    """What becomes of each key of a checkpoint of before when it is loaded into after. Only what a state_dict keeps.

    `same` keys load as they are, `renamed` ones under another name (before to after). `reshaped` have other shapes. `missing` are keys of
    after that nothing fills, `unused` keys of before that fill nothing. `tied` are keys of after that are another name of a tensor which
    some key fills (after to before): they take the same values. `conflicts` are groups of keys of before, separate there, that go
    into one tensor. `built` are keys of after that are put together from keys of before, and how: joined, divided, turned, with a norm
    folded in, or under a name that only their size tells; which of several is which stands there as is likeliest.
    """

    format_version: int = FORMAT_VERSION
    same: tuple[str, ...] = ()
    renamed: dict[str, str] = {}
    tied: dict[str, str] = {}
    reshaped: tuple[ReshapedKey, ...] = ()
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    conflicts: tuple[tuple[str, ...], ...] = ()
    built: dict[str, TensorSource] = {}
