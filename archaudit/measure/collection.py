"""Keeping Python's cyclic garbage collector out of a measurement."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """While open, garbage in reference cycles stays where it is.

    Measuring makes objects by the hundred thousand and keeps nearly all of them, while torch alone has half a million that each full
    collection walks over: a quarter of the time of a large model. And when a tensor in a cycle is freed would depend on what else
    the process had allocated, so that the peak of live activations could differ between two runs.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
