"""How weights of before become weights of after, and whether two models compute the same with them."""

from __future__ import annotations

from typing import Literal

import msgspec

from archaudit.schema.record import FORMAT_VERSION, Record, Shape


class JoinedRows(Record, frozen=True, kw_only=True, tag="rows"):
    """A tensor made of rows: the `tensors` of before, concatenated along the first dimension, and of the result rows `start` to `stop`.

    With `groups` > 1 the rows are interleaved: each of that many equal parts (attention heads, say) holds a share of the rows of the first
    tensor, then of the second; `start` and `stop` count within one part. `transposed_parts` swaps rows and columns of each tensor before it
    is joined or divided, `transposed` those of the result (`turned_parts` and `turned` in JSON).
    """

    tensors: tuple[str, ...]
    start: int = 0
    stop: int | None = None
    groups: int = 1
    transposed: bool = msgspec.field(default=False, name="turned")
    transposed_parts: bool = msgspec.field(default=False, name="turned_parts")

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors that it is made of."""
        return self.tensors

    @property
    def is_plain(self) -> bool:
        """Whether it is one tensor with its elements in their order."""
        return len(self.tensors) == 1 and self.stop is None and not (self.transposed or self.transposed_parts)


class PermutedAxes(Record, frozen=True, kw_only=True, tag="axes"):
    """A `tensor` in another order of its elements: viewed in these `sizes`, then permuted to these `axes`, then reshaped.

    A 3x3 convolution on the four pixels of each 2x2 square has the weights of a 6x6 convolution in such an order.
    """

    tensor: str
    sizes: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The tensor that it is made of."""
        return (self.tensor,)


class FoldedNorm(Record, frozen=True, kw_only=True, tag="folded"):
    """A layer's weight (or its bias, where `weight` is None) with the batch norm `norm`, which followed the layer, folded into it.

    `bias` is the layer's own bias, None where it had none; `outputs` is the dimension of the weight that counts its outputs.
    """

    norm: str
    eps: float
    weight: str | None = None
    bias: str | None = None
    outputs: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors that it is made of; the norm may lack some of its own."""
        own = [name for name in (self.weight, self.bias) if name is not None]
        return *own, *(f"{self.norm}.{name}" for name in ("weight", "bias", "running_mean", "running_var"))


class FoldedAdapter(Record, frozen=True, kw_only=True, tag="adapter"):
    """A layer's `weight` with a low-rank adapter merged in: `weight + scale * up @ down`.

    `scale` is None where an attribute of the model has it. `transposed_factors`: the adapter stores `down` as (inputs, rank) and `up` as
    (rank, outputs). `transposed`: the layer stores its weight as (inputs, outputs). `transposed_result`: only the result does, or only the
    layer.
    """

    weight: str
    down: str
    up: str
    scale: float | None = None
    transposed_factors: bool = False
    transposed: bool = False
    transposed_result: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors that it is made of."""
        return self.weight, self.down, self.up


WeightSource = JoinedRows | PermutedAxes | FoldedNorm | FoldedAdapter


# --- the results: outputs compared, and a checkpoint's keys mapped ---


class Deviation(Record, frozen=True, kw_only=True):
    """The largest difference between the outputs of two matched modules; None where their shapes differ, or a value is not finite."""

    before_path: str
    after_path: str
    max_difference: float | None


class Computation(Record, frozen=True, kw_only=True):
    """An operator that a module ran: its name with its arguments that are no tensors, `gelu(approximate='tanh')`."""

    operator: str
    path: str


class Equivalence(Record, frozen=True, kw_only=True):
    """Whether two models compute the same outputs with the same weights on random inputs.

    `not comparable` means that they could not be run with the same weights, or that their outputs prove nothing, for the `reason` given.
    `max_difference` is the largest difference between two values of the outputs, `tolerance` the largest allowed one, `dtype` the type of
    the computation; `bitwise` says whether all values were equal bit for bit. `first_difference` is the first module in the order of
    execution whose output differs; `first_before` and `first_after` are the first operators of each side whose values the other side does
    not compute.
    """

    outcome: Literal["equivalent", "different", "not comparable"]
    reason: str
    max_difference: float | None = None
    tolerance: float | None = None
    bitwise: bool | None = None
    dtype: str | None = None
    first_difference: Deviation | None = None
    first_before: Computation | None = None
    first_after: Computation | None = None


class ReshapedKey(Record, frozen=True, kw_only=True):
    """A key of a checkpoint whose tensor has another shape after."""

    before: str
    after: str
    before_shape: Shape
    after_shape: Shape


class CheckpointMap(Record, frozen=True, kw_only=True):
    """Which keys of a state_dict of before load into after.

    `same` keys load unchanged, `renamed` ones under another name (before to after), `reshaped` ones have other shapes. `missing` are keys
    of after without a source, `unused` keys of before without a target. `tied` are keys of after that name a tensor which another key fills
    (after to before): they take the same values. `conflicts` are groups of keys of before, separate tensors there, that go into one tensor.
    `built` are keys of after that are computed from keys of before, and how: concatenated, split, transposed, or with a norm or an adapter
    folded in; where the order of several tensors is unknown, it is the likeliest one.

    `proven` are the keys of after whose entries are part of a run of both models with exactly this map and equal outputs. `plausible` are
    the others that load, each with the reason. Both are empty where no such run was tried: then no entry is proven.
    """

    format_version: int = FORMAT_VERSION
    same: tuple[str, ...] = ()
    renamed: dict[str, str] = {}
    tied: dict[str, str] = {}
    reshaped: tuple[ReshapedKey, ...] = ()
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    conflicts: tuple[tuple[str, ...], ...] = ()
    built: dict[str, WeightSource] = {}
    proven: tuple[str, ...] = ()
    plausible: dict[str, str] = {}
