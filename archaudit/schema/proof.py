"""Where a tensor of after takes its values from, when both models are run with the same weights."""

from __future__ import annotations

from typing import Literal

from archaudit.schema.record import FORMAT_VERSION, Record, Shape


class JoinedRows(Record, frozen=True, kw_only=True, tag="rows"):
    """The tensors of before with these names, one after the other along their first dimension; of that the rows from `start` up to `stop`.

    With more than one of `groups`, rows lie so in each of so many equal parts (attention heads, say): those of a joined tensor are the
    first part's of each, then the second's; `start` and `stop` count within a part. `turned`: rows and columns of the matrix change places.
    """

    tensors: tuple[str, ...]
    start: int = 0
    stop: int | None = None
    groups: int = 1
    turned: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors that it is made of."""
        return self.tensors


class FoldedNorm(Record, frozen=True, kw_only=True, tag="folded"):
    """What a layer's weight (or its bias, where `weight` is None) becomes when the batch norm `norm` that followed it is folded into it.

    `bias` is the layer's own, None where it had none; `outputs` the dimension of the weight along which its outputs lie.
    """

    norm: str
    eps: float
    weight: str | None = None
    bias: str | None = None
    outputs: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors that it is made of; those of the norm where it has them."""
        own = [name for name in (self.weight, self.bias) if name is not None]
        return *own, *(f"{self.norm}.{name}" for name in ("weight", "bias", "running_mean", "running_var"))


TensorSource = JoinedRows | FoldedNorm


# --- what two models have in common that can be tried: outputs and checkpoints ---


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
