"""Leaving the process as it was: random number generators and the like are put back whatever happens."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def unchanged_globals() -> Iterator[None]:
    """While open, random draws and changes of torch's global settings are temporary."""
    python_state, torch_state = random.getstate(), torch.get_rng_state()
    numpy_random = sys.modules["numpy"].random if "numpy" in sys.modules else None
    numpy_state = numpy_random.get_state() if numpy_random is not None else None
    dtype = torch.get_default_dtype()
    determinism = _read_determinism()
    try:
        yield
    finally:
        random.setstate(python_state)
        torch.set_rng_state(torch_state)
        if numpy_random is not None and numpy_state is not None:
            numpy_random.set_state(numpy_state)
        torch.set_default_dtype(dtype)
        if _read_determinism() != determinism:  # setting it imports torch._inductor, which takes seconds
            torch.use_deterministic_algorithms(determinism[0], warn_only=determinism[1])


def _read_determinism() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
