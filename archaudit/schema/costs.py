"""Costs that add up, and peaks that do not."""

from __future__ import annotations

from collections.abc import Iterable

from archaudit.schema.record import Record


class Cost(Record, frozen=True, kw_only=True):
    """Additive costs of a module or a model; sums and differences are costs too.

    `params`, `trainable_params` and `buffers` count elements; unique tensors only, each at its first owner. `flops` is twice `macs`,
    the multiply-accumulates of dense contractions in one eval-mode forward pass. `activation_bytes` are the bytes of the tensors
    that operators allocate (views and in-place results allocate nothing); `moved_bytes` the bytes that operators read and write.
    """

    params: int = 0
    trainable_params: int = 0
    buffers: int = 0
    param_bytes: int = 0
    flops: int = 0
    macs: int = 0
    activation_bytes: int = 0
    moved_bytes: int = 0

    def __post_init__(self) -> None:
        if self.flops != 2 * self.macs:
            raise ValueError(f"flops must be twice macs, not {self.flops} and {self.macs}")

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            params=self.params + other.params,
            trainable_params=self.trainable_params + other.trainable_params,
            buffers=self.buffers + other.buffers,
            param_bytes=self.param_bytes + other.param_bytes,
            flops=self.flops + other.flops,
            macs=self.macs + other.macs,
            activation_bytes=self.activation_bytes + other.activation_bytes,
            moved_bytes=self.moved_bytes + other.moved_bytes,
        )

    def __sub__(self, other: Cost) -> Cost:
        return self + (-other)

    def __neg__(self) -> Cost:
        return Cost(
            params=-self.params,
            trainable_params=-self.trainable_params,
            buffers=-self.buffers,
            param_bytes=-self.param_bytes,
            flops=-self.flops,
            macs=-self.macs,
            activation_bytes=-self.activation_bytes,
            moved_bytes=-self.moved_bytes,
        )


def sum_costs(costs: Iterable[Cost]) -> Cost:
    """The sum of any number of costs; zero for none. (One pass over ints: a plain `sum` makes a record for each term.)"""
    fields = Cost.__struct_fields__
    sums = [0] * len(fields)
    for cost in costs:
        for position, field in enumerate(fields):
            sums[position] += getattr(cost, field)
    return Cost(**dict(zip(fields, sums, strict=True)))


class Peaks(Record, frozen=True, kw_only=True):
    """What is not additive and never attributed to a module; None where it was not measured.

    `activation_bytes`: the most bytes of activations alive at once in one forward pass without grad, inputs included.
    `saved_bytes`: bytes kept for the backward pass when the same forward runs with grad.
    """

    activation_bytes: int | None = None
    saved_bytes: int | None = None
