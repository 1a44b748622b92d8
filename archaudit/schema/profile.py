"""Costs that add up, and peaks that do not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from archaudit.schema.latency import Latency
from archaudit.schema.record import FORMAT_VERSION, OperatorStatus, Record, Setting, Shape


class Cost(Record, frozen=True, kw_only=True):
    """Additive costs of a module or a model; sums and differences are costs too.

    `params`, `trainable_params` and `buffers` count elements; unique tensors only, each at its first owner. `flops` is twice `macs`,
    the multiply-accumulates of dense contractions in one eval-mode forward pass. `activation_bytes` are the bytes of the tensors
    that operators allocate (views and in-place results allocate nothing); `moved_bytes` the bytes that operators read and write.
    """

    params: int = 0
    trainable_params: int = 0
    buffers: int = 0
    param_bytes: int = 0
    flops: int = 0
    macs: int = 0
    activation_bytes: int = 0
    moved_bytes: int = 0

    def __post_init__(self) -> None:
        if self.flops != 2 * self.macs:
            raise ValueError(f"flops must be twice macs, not {self.flops} and {self.macs}")

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            params=self.params + other.params,
            trainable_params=self.trainable_params + other.trainable_params,
            buffers=self.buffers + other.buffers,
            param_bytes=self.param_bytes + other.param_bytes,
            flops=self.flops + other.flops,
            macs=self.macs + other.macs,
            activation_bytes=self.activation_bytes + other.activation_bytes,
            moved_bytes=self.moved_bytes + other.moved_bytes,
        )

    def __sub__(self, other: Cost) -> Cost:
        return self + (-other)

    def __neg__(self) -> Cost:
        return Cost(
            params=-self.params,
            trainable_params=-self.trainable_params,
            buffers=-self.buffers,
            param_bytes=-self.param_bytes,
            flops=-self.flops,
            macs=-self.macs,
            activation_bytes=-self.activation_bytes,
            moved_bytes=-self.moved_bytes,
        )


def sum_costs(costs: Iterable[Cost]) -> Cost:
    """The sum of any number of costs; zero for none. (One pass over ints: a plain `sum` makes a record for each term.)"""
    fields = Cost.__struct_fields__
    sums = [0] * len(fields)
    for cost in costs:
        for position, field in enumerate(fields):
            sums[position] += getattr(cost, field)
    return Cost(**dict(zip(fields, sums, strict=True)))


class Peaks(Record, frozen=True, kw_only=True):
    """What is not additive and never attributed to a module; None where it was not measured.

    `activation_bytes`: the most bytes of activations alive at once in one forward pass without grad, inputs included.
    `saved_bytes`: bytes kept for the backward pass when the same forward runs with grad.
    """

    activation_bytes: int | None = None
    saved_bytes: int | None = None


# --- what was measured of one model ---


class InputRecord(Record, frozen=True, kw_only=True):
    """One tensor that the model was run on; `name` is the keyword or position it was passed as."""

    name: str
    dtype: str
    shape: Shape


class TensorRecord(Record, frozen=True, kw_only=True):
    """A parameter or buffer held directly by a module.

    `logical_elements` is how many weights a packed tensor stands for (None for an ordinary one: its own elements). `tied_to` names the
    first owner when this is another name of a tensor that was counted there. `used` says whether an operator of the forward pass read it
    (None where that was not observed). `init` is what initialised it last, where that is not the default of a layer of torch:
    `kaiming_normal_(mode='fan_out') = normal_(mean=0, std=0.0417)`.
    """

    name: str
    kind: Literal["parameter", "buffer"]
    persistent: bool
    shape: Shape
    dtype: str
    trainable: bool
    tied_to: str | None = None
    init: str | None = None
    used: bool | None = None
    logical_elements: int | None = None


class Call(Record, frozen=True, kw_only=True):
    """One call of a module: its place in the order of all calls, tensor shapes in and out, and the modules that made its inputs."""

    order: int
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    inputs_from: tuple[str, ...] = ()


class ModuleRecord(Record, frozen=True, kw_only=True):
    """One module: its own direct cost, and the total of itself and all its descendants. Children follow from the paths.

    `defined_in` is the library that brings its class (`torch`, `torchvision`), empty for a class of the user's own, None where that was not
    noted. `aliases` are other paths under which the same module stands.
    """

    path: str
    type: str
    settings: dict[str, Setting] = {}
    own: Cost
    total: Cost
    flops_complete: bool = True
    tensors: tuple[TensorRecord, ...] = ()
    calls: tuple[Call, ...] = ()
    defined_in: str | None = None
    aliases: tuple[str, ...] = ()


class FlowNode(Record, frozen=True, kw_only=True):
    """A node of the forward graph: `op` is `input`, `call` (a module without children, `module` its path) or an operator's name
    (run by `module` itself, between the calls of its children). `inputs` are ids of earlier nodes.

    `symbolic` is the shape in terms of the input: B, H, W and T are its batch, height, width and length, any other size is fixed;
    None where that was not found out.
    """

    id: int
    op: str
    module: str
    inputs: tuple[int, ...] = ()
    shape: Shape | None = None
    dtype: str | None = None
    symbolic: tuple[str, ...] | None = None


class OpRecord(Record, frozen=True, kw_only=True):
    """All runs of one operator: how often, what was made of it, its FLOPs, and the modules that ran it."""

    name: str
    count: int
    status: OperatorStatus
    flops: int
    modules: tuple[str, ...]


class Ledger(Record, frozen=True, kw_only=True):
    """Every operator of the forward pass accounted for: counted, declared zero, or unknown; and what was assumed on the way."""

    counted: int = 0
    zero: int = 0
    unknown: int = 0
    operators: tuple[OpRecord, ...] = ()
    assumptions: tuple[str, ...] = ()


class WitnessRow(Record, frozen=True, kw_only=True):
    """What a witness says of one module (inclusive of its children); None where it says nothing. `flops` = 2 x `macs`."""

    params: int | None = None
    macs: int | None = None
    output_shape: Shape | None = None


class Witness(Record, frozen=True, kw_only=True):
    """A second counter's account of the same model: never the answer, always shown beside it.

    `reason` says why it was left out (then everything else is empty). `macs_by_operator` and `unsupported` are counts by
    operator name, `uncalled` the paths of modules that it believes never ran.
    """

    reason: str | None = None
    totals: WitnessRow = WitnessRow()
    modules: dict[str, WitnessRow] = {}
    macs_by_operator: dict[str, int] = {}
    unsupported: dict[str, int] = {}
    uncalled: tuple[str, ...] = ()


class Environment(Record, frozen=True, kw_only=True):
    """The machine and versions that a profile was made with."""

    archaudit: str
    python: str
    torch: str
    platform: str
    packages: dict[str, str] = {}


class Provenance(Record, frozen=True, kw_only=True):
    """What varies by machine and version, kept apart so that committed files do not: the environment, and how the model was run.

    `rung` is the step of the ladder that worked: `meta`, `deferred`, `fake` or `real`; `rungs_failed` says why earlier ones did not.
    """

    environment: Environment
    rung: str
    rungs_failed: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Profile(Record, frozen=True, kw_only=True, weakref=True):
    """Everything measured about one model with one input. Saved, it is a baseline.

    `unknown` names the metrics that its source cannot tell: their numbers mean nothing.
    """

    format_version: int = FORMAT_VERSION
    name: str
    reference: str
    inputs: tuple[InputRecord, ...] = ()
    totals: Cost
    peaks: Peaks = Peaks()
    flops_complete: bool = True
    modules: tuple[ModuleRecord, ...]
    ledger: Ledger = Ledger()
    ties: tuple[tuple[str, ...], ...] = ()
    witnesses: dict[str, Witness] = {}
    flow: tuple[FlowNode, ...] = ()
    latency: Latency | None = None
    provenance: Provenance | None = None
    unknown: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET  # left out where everything is known


# --- how one number came about ---


class OperatorRun(Record, frozen=True, kw_only=True):
    """One run of an operator: tensor shapes in and out (kept where it is not declared zero), its formula with the sizes substituted."""

    operator: str
    module: str
    status: OperatorStatus
    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    formula: str = ""
    macs: int = 0
    note: str | None = None


class Explanation(Record, frozen=True, kw_only=True):
    """How the MACs of one module, with everything below it, come about: the operators that ran, in order."""

    name: str
    path: str
    type: str
    macs: int
    flops_complete: bool
    operators: tuple[OperatorRun, ...]
