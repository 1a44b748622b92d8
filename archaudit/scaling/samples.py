"""What one run of a model on inputs of some size cost: products of sizes by operator, allocations with their lifetimes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod

# The position of the module, the operator, and how often it ran in that module before.
Key = tuple[int, str, int]
Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. `sizes` are those of the input's variables. `products` has the multiply-accumulates of each counted operator as a sum of
    products of sizes, `allocations` the bytes of each storage as a product of sizes; `events` say in which order storages are allocated
    (true) and freed (false). `cache` are the bytes of the tensors of the returned cache, as products of sizes. `unknown` are operators
    without a formula, with their modules.
    """

    sizes: dict[str, int]
    products: dict[Key, tuple[Sizes, ...]]
    allocations: dict[Key, Sizes]
    events: list[tuple[bool, Key]] = field(default_factory=list)
    cache: tuple[Sizes, ...] = ()
    unknown: tuple[tuple[int, str], ...] = ()

    def count_macs(self) -> dict[int, int]:
        """The multiply-accumulates of each module's own operators, by its position."""
        return _sum_by_module((key[0], sum(map(prod, terms))) for key, terms in self.products.items())

    def count_activation_bytes(self) -> dict[int, int]:
        """The bytes that each module's own operators allocate, by its position. Inputs are not allocated."""
        return _sum_by_module((key[0], prod(sizes)) for key, sizes in self.allocations.items() if key[1] != INPUT)

    def find_peak(self) -> int:
        """The most bytes that are live at the same time."""
        live = peak = 0
        for allocated, key in self.events:
            live += prod(self.allocations[key]) if allocated else -prod(self.allocations[key])
            peak = max(peak, live)
        return peak


# The operator of a key that is an input of the model.
INPUT = "input"


def _sum_by_module(costs: Iterable[tuple[int, int]]) -> dict[int, int]:
    sums: defaultdict[int, int] = defaultdict(int)
    for position, cost in costs:
        sums[position] += cost
    return dict(sums)
