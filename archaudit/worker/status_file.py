"""A file in which workers write the module that runs. The parent reads it when a worker dies."""

from __future__ import annotations

import mmap
import os
import tempfile

_SLOT_BYTES = 1024
_SLOTS = 64


class StatusFile:
    """One slot of text for each worker, in an unnamed file that both processes have open."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, _SLOT_BYTES * _SLOTS)

    def write(self, number: int, text: str) -> None:
        """Replaces the text of the slot. It takes about a microsecond, since it is called for each module that runs."""
        data = text.encode(errors="replace")[: _SLOT_BYTES - 2]
        start = (number % _SLOTS) * _SLOT_BYTES
        self._map[start : start + 2 + len(data)] = len(data).to_bytes(2, "big") + data

    def read(self, number: int) -> str:
        """The text of the slot; empty if nothing was written."""
        start = (number % _SLOTS) * _SLOT_BYTES
        size = int.from_bytes(self._map[start : start + 2], "big")
        return self._map[start + 2 : start + 2 + min(size, _SLOT_BYTES - 2)].decode(errors="replace")

    def close(self) -> None:
        """Closes the file in this process."""
        self._map.close()
        os.close(self.descriptor)


def make_status_file() -> StatusFile:
    """An empty status file."""
    with tempfile.TemporaryFile() as file:
        file.truncate(_SLOT_BYTES * _SLOTS)
        return StatusFile(os.dup(file.fileno()))
