"""A file that workers write on and the parent reads when one of them is gone: which module was running."""

from __future__ import annotations

import mmap
import os
import tempfile

_SLOT_BYTES = 1024
_SLOTS = 64


class Board:
    """One slot of text a worker, in a file without a name that both processes have open."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, _SLOT_BYTES * _SLOTS)

    def write(self, number: int, text: str) -> None:
        """Replaces what the slot says. Called for each module that runs: it costs a microsecond."""
        data = text.encode(errors="replace")[: _SLOT_BYTES - 2]
        start = (number % _SLOTS) * _SLOT_BYTES
        self._map[start : start + 2 + len(data)] = len(data).to_bytes(2, "big") + data

    def read(self, number: int) -> str:
        """What the slot says; empty where nothing was written."""
        start = (number % _SLOTS) * _SLOT_BYTES
        size = int.from_bytes(self._map[start : start + 2], "big")
        return self._map[start + 2 : start + 2 + min(size, _SLOT_BYTES - 2)].decode(errors="replace")

    def close(self) -> None:
        """Neither read nor written any more in this process."""
        self._map.close()
        os.close(self.descriptor)


def make_board() -> Board:
    """An empty board."""
    with tempfile.TemporaryFile() as file:
        file.truncate(_SLOT_BYTES * _SLOTS)
        return Board(os.dup(file.fileno()))
