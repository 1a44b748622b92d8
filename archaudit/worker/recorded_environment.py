"""Records which environment variables the code reads, through whichever of Python's views of the environment."""

from __future__ import annotations

import importlib
import os
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any

_system: Any = importlib.import_module(os.name)  # `posix`
# Set for workers by the parent; their values there are part of what each profile depends on.
_SET_FOR_WORKERS = ("PYTHONPATH", "PYTHONHASHSEED", "TORCHINDUCTOR_CACHE_DIR")


class _RecordedVariables(dict[bytes, bytes]):
    """The dict behind `os.environ`, `os.environb` and `posix.environ`. Each reading is recorded with the value."""

    def __init__(self, values: dict[bytes, bytes], read: dict[str, str | None]) -> None:
        super().__init__(values)
        self._read = read

    def _record(self, name: Any) -> None:
        if isinstance(name, bytes):
            text, value = os.fsdecode(name), dict.get(self, name)
            if text not in _SET_FOR_WORKERS:
                self._read.setdefault(text, None if value is None else os.fsdecode(value))

    def _record_all(self) -> None:
        for name in dict.keys(self):
            self._record(name)

    def __getitem__(self, name: bytes) -> bytes:
        self._record(name)
        return super().__getitem__(name)

    def get(self, name: bytes, default: Any = None) -> Any:
        """The value, recorded."""
        self._record(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self._record(name)
        return super().__contains__(name)

    def __iter__(self) -> Iterator[bytes]:
        self._record_all()
        return super().__iter__()

    def __len__(self) -> int:
        self._record_all()
        return super().__len__()

    def keys(self) -> KeysView[bytes]:  # type: ignore[override]
        """All names, recorded."""
        self._record_all()
        return super().keys()

    def values(self) -> ValuesView[bytes]:  # type: ignore[override]
        """All values, recorded."""
        self._record_all()
        return super().values()

    def items(self) -> ItemsView[bytes, bytes]:  # type: ignore[override]
        """All variables, recorded."""
        self._record_all()
        return super().items()

    def copy(self) -> dict[bytes, bytes]:
        """A plain copy; everything in it is recorded."""
        self._record_all()
        return dict(super().items())


def record_environment() -> dict[str, str | None]:
    """A dict that will contain each environment variable that the code reads from now on, with its value; None for one that is not set."""
    read: dict[str, str | None] = {}
    environ: Any = os.environ
    recorded = _RecordedVariables(environ._data, read)
    environ._data = recorded
    bytes_environ: Any = os.environb
    bytes_environ._data = recorded
    _system.environ = recorded
    return read
