"""Fingerprints: equal subtrees get equal numbers, so that comparing two of any size is comparing two ints.

A fingerprint is made of a module's own (type, settings, names, shapes and dtypes of its tensors) and its children's fingerprints, Merkle
style. Instead of hashes, numbers are handed out in the order of first sight: no collisions, and one pass over each side.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from archaudit.schema import ModuleRecord


class Fingerprints:
    """Hands out one number for each distinct thing; both sides of a comparison share one of these."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._owns: dict[int, ModuleRecord] = {}

    def number(self, *key: Hashable) -> int:
        """The number of this key: the same whenever the key is equal."""
        return self._numbers.setdefault(key, len(self._numbers))

    def number_own(self, record: ModuleRecord) -> int:
        """The number of what a module is by itself, whatever it is called, costs or contains."""
        number = self.number("own", *describe_own(record))
        self._owns.setdefault(number, record)
        return number

    def example(self, own: int) -> ModuleRecord:
        """A module with this number of its own."""
        return self._owns[own]


def describe_own(record: ModuleRecord) -> tuple[str, bytes, tuple[tuple[str, str, tuple[int, ...], str], ...]]:
    """Type, settings and tensors, hashable and orderable; independent of the order in which settings were noted."""
    settings = msgspec.json.encode(record.settings, order="sorted")
    return record.type, settings, tuple((tensor.kind, tensor.name, tensor.shape, tensor.dtype) for tensor in record.tensors)
