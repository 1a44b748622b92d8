"""Settings of the process and of torch that a measurement changes and restores, and the base class of the dispatch modes."""

from __future__ import annotations

import gc
import platform
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import metadata

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import archaudit
from archaudit.schema import Environment


@contextmanager
def unchanged_globals() -> Iterator[None]:
    """Restores the random number generators, the default dtype and the determinism setting on exit."""
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
        if _read_determinism() != determinism:  # the setter imports torch._inductor, which takes seconds
            torch.use_deterministic_algorithms(determinism[0], warn_only=determinism[1])


def seed_random(seed: int) -> None:
    """Seeds the random number generators of Python, numpy (if it is imported) and torch's CPU."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    torch.default_generator.manual_seed(seed)


def read_random_state() -> tuple[object, ...]:
    """The states of the generators that `seed_random` seeds; two of them are equal if no number was drawn between them."""
    drawn = sys.modules["numpy"].random.get_state()[1:3] if "numpy" in sys.modules else ()
    return (
        random.getstate(),
        *(str(part.tolist() if hasattr(part, "tolist") else part) for part in drawn),
        hash(torch.get_rng_state().numpy().tobytes()),
    )


def _read_determinism() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


@contextmanager
def paused_gc() -> Iterator[None]:
    """Disables Python's cyclic garbage collector while open.

    A measurement creates hundreds of thousands of objects and keeps nearly all of them, and torch alone holds half a million that each
    full collection visits: that is a quarter of the time of a large model. The collector would also make the peak of live activations
    depend on unrelated allocations, because it decides when a tensor in a reference cycle is freed.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def without_fusion() -> Iterator[None]:
    """Disables torch's fused inference paths (a whole encoder layer as one operator) and compilation, which hide operators.

    If torch._dynamo is not imported, nothing can be compiled; importing it here to disable it would be slow.
    """
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


class DispatchMode(TorchDispatchMode):
    """A dispatch mode that torch does not wrap for torch._dynamo: importing torch._dynamo takes most of a second."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


# --- the versions and the machine of a profile ---


_PACKAGES = ("torchvision", "torchinfo", "fvcore", "timm", "transformers")


def read_environment() -> Environment:
    """The platform and the versions of archaudit, Python, torch and the packages that are already imported."""
    packages = {name: metadata.version(name) for name in _PACKAGES if name in sys.modules}
    return Environment(
        archaudit=archaudit.__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        platform=f"{platform.system()} {platform.machine()}",
        packages=packages,
    )


def limit_threads(count: int) -> None:
    """Lets torch use `count` threads. Two workers that each use every CPU slow each other down tenfold."""
    torch.set_num_threads(count)
