"""Measured time. Raw samples in seconds; medians, intervals, floors and labels are derived from them wherever they are shown or judged."""

from __future__ import annotations

from typing import Literal

from archaudit.schema.record import FORMAT_VERSION, Record

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "tf32", "float16", "bfloat16"]


class TimingSettings(Record, frozen=True, kw_only=True):
    """How a model is run to be timed: two times are comparable only when these are the same.

    `dtype` is `float32` (tensor cores' TF32 off), `tf32`, or an autocast to `float16` or `bfloat16`. `batch` replaces the first dimension
    of every input (None: as the model's inputs are). `compiled` times a `torch.compile`d copy too, as a whole only. `threads` are the
    CPU's (None until known, and on CUDA unless asked for), and the device `auto` stands for CUDA where there is one, else the CPU, until
    that is known.
    """

    device: Device = "cpu"
    dtype: Precision = "float32"
    batch: int | None = None
    channels_last: bool = False
    compiled: bool = False
    threads: int | None = None


class Machine(Record, frozen=True, kw_only=True):
    """What was timed on: the device by name, its driver (None on a CPU), and the versions that choose its kernels."""

    device: str
    driver: str | None = None
    torch: str = ""
    cuda: str | None = None


class DeviceState(Record, frozen=True, kw_only=True):
    """What the device said of itself at one moment; None and empty where it cannot be asked (nvidia-ml-py is not installed, a CPU)."""

    clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    temperature_c: int | None = None
    throttled: tuple[str, ...] = ()
    other_processes: int | None = None


class MeasuredCeilings(Record, frozen=True, kw_only=True):
    """The best that the device did in the same run, as raw samples: copies of `copied_bytes` bytes (read and written), matrix products of
    `product_flops` FLOPs, and launches of one small operator."""

    copied_bytes: int
    copies_s: tuple[float, ...]
    product_flops: int
    products_s: tuple[float, ...]
    launches_s: tuple[float, ...]


class Pairing(Record, frozen=True, kw_only=True):
    """How the model after was timed against the one before, in one run on one device; kept with the times of the model after.

    `order` has the blocks of each round (`before`, `after`, `again`: before once more, the A/A pair), `passes` how many passes a block has,
    `rounds` how many rounds each measurement had (the second one only where the first called for it). Samples of a side
    follow each other round by round, 2 x `passes` a round. `seed` drew the order and draws the resamples.
    """

    before: str
    seed: int
    passes: int
    rounds: tuple[int, ...]
    order: tuple[tuple[str, ...], ...]
    again_s: tuple[float, ...]


class Latency(Record, frozen=True, kw_only=True):
    """Measured forward time on a named device, raw samples kept; everything else is derived from them.

    `samples_s` are uninstrumented end-to-end times of one eager forward pass, `replays_s` of a replay of its CUDA graph, `compiled_s` of
    the compiled model. From separate, instrumented passes, one value for each: `own_s` maps a path to the time of the operators that the
    module runs itself, `modules_s` to that of the module with everything below it. `launches` counts a module's own kernels in one pass
    (on the CPU: its calls). `attribution` says how time came to modules. `recorded` names the file that this was read from.
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
    """What a config allows: after by before at most `max_ratio`, where the change is more than `min_change_s` seconds."""

    id: str = "latency"
    max_ratio: float = 1.05
    expected: str = "1.05x"
    min_change_s: float | None = None
    device: Device = "auto"
    dtype: Precision = "float32"
    before: str = ""
    after: str = ""


class RecordedLatency(Record, frozen=True, kw_only=True):
    """The recorded times of one model, or of one before and one after; `fingerprint`s say of which architectures and inputs."""

    name_before: str
    fingerprint_before: str
    before: Latency
    name_after: str | None = None
    fingerprint_after: str | None = None
    after: Latency | None = None


class LatencyFile(Record, frozen=True, kw_only=True):
    """`baselines/latency/DEVICE.json`: everything that was recorded on one kind of device."""

    format_version: int = FORMAT_VERSION
    entries: tuple[RecordedLatency, ...] = ()
