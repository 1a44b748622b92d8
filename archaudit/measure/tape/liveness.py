"""The peak of live activation bytes: which memory is held at once while the model runs.

Each storage that an operator allocates is watched by a weak reference: it is live until the last tensor on it is dropped, as in a real
eager run (meta tensors are dropped at the same points as real ones). Parameters and buffers are not activations.
"""

from __future__ import annotations

import weakref

import torch


class LivenessRecorder:
    """Adds up the bytes of live storages; `peak_bytes` is the most there ever were at once."""

    def __init__(self) -> None:
        self.live_bytes = 0
        self.peak_bytes = 0
        self._watched: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def watch(self, tensor: torch.Tensor) -> int:
        """Counts the storage of `tensor` as live from now on, once; the bytes that this added."""
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):  # sparse and other layouts without one storage
            return 0
        key = int(storage._cdata)
        if key in self._watched:
            return 0
        size = int(storage.nbytes())

        def forget(_reference: object) -> None:
            if self._watched.pop(key, None) is not None:
                self.live_bytes -= size

        self._watched[key] = weakref.ref(storage, forget)
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        return size

    def close(self) -> None:
        """Stops watching; later drops change nothing."""
        self._watched.clear()
