"""Where a tensor of after takes its values from, when both models are run with the same weights."""

from __future__ import annotations

from archaudit.schema.record import Record


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
