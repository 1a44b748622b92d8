"""Leaving the process as it was: random number generators and the like are put back whatever happens."""

from __future__ import annotations

import gc
import platform
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

import torch

import archaudit
from archaudit.schema import Environment


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


# --- keeping Python's cyclic garbage collector out of a measurement ---


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


# --- the machine and the versions that a profile is made with ---


_PACKAGES = ("torchvision", "torchinfo", "fvcore", "timm", "transformers")


def read_environment() -> Environment:
    """Versions of what is imported; nothing is imported for it."""
    packages = {name: metadata.version(name) for name in _PACKAGES if name in sys.modules}
    return Environment(
        archaudit=archaudit.__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        platform=f"{platform.system()} {platform.machine()}",
        packages=packages,
    )


def limit_threads(count: int) -> None:
    """Lets torch use `count` threads: two workers with all of the machine's each would slow each other down tenfold."""
    torch.set_num_threads(count)
