"""The device, its state and its precision. NVML is used if nvidia-ml-py is installed; nothing depends on it."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

from archaudit.errors import MeasureError
from archaudit.schema import Device, DeviceState, Machine, Precision

# NVML's bits for clocks that are throttled. Idling, clocks set by the user and synchronised boosts do not count. Source: nvml.h.
_THROTTLES = {0x04: "power cap", 0x08: "hardware slowdown", 0x20: "software thermal", 0x40: "hardware thermal", 0x80: "power brake"}
_CPU_FILE = "/proc/cpuinfo"


def resolve_device(device: Device) -> Device:
    """`cpu` or `cuda`. Raises MeasureError if this machine has no such device."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise MeasureError("this machine has no CUDA device to time on", "Use --device cpu (compare: --latency cpu).")
    return device


def choose_threads() -> int:
    """Half of the CPUs that this process may use: one for each core with two hardware threads, and room for other processes.

    If torch used all of them, a thread that waits for its CPU would make every operator wait, one scheduler tick at a time.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cpus // 2)


@contextmanager
def fixed_threads(count: int | None) -> Iterator[None]:
    """While open, torch uses `count` CPU threads (None: the current number)."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count or before)
        yield
    finally:
        torch.set_num_threads(before)


def describe_machine(device: Device) -> Machine:
    """The name of the device, its driver, and the versions of torch and CUDA."""
    version = str(torch.__version__)
    if device == "cpu":
        return Machine(device=f"CPU ({_name_cpu()})", torch=version)
    return Machine(
        device=torch.cuda.get_device_name(), driver=_query_nvml(_read_driver), torch=version, cuda=getattr(torch.version, "cuda", None)
    )


def release_memory(device: Device) -> None:
    """Frees the device memory that torch keeps in its cache, for other processes."""
    if device != "cpu" and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def read_state(device: Device, own_processes: int) -> DeviceState:
    """The current clocks, temperature, throttling and other processes; empty without NVML. `own_processes` are archaudit's own."""
    if device == "cpu":
        return DeviceState()
    return _query_nvml(lambda nvml: _read_state(nvml, own_processes)) or DeviceState()


def _name_cpu() -> str:
    """The name of the processor if the system has it, else its architecture."""
    with suppress(OSError):
        for line in Path(_CPU_FILE).read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return f"{value.strip()}, {platform.machine()}"
    return platform.machine()


def _query_nvml(query: Any) -> Any:
    """The result of `query`, which receives the library; None if NVML is not installed or fails."""
    try:
        import pynvml as nvml
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        try:
            return query(nvml)
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError:  # no driver, no permission, or a container without it
        return None


def _read_driver(nvml: Any) -> str:
    version = nvml.nvmlSystemGetDriverVersion()
    return version.decode() if isinstance(version, bytes) else str(version)


def _read_state(nvml: Any, own_processes: int) -> DeviceState:
    """The state of the device. A figure that the device does not support is None; a MIG slice supports few."""
    handle = _find_handle(nvml)

    def read(function: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, function)(handle, *arguments)
        except (AttributeError, nvml.NVMLError):  # another version of the library, or a device without this figure
            return None

    # only their number: in a container the library returns the process ids of the host
    processes = read("nvmlDeviceGetComputeRunningProcesses")
    throttled = read("nvmlDeviceGetCurrentClocksEventReasons")  # the new name of the throttle reasons
    return DeviceState(
        clock_mhz=read("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
        memory_clock_mhz=read("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
        temperature_c=read("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        throttled=name_throttles((read("nvmlDeviceGetCurrentClocksThrottleReasons") if throttled is None else throttled) or 0),
        other_processes=None if processes is None else max(0, len(processes) - own_processes),
    )


def name_throttles(mask: int) -> tuple[str, ...]:
    """The reasons why the clocks are throttled, from NVML's bits."""
    return tuple(name for bit, name in _THROTTLES.items() if mask & bit)


def _find_handle(nvml: Any) -> Any:
    """The device that torch uses, by its UUID, because CUDA_VISIBLE_DEVICES numbers devices differently from NVML. The UUIDs of devices and
    of MIG slices have different prefixes, which torch leaves out."""
    index = torch.cuda.current_device()
    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    if uuid is None:
        return nvml.nvmlDeviceGetHandleByIndex(index)
    name = str(uuid)
    kinds = [""] if name.startswith(("GPU-", "MIG-")) else ["GPU-", "MIG-"]
    for kind in kinds[:-1]:
        with suppress(nvml.NVMLError):
            return nvml.nvmlDeviceGetHandleByUUID(kind + name)
    return nvml.nvmlDeviceGetHandleByUUID(kinds[-1] + name)


# --- the precision that a model runs in: TF32 on or off, or an autocast; the settings are restored ---


_CASTS = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def check_precision(dtype: Precision, device: Device) -> None:
    """Raises MeasureError for a precision that the device does not have."""
    if dtype == "tf32" and device == "cpu":
        raise MeasureError("the CPU has no TF32, which is a precision of CUDA devices", "Use another --dtype.")


def cast_passes(dtype: Precision, device: Device) -> AbstractContextManager[Any]:
    """The autocast context of one pass. It is entered again for each pass, so that no pass uses the weights that another has cast."""
    cast = _CASTS.get(dtype)
    return torch.autocast(device, dtype=cast) if cast is not None else nullcontext()


def find_dtype(dtype: Precision) -> torch.dtype:
    """The dtype of the operands of a matrix product in this precision."""
    return _CASTS.get(dtype, torch.float32)


@contextmanager
def float32_precision(dtype: Precision, device: Device) -> Iterator[None]:
    """While open, float32 products run in TF32 for `tf32`, and in full float32 for every other precision.

    This sets `allow_tf32`, which every version of torch has and which sets `fp32_precision` too from 2.9 on. If only `fp32_precision` was
    set before, torch does not let `allow_tf32` be read; then this sets `fp32_precision`.
    """
    if device == "cpu":
        yield
        return
    places, attribute = _find_tf32_settings()
    value = dtype == "tf32" if attribute == "allow_tf32" else ("tf32" if dtype == "tf32" else "ieee")
    previous = [_read_setting(place, attribute) for place in places]
    inherited = _read_setting(places[0], "fp32_precision")
    try:
        for place in places:
            _write_setting(place, attribute, value)
        yield
    finally:
        for place, before in zip(places, previous, strict=True):
            _write_setting(place, attribute, before)
        if inherited == "none":  # `allow_tf32` has set it to `ieee`; `none` means that it follows other settings
            _write_setting(places[0], "fp32_precision", inherited)


def _find_tf32_settings() -> tuple[tuple[Any, ...], str]:
    """The objects that have the TF32 setting (for matrix products, convolutions, recurrent layers), and its name."""
    places: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    try:
        for place in places:
            _read_setting(place, "allow_tf32")
    except RuntimeError:
        return (places[0], places[1].conv, places[1].rnn), "fp32_precision"
    return places, "allow_tf32"


def _read_setting(place: Any, attribute: str) -> Any:
    """A setting; None if this torch does not have it. torch 2.9 warns about the old names, which the user did not use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return getattr(place, attribute, None)


def _write_setting(place: Any, attribute: str, value: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        setattr(place, attribute, value)
