"""The protocol between the parent and its workers: JSON messages, each after its length in eight bytes.

The first request is Load; then Measure, Explain, FindLaws, PrepareTiming (after it TimeBlock, TimeModules and InspectDevice),
RecordOutputs, CompareOutputs and ProveFixes follow in any number. Each request has one reply of the matching type, or Failed. A closed
socket ends the worker.
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
    Cost,
    Dependencies,
    DeviceState,
    Edit,
    Equivalence,
    Explanation,
    FixProof,
    InputSpec,
    Inspection,
    Machine,
    MeasuredCeilings,
    Profile,
    ScalingLaws,
    TimingSettings,
    TrainingSettings,
    WeightSource,
)
from archaudit.schema.record import escape_texts


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Find the model of `reference` (as typed; neither a name nor a saved profile). `name` is its name in reports.

    `formulas` are the user's files or modules that register formulas for custom operators. With `checkout` the model is that of a git
    revision. Everything that the profile depends on is recorded if `recorded`, and always with `checkout`. `batch` replaces the size of the
    first dimension of every input. The model is cast to `dtype`; `arg_file` has arguments of its constructor.
    """

    reference: str
    name: str
    inputs: tuple[InputSpec, ...] = ()
    formulas: tuple[str, ...] = ()
    checkout: Checkout | None = None
    batch: int | None = None
    device: str = "cpu"
    dtype: str | None = None
    arg_file: str = ""
    recorded: bool = False


class Measure(msgspec.Struct, frozen=True, tag="measure"):
    """Profile the loaded model: with `other_counters` by torchinfo and fvcore as well, with `symbolic` with shapes in terms of the input.

    With `params_only` it is only built, and needs no input. With `with_values` it is run with values from the start. With `inspected`, the
    built model is inspected too, for the audit; with `training`, a training step is measured.
    """

    other_counters: bool = True
    symbolic: bool = False
    params_only: bool = False
    with_values: bool = False
    inspected: bool = False
    training: TrainingSettings | None = None


class Explain(msgspec.Struct, frozen=True, tag="explain"):
    """Explain how the MACs of the module at `path` are counted."""

    path: str


class FindLaws(msgspec.Struct, frozen=True, tag="find_laws"):
    """Find how the costs of the loaded model grow with the sizes of its input, and check that in `checks` further runs."""

    checks: int


class PrepareTiming(msgspec.Struct, frozen=True, tag="prepare"):
    """Build the loaded model with values by `settings`, and warm it up for at most `limit_s` seconds. A model built before is deleted."""

    settings: TimingSettings
    limit_s: float


class TimeBlock(msgspec.Struct, frozen=True, tag="time"):
    """Run the prepared model `repeats` times in one form: `eager`, `replay` (of its CUDA graph) or `compiled`."""

    repeats: int
    form: Literal["eager", "replay", "compiled"] = "eager"


class TimeModules(msgspec.Struct, frozen=True, tag="time_modules"):
    """Run the prepared model `repeats` times with hooks that time each module."""

    repeats: int


class InspectDevice(msgspec.Struct, frozen=True, tag="inspect_device"):
    """Read the state of the device, which `own_processes` of archaudit use, and with `ceilings` measure its ceilings."""

    own_processes: int
    ceilings: bool = False


class RecordOutputs(msgspec.Struct, frozen=True, tag="record_outputs"):
    """Run the loaded model in `dtype` with seeded weights on random inputs, and write weights, inputs, outputs and the outputs of `modules`
    to the file `path`; with `operators`, also a trace of all operators.

    `ties` are tensors that take the values of others first."""

    path: str
    dtype: str
    modules: tuple[str, ...] = ()
    ties: dict[str, str] = {}
    operators: bool = False


class CompareOutputs(msgspec.Struct, frozen=True, tag="compare_outputs"):
    """Run the loaded model with the weights and inputs that another worker wrote to `path`, and compare its outputs with those.

    `sources` maps each tensor of the model to the tensors that its values come from, `modules` maps its modules to those of the other
    model, and `input_modules` maps each of its modules to those whose outputs are its inputs. Each of the `questions` has several answers,
    which replace some sources: those with equal outputs are searched.
    """

    path: str
    dtype: str
    sources: dict[str, WeightSource]
    modules: dict[str, str]
    input_modules: dict[str, tuple[str, ...]]
    questions: tuple[tuple[dict[str, WeightSource], ...], ...] = ()


class ProveFixes(msgspec.Struct, frozen=True, tag="prove_fixes"):
    """Apply each of the `fixes`, edits of the loaded model, and prove that it computes the same; with `refusal`, only measure what they
    save."""

    fixes: tuple[tuple[Edit, ...], ...]
    refusal: str = ""


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The model was found. It is built when it is measured."""

    name: str


class Measured(msgspec.Struct, frozen=True, tag="measured"):
    """The profile, with everything that it depends on where that is recorded; and the warnings of the model's code, each once."""

    profile: Profile
    dependencies: Dependencies | None = None
    warnings: tuple[str, ...] = ()
    inspection: Inspection | None = None


class Explained(msgspec.Struct, frozen=True, tag="explained"):
    """The explanation."""

    explanation: Explanation


class LawsFound(msgspec.Struct, frozen=True, tag="laws_found"):
    """The laws."""

    laws: ScalingLaws


class TimingReady(msgspec.Struct, frozen=True, tag="ready"):
    """The model is on the device: its settings with the threads in use, the forms that it can be timed in, and its warm-up."""

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
    """Raw times in seconds by path, one for each pass: of a module's own operators, and of the module with everything below it."""

    own_s: dict[str, tuple[float, ...]]
    total_s: dict[str, tuple[float, ...]]
    launches: dict[str, int]
    attribution: str
    notes: tuple[str, ...] = ()


class DeviceInspected(msgspec.Struct, frozen=True, tag="device_inspected"):
    """The device's state, and its ceilings if the request says so."""

    state: DeviceState
    ceilings: MeasuredCeilings | None = None


class OutputsRecorded(msgspec.Struct, frozen=True, tag="outputs_recorded"):
    """The file is written."""


class OutputsCompared(msgspec.Struct, frozen=True, tag="outputs_compared"):
    """The result of the comparison, the number of the answer to each question, and the factors of merged adapters, by tensor."""

    equivalence: Equivalence
    choice: tuple[int, ...] = ()
    factors: dict[str, float] = {}


class FixesProven(msgspec.Struct, frozen=True, tag="fixes_proven"):
    """A proof for each fix, and the costs of the fixed model by module path; `total` is None if it could not be measured."""

    proofs: tuple[FixProof, ...]
    totals: dict[str, Cost] = {}
    total: Cost | None = None


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """The current stage, for the progress display."""

    stage: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The request failed: the name of the error's class, its message and hint."""

    kind: str
    message: str
    hint: str | None = None

    def to_error(self) -> ArchauditError:
        """The error to raise in the parent."""
        kind = getattr(errors, self.kind, None)
        return (kind if isinstance(kind, type) and issubclass(kind, ArchauditError) else WorkerError)(self.message, self.hint)


# Requests that run the model, which must be loaded.
ModelRequest = (
    Measure | Explain | FindLaws | PrepareTiming | TimeBlock | TimeModules | InspectDevice | RecordOutputs | CompareOutputs | ProveFixes
)
Request = Load | ModelRequest
Reply = (
    Loaded
    | Measured
    | Explained
    | LawsFound
    | TimingReady
    | Timed
    | ModulesTimed
    | DeviceInspected
    | OutputsRecorded
    | OutputsCompared
    | FixesProven
    | Progress
    | Failed
)

_LENGTH = struct.Struct("!Q")


@cache
def _make_decoder(kind: Any) -> Callable[[bytes], Any]:
    """Made on first use: a comparison of saved profiles has no worker and does not need the time."""
    return msgspec.json.Decoder(kind).decode


def send(channel: socket.socket, message: Request | Reply) -> None:
    """Writes one message."""
    try:
        data = msgspec.json.encode(message)
    except UnicodeEncodeError:  # a lone surrogate, in a message of the model for example
        data = msgspec.json.encode(escape_texts(msgspec.to_builtins(message)))
    channel.sendall(_LENGTH.pack(len(data)) + data)


def receive_request(channel: socket.socket) -> Request | None:
    """The next request; None if the parent is gone."""
    data = _receive(channel)
    return None if data is None else _make_decoder(Request)(data)


def receive_reply(channel: socket.socket) -> Reply | None:
    """The next reply or progress message; None if the worker is gone. Raises TimeoutError if none comes in time."""
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
