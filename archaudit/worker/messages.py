"""The protocol between a parent and its workers: JSON messages, each preceded by its length in eight bytes.

Load, then Measure, Explain, PrepareTiming (and after it TimeBlock, TimeModules and Survey), Exhibit and Imitate as often as wanted,
then Quit. Each request has one reply of the matching type, or Failed.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import msgspec

from archaudit import errors
from archaudit.errors import ArchauditError, WorkerError
from archaudit.schema import (
    Checkout,
    DeviceState,
    Equivalence,
    Explanation,
    Footprint,
    InputSpec,
    Machine,
    MeasuredCeilings,
    Profile,
    TensorSource,
    TimingSettings,
)


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Find the model of `reference` (as typed, not a name nor a saved profile); reports will call it `name`.

    `formulas` are files or modules of the user's that register formulas for operators of their own. With `checkout` the model is that of a
    revision, and what is read of it is written down. `batch` replaces the size of the first dimension of every input."""

    reference: str
    name: str
    inputs: tuple[InputSpec, ...] = ()
    formulas: tuple[str, ...] = ()
    checkout: Checkout | None = None
    batch: int | None = None


class Measure(msgspec.Struct, frozen=True, tag="measure"):
    """Profile the loaded model; `witnesses` says whether torchinfo and fvcore are asked too, `symbolic` whether shapes are to be told in
    terms of the input."""

    witnesses: bool = True
    symbolic: bool = False


class Explain(msgspec.Struct, frozen=True, tag="explain"):
    """Tell how the MACs of the module at `path` come about."""

    path: str


class PrepareTiming(msgspec.Struct, frozen=True, tag="prepare"):
    """Build the loaded model for real as `settings` say, anew, and warm it up for at most `limit_s` seconds."""

    settings: TimingSettings
    limit_s: float


class TimeBlock(msgspec.Struct, frozen=True, tag="time"):
    """Run the prepared model `repeats` times in one form: `eager`, `replay` (of its CUDA graph) or `compiled`."""

    repeats: int
    form: Literal["eager", "replay", "compiled"] = "eager"


class TimeModules(msgspec.Struct, frozen=True, tag="time_modules"):
    """Run the prepared model `repeats` times with instruments attached, for each module's time."""

    repeats: int


class Survey(msgspec.Struct, frozen=True, tag="survey"):
    """Say in what state the device is, where `own_processes` of ours use it, and, if asked, measure its ceilings."""

    own_processes: int
    ceilings: bool = False


class Exhibit(msgspec.Struct, frozen=True, tag="exhibit"):
    """Run the loaded model for real in `dtype`, with seeded weights on random inputs, and write weights, inputs and outputs to the file
    `path`; what `modules` give, too."""

    path: str
    dtype: str
    modules: tuple[str, ...] = ()


class Imitate(msgspec.Struct, frozen=True, tag="imitate"):
    """Run the loaded model for real with the weights and inputs that another worker wrote to `path`, and compare what it gives.

    `sources` say where the model's tensors take their values from, `modules` are its modules to those of the other, `feeders` the modules
    whose output each of its own reads.
    """

    path: str
    dtype: str
    sources: dict[str, TensorSource]
    modules: dict[str, str]
    feeders: dict[str, tuple[str, ...]]


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The model was found; it is built only when it is measured."""

    name: str


class Measured(msgspec.Struct, frozen=True, tag="measured"):
    """The profile that was asked for; for a model of a revision also all that it depends on."""

    profile: Profile
    footprint: Footprint | None = None


class Explained(msgspec.Struct, frozen=True, tag="explained"):
    """The explanation that was asked for."""

    explanation: Explanation


class TimingReady(msgspec.Struct, frozen=True, tag="ready"):
    """The model is on the device: its settings with the threads that are used, the forms that it can be timed in, and its warm-up."""

    settings: TimingSettings
    machine: Machine
    forms: tuple[str, ...]
    warmup_s: tuple[float, ...]
    stable: bool
    notes: tuple[str, ...] = ()


class Timed(msgspec.Struct, frozen=True, tag="timed"):
    """Raw times in seconds of whole forward passes."""

    samples_s: tuple[float, ...]


class ModulesTimed(msgspec.Struct, frozen=True, tag="modules_timed"):
    """Raw times in seconds by path, one for each instrumented pass: a module's own, and with everything below it."""

    own_s: dict[str, tuple[float, ...]]
    total_s: dict[str, tuple[float, ...]]
    launches: dict[str, int]
    attribution: str
    notes: tuple[str, ...] = ()


class Surveyed(msgspec.Struct, frozen=True, tag="surveyed"):
    """The device's state, and its ceilings where they were asked for."""

    state: DeviceState
    ceilings: MeasuredCeilings | None = None


class Exhibited(msgspec.Struct, frozen=True, tag="exhibited"):
    """The file was written."""


class Imitated(msgspec.Struct, frozen=True, tag="imitated"):
    """What the comparison came to."""

    equivalence: Equivalence


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """What is being done now, for a person."""

    stage: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The request could not be fulfilled: the class of the error by name, its message and hint."""

    kind: str
    message: str
    hint: str | None = None

    def to_error(self) -> ArchauditError:
        """The error to raise in the parent."""
        kind = getattr(errors, self.kind, None)
        return (kind if isinstance(kind, type) and issubclass(kind, ArchauditError) else WorkerError)(self.message, self.hint)


# What the model runs for, once it is loaded.
ModelRequest = Measure | Explain | PrepareTiming | TimeBlock | TimeModules | Survey | Exhibit | Imitate
Request = Load | ModelRequest
Reply = Loaded | Measured | Explained | TimingReady | Timed | ModulesTimed | Surveyed | Exhibited | Imitated | Progress | Failed

_LENGTH = struct.Struct("!Q")


@cache
def _make_decoder(kind: Any) -> Callable[[bytes], Any]:
    """Made when first used: a comparison of saved profiles has no worker, and need not wait for what it would say."""
    return msgspec.json.Decoder(kind).decode


def send(channel: socket.socket, message: Request | Reply) -> None:
    """Writes one message."""
    data = msgspec.json.encode(message)
    channel.sendall(_LENGTH.pack(len(data)) + data)


def receive_request(channel: socket.socket) -> Request | None:
    """The next request; None when the parent is gone."""
    data = _receive(channel)
    return None if data is None else _make_decoder(Request)(data)


def receive_reply(channel: socket.socket) -> Reply | None:
    """The next reply or progress note; None when the worker is gone. TimeoutError when none comes in time."""
    data = _receive(channel)
    return None if data is None else _make_decoder(Reply)(data)


def _receive(channel: socket.socket) -> bytes | None:
    head = _receive_exactly(channel, _LENGTH.size)
    return None if head is None else _receive_exactly(channel, _LENGTH.unpack(head)[0])


def _receive_exactly(channel: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)
