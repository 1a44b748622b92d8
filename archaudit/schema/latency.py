"""Measured time: raw samples in seconds. Medians, intervals and labels are computed from them where they are shown or judged."""

from __future__ import annotations

from typing import Literal

from archaudit.schema.record import FORMAT_VERSION, Record

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "tf32", "float16", "bfloat16"]


class TimingSettings(Record, frozen=True, kw_only=True):
    """How a model is run to be timed: two times can be compared only if these settings are equal.

    `dtype` is `float32` (with TF32 off), `tf32`, or an autocast to `float16` or `bfloat16`. `batch` replaces the first dimension of every
    input (None: the model's own inputs). `compiled` times the whole model under `torch.compile` too. `threads` is the number of CPU threads
    (None if not known yet, and on CUDA unless set). The device `auto` is CUDA if there is one, else the CPU.
    """

    device: Device = "cpu"
    dtype: Precision = "float32"
    batch: int | None = None
    channels_last: bool = False
    compiled: bool = False
    threads: int | None = None


class Machine(Record, frozen=True, kw_only=True):
    """Where it was timed: the device's name, its driver (None on a CPU), and the versions that determine its kernels."""

    device: str
    driver: str | None = None
    torch: str = ""
    cuda: str | None = None


class DeviceState(Record, frozen=True, kw_only=True):
    """The device's state at one moment; None and empty if it is not available (a CPU, or nvidia-ml-py is not installed)."""

    clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    temperature_c: int | None = None
    throttled: tuple[str, ...] = ()
    other_processes: int | None = None


class MeasuredCeilings(Record, frozen=True, kw_only=True):
    """The device's best speed in the same run, as raw samples: copies of `copied_bytes` bytes (read and written), matrix products of
    `product_flops` FLOPs, and launches of one small operator.
    """

    copied_bytes: int
    copies_s: tuple[float, ...]
    product_flops: int
    products_s: tuple[float, ...]
    launches_s: tuple[float, ...]


class Pairing(Record, frozen=True, kw_only=True):
    """How two models were timed alternately, in one run on one device; stored with the times of the model after.

    `order` has the blocks of each round (`before`, `after`, and `again`: the model before once more, as an A/A comparison). `passes` is the
    number of passes in a block, `rounds` the number of rounds of each measurement (there is a second one only if the first did not decide).
    A side has 2 x `passes` samples for each round, in order. `seed` draws the order and the bootstrap's resamples.
    """

    before: str
    seed: int
    passes: int
    rounds: tuple[int, ...]
    order: tuple[tuple[str, ...], ...]
    again_s: tuple[float, ...]


class Latency(Record, frozen=True, kw_only=True):
    """Measured forward time on a named device, as raw samples.

    `samples_s` are end-to-end times of one eager forward pass without instrumentation, `replays_s` of a replay of its CUDA graph,
    `compiled_s` of the compiled model. Separate, instrumented passes give one value each: `own_s` maps a path to the time of the operators
    that the module runs itself, `modules_s` to the time of the module with everything below it. `launches` counts the kernels that a module
    launches itself in one pass (on the CPU: its calls). `attribution` says how time was assigned to modules. `recorded` names the file that
    this was read from.
    """

    device: str
    method: str
    threads: int | None = None
    warmup: int = 0
    samples_s: tuple[float, ...] = ()
    modules_s: dict[str, tuple[float, ...]] = {}
    own_s: dict[str, tuple[float, ...]] = {}
    launches: dict[str, int] = {}
    replays_s: tuple[float, ...] = ()
    compiled_s: tuple[float, ...] = ()
    attribution: str = ""
    settings: TimingSettings | None = None
    machine: Machine | None = None
    states: tuple[DeviceState, ...] = ()
    ceilings: MeasuredCeilings | None = None
    pairing: Pairing | None = None
    notes: tuple[str, ...] = ()
    recorded: str | None = None


class LatencyBudget(Record, frozen=True, kw_only=True):
    """[latency] of a config: after divided by before is at most `max_ratio`; changes of up to `min_change_s` seconds are allowed."""

    id: str = "latency"
    max_ratio: float = 1.05
    expected: str = "1.05x"
    min_change_s: float | None = None
    device: Device = "auto"
    dtype: Precision = "float32"
    before: str = ""
    after: str = ""


class RecordedLatency(Record, frozen=True, kw_only=True):
    """The recorded times of one model, or of a pair; the fingerprints identify their architectures and inputs."""

    name_before: str
    fingerprint_before: str
    before: Latency
    name_after: str | None = None
    fingerprint_after: str | None = None
    after: Latency | None = None


class LatencyFile(Record, frozen=True, kw_only=True):
    """`baselines/latency/DEVICE.json`: all recordings of one kind of device."""

    format_version: int = FORMAT_VERSION
    entries: tuple[RecordedLatency, ...] = ()
