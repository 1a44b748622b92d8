"""What was timed on, and in what state it was. NVIDIA's management library is asked where nvidia-ml-py is installed; nothing needs it."""

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

# NVML's bits for clocks that are held down; idling, clocks that somebody set and synchronised boosts are none. Source: nvml.h.
_THROTTLES = {0x04: "power cap", 0x08: "hardware slowdown", 0x20: "software thermal", 0x40: "hardware thermal", 0x80: "power brake"}
_CPU_FILE = "/proc/cpuinfo"


def resolve_device(device: Device) -> Device:
    """`cpu` or `cuda`. Raises MeasureError where there is no such device."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise MeasureError("there is no CUDA device here to time on", "Choose --device cpu (compare: --latency cpu).")
    return device


def choose_threads() -> int:
    """Half of the CPUs that this process may use: one for each core where a core is two CPUs, and room for everything else that runs.

    With all of them, a thread that has to wait for its CPU makes every operator wait for it, a scheduler's tick at a time.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cpus // 2)


@contextmanager
def fixed_threads(count: int | None) -> Iterator[None]:
    """While open, torch uses `count` threads of the CPU (None: as many as before)."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count or before)
        yield
    finally:
        torch.set_num_threads(before)


def describe_machine(device: Device) -> Machine:
    """The device by name, its driver and the versions."""
    version = str(torch.__version__)
    if device == "cpu":
        return Machine(device=f"CPU ({_name_cpu()})", torch=version)
    return Machine(
        device=torch.cuda.get_device_name(), driver=_ask_nvml(_read_driver), torch=version, cuda=getattr(torch.version, "cuda", None)
    )


def release_memory(device: Device) -> None:
    """Gives back what torch keeps of the device's memory for later: another process may need it."""
    if device != "cpu" and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def read_state(device: Device, own_processes: int) -> DeviceState:
    """Clocks, temperature, throttling and company now; empty where nobody can be asked. `own_processes` are ours on the device."""
    if device == "cpu":
        return DeviceState()
    return _ask_nvml(lambda nvml: _read_state(nvml, own_processes)) or DeviceState()


def _name_cpu() -> str:
    """The processor's name where the system tells it, else its architecture."""
    with suppress(OSError):
        for line in Path(_CPU_FILE).read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return f"{value.strip()}, {platform.machine()}"
    return platform.machine()


def _ask_nvml(question: Any) -> Any:
    """The library's answer; None where it is not there or does not answer."""
    try:
        import pynvml as nvml
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        try:
            return question(nvml)
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError:  # no driver, no permission, or a container without it
        return None


def _read_driver(nvml: Any) -> str:
    version = nvml.nvmlSystemGetDriverVersion()
    return version.decode() if isinstance(version, bytes) else str(version)


def _read_state(nvml: Any, own_processes: int) -> DeviceState:
    """What the device answers; a question that it does not know (a slice of a device knows few) stays open."""
    handle = _find_handle(nvml)

    def ask(question: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, question)(handle, *arguments)
        except (AttributeError, nvml.NVMLError):  # another version of the library, or a device that does not tell
            return None

    # by number: inside a container the library tells the process ids of the machine around it
    processes = ask("nvmlDeviceGetComputeRunningProcesses")
    throttled = ask("nvmlDeviceGetCurrentClocksEventReasons")  # what throttle reasons are called now
    return DeviceState(
        clock_mhz=ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
        memory_clock_mhz=ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
        temperature_c=ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        throttled=name_throttles((ask("nvmlDeviceGetCurrentClocksThrottleReasons") if throttled is None else throttled) or 0),
        other_processes=None if processes is None else max(0, len(processes) - own_processes),
    )


def name_throttles(mask: int) -> tuple[str, ...]:
    """What holds the clocks down, by NVML's bits."""
    return tuple(name for bit, name in _THROTTLES.items() if mask & bit)


def _find_handle(nvml: Any) -> Any:
    """The device that torch uses: by its UUID, since CUDA_VISIBLE_DEVICES numbers devices otherwise than NVML. A slice of a device has a
    UUID of its own kind, and torch tells of neither which kind it is."""
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


# --- in which arithmetic a model runs: TF32 on or off, or an autocast. Whatever is set is put back ---


_CASTS = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def check_precision(dtype: Precision, device: Device) -> None:
    """Raises MeasureError for an arithmetic that the device does not have."""
    if dtype == "tf32" and device == "cpu":
        raise MeasureError("TF32 is an arithmetic of CUDA devices: there is none to time on the CPU", "Choose another --dtype.")


def cast_passes(dtype: Precision, device: Device) -> AbstractContextManager[Any]:
    """The context of one pass: an autocast, entered anew for each pass, so that no pass profits from the weights cast in another."""
    cast = _CASTS.get(dtype)
    return torch.autocast(device, dtype=cast) if cast is not None else nullcontext()


def find_dtype(dtype: Precision) -> torch.dtype:
    """The type of tensors that a matrix product of this arithmetic takes."""
    return _CASTS.get(dtype, torch.float32)


@contextmanager
def float32_precision(dtype: Precision, device: Device) -> Iterator[None]:
    """While open, products of float32 run as asked: in TF32 or, for everything else, in full.

    `allow_tf32` is set where it can be read: every torch knows it, and from 2.9 on it sets `fp32_precision` too. Where somebody set only
    the newer one, torch refuses to read the other, and the newer one is set.
    """
    if device == "cpu":
        yield
        return
    places, attribute = _find_switches()
    value = dtype == "tf32" if attribute == "allow_tf32" else ("tf32" if dtype == "tf32" else "ieee")
    previous = [_read(place, attribute) for place in places]
    inherited = _read(places[0], "fp32_precision")
    try:
        for place in places:
            _write(place, attribute, value)
        yield
    finally:
        for place, before in zip(places, previous, strict=True):
            _write(place, attribute, before)
        if inherited == "none":  # which is written as `ieee` by the switch before, and means that it follows others
            _write(places[0], "fp32_precision", inherited)


def _find_switches() -> tuple[tuple[Any, ...], str]:
    """Where TF32 is switched, for matrix products, convolutions and recurrent layers, and the switch's name."""
    places: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    try:
        for place in places:
            _read(place, "allow_tf32")
    except RuntimeError:
        return (places[0], places[1].conv, places[1].rnn), "fp32_precision"
    return places, "allow_tf32"


def _read(place: Any, attribute: str) -> Any:
    """A switch; None where this torch does not have it. torch 2.9 warns of the names before, which are not the user's doing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return getattr(place, attribute, None)


def _write(place: Any, attribute: str, value: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        setattr(place, attribute, value)
