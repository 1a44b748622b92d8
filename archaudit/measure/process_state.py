"""Settings of the process and of torch that a measurement changes and restores, and the base class of the dispatch modes."""

from __future__ import annotations

import functools
import gc
import platform
import random
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import archaudit
from archaudit.errors import MeasureError
from archaudit.schema import Environment
from archaudit.versions import find_version


@contextmanager
def unchanged_globals() -> Iterator[None]:
    """Restores the random number generators, the default dtype and the determinism setting on exit."""
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    _draws.start()
    numpy_random = sys.modules["numpy"].random if "numpy" in sys.modules else None
    numpy_state = numpy_random.get_state() if numpy_random is not None else None
    dtype = torch.get_default_dtype()
    determinism = _read_determinism()
    try:
        yield
    finally:
        _draws.check()
        random.setstate(python_state)
        torch.set_rng_state(torch_state)
        if numpy_random is not None and numpy_state is not None:
            numpy_random.set_state(numpy_state)
        torch.set_default_dtype(dtype)
        if _read_determinism() != determinism:  # the setter imports torch._inductor, which takes seconds
            torch.use_deterministic_algorithms(determinism[0], warn_only=determinism[1])


def seed_random(seed: int) -> None:
    """Seeds the random number generators of Python, numpy (if it is imported) and torch's CPU."""
    _draws.check()
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    torch.default_generator.manual_seed(seed)
    _draws.start()


def read_random_state() -> tuple[object, ...]:
    """The states of the generators that `seed_random` seeds; two of them are equal if no number was drawn between them."""
    drawn = sys.modules["numpy"].random.get_state()[1:3] if "numpy" in sys.modules else ()
    return (
        random.getstate(),
        *(str(part.tolist() if hasattr(part, "tolist") else part) for part in drawn),
        hash(torch.get_rng_state().numpy().tobytes()),
    )


class _Draws:
    """Whether a measurement has drawn random numbers from the global generators since it seeded them, or since it began."""

    def __init__(self) -> None:
        self.found = False
        self._expected: tuple[Any, ...] | None = None

    def start(self) -> None:
        self._expected = read_shared_random_state()

    def check(self) -> None:
        if self._expected is not None and read_shared_random_state() != self._expected:
            self.found = True


_draws = _Draws()


def has_drawn() -> bool:
    """Whether a measurement in this process has drawn random numbers from the global generator of Python or numpy."""
    return _draws.found


def read_shared_random_state() -> tuple[Any, ...]:
    """The states of the global generators of Python and numpy, whose seeds differ between processes; torch's is always the same."""
    numpy = sys.modules.get("numpy")
    legacy = numpy.random.get_state(legacy=False)["state"] if numpy is not None else {}
    return (random.getstate(), legacy.get("pos"), bytes(legacy.get("key", b"")))


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


def set_training(model: nn.Module, training: bool) -> None:
    """Sets the mode of the model as its own `train` does. A program of torch.export refuses that; only its flags are set then."""
    try:
        model.train(training)
    except NotImplementedError:
        for module in model.modules():
            module.training = training


# An entry of a cache is a tensor, or has it this many containers below.
_CACHE_DEPTH = 4


def forget_cached_tensors(packages: Collection[str] | None = None) -> None:
    """Empties each `functools.lru_cache` that holds tensors without values, in the imported modules of `packages`, or in all.

    A library that caches a table of constants would use the table of a run without values in a later run for real.
    """
    for name, module in list(sys.modules.items()):
        if packages is None or name.partition(".")[0] in packages:
            for cache in _list_caches(name, module):
                if cache.cache_info().currsize and _holds_tensor_without_values(cache):
                    cache.cache_clear()


def _list_caches(name: str, module: object) -> Iterator[Any]:
    """The caches of a module: its functions, and the methods of its classes."""
    for value in list(getattr(module, "__dict__", {}).values()):
        if type(value) is functools._lru_cache_wrapper:
            yield value
        elif type(value) is type and value.__module__ == name:
            methods = (getattr(method, "__func__", method) for method in vars(value).values())
            yield from (method for method in methods if type(method) is functools._lru_cache_wrapper)


def _holds_tensor_without_values(cache: object) -> bool:
    found = gc.get_referents(cache)
    for _ in range(_CACHE_DEPTH):
        if any(isinstance(each, torch.Tensor) and (each.is_meta or type(each).__name__ == "FakeTensor") for each in found):
            return True
        found = gc.get_referents(*(each for each in found if type(each).__name__ in ("dict", "tuple", "list", "_lru_list_elem")))
    return False


# They say how large a tensor is. A subclass can have its own; those of torch.Tensor must be torch's.
_COUNTING_METHODS = ("numel", "nelement", "element_size", "size", "shape", "dtype", "stride", "dim", "ndim", "untyped_storage", "is_meta")


def check_counting_methods() -> None:
    """Raises MeasureError if the program or the model has replaced a method of torch.Tensor that says how large a tensor is."""
    own = vars(torch.Tensor)  # the C++ base class defines most of them
    replaced = [name for name in _COUNTING_METHODS if name in own and not _is_torchs(own[name])]
    if replaced:
        raise MeasureError(
            f"torch.Tensor.{replaced[0]} was replaced: archaudit counts with it", "Restore it, or give a subclass of torch.Tensor its own."
        )


def _is_torchs(method: object) -> bool:
    return str(getattr(getattr(method, "fget", method), "__module__", None)).partition(".")[0] == "torch"


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
    packages = {name: version for name in _PACKAGES if name in sys.modules and (version := find_version(name)) is not None}
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
