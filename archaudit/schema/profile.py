"""Profiles: what was measured of one model. Costs are additive, peaks are not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from archaudit.schema.latency import Latency
from archaudit.schema.record import FORMAT_VERSION, OperatorStatus, Record, Setting, Shape
from archaudit.schema.training import Training


class Cost(Record, frozen=True, kw_only=True):
    """Additive costs of a module or a model; sums and differences are costs too.

    `params`, `trainable_params` and `buffers` count elements of unique tensors, each at its first owner. `flops` is twice `macs`, the
    multiply-accumulates of dense contractions in one forward pass in eval mode. `activation_bytes` are the bytes of the tensors that
    operators allocate (views and in-place results allocate nothing); `moved_bytes` the bytes that operators read and write.
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
    """The sum of any number of costs; zero for none. It adds integers, since `sum` creates a record for each term."""
    fields = Cost.__struct_fields__
    sums = [0] * len(fields)
    for cost in costs:
        for position, field in enumerate(fields):
            sums[position] += getattr(cost, field)
    return Cost(**dict(zip(fields, sums, strict=True)))


class Peaks(Record, frozen=True, kw_only=True):
    """Peaks of the whole model: they are not additive and have no share of a module. None if not measured.

    `activation_bytes`: the most bytes of activations alive at once in one forward pass without grad, inputs included.
    `saved_bytes`: bytes kept for the backward pass when the same forward runs with grad, in training mode.
    """

    activation_bytes: int | None = None
    saved_bytes: int | None = None


# --- what was measured of one model ---


class InputRecord(Record, frozen=True, kw_only=True):
    """One input tensor of the model; `name` is the keyword or the position of the argument."""

    name: str
    dtype: str
    shape: Shape


class TensorRecord(Record, frozen=True, kw_only=True):
    """A parameter or buffer held directly by a module.

    `logical_elements` is the number of weights in a packed tensor (None for an ordinary one: its own elements); in the profile of a file of
    weights, `shape` and `dtype` are those of the weights, not of the elements that they are packed into. `tied_to` names the first
    owner if this is another name of a tensor that is counted there. `used` says whether an operator of the forward pass used it (None if
    that was not observed). `init` is its last initialisation, if that is not the default of its torch layer:
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
    """One call of a module: its position among all calls, input and output shapes, and the modules whose outputs are its inputs."""

    order: int
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    inputs_from: tuple[str, ...] = ()


class ModuleRecord(Record, frozen=True, kw_only=True):
    """One module: its own direct cost, and the total of itself and all its descendants. Children follow from the paths.

    `flops_complete`, `params_complete` (parameters and their bytes) and `memory_complete` (bytes of activations, bytes moved) say whether
    these are the whole numbers; otherwise they are lower bounds.
    `defined_in` is the library of its class (`torch`, `torchvision`), empty for a class of the user, None if that was not recorded.
    `aliases` are other paths of the same module. `programs` are the positions, in the profile's, of what its forward runs: one for each
    different call. Layers of torch without children have none, since type and settings say what they run.
    """

    path: str
    type: str
    settings: dict[str, Setting] = {}
    own: Cost
    total: Cost
    flops_complete: bool = True
    params_complete: bool = True
    memory_complete: bool = True
    tensors: tuple[TensorRecord, ...] = ()
    calls: tuple[Call, ...] = ()
    defined_in: str | None = None
    aliases: tuple[str, ...] = ()
    programs: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET


class Step(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a module's forward: an operator that the module runs itself, or (`op` is `call`) a call of the module at `module`, a
    path below this one; a path that starts with `/` counts from the root.

    `operands` are its tensors, in order: `2` is the result of step 2 (`2.1` its second tensor), `in0` the first tensor among the arguments,
    `.weight` a tensor registered in this module or below it, `/embed.weight` one of another module, `value 0.5` a constant, `outer` a
    result of a module above, `tensor` any other. `arguments` are the other arguments that differ from their defaults. `sizes` are those
    that may follow from the sizes of tensors; they compare only where `shape`, that of the first operand, is the same.
    """

    op: str
    module: str = ""
    operands: tuple[str, ...] = ()
    arguments: dict[str, Setting] = {}
    sizes: dict[str, Setting] = {}
    shape: Shape | None = None


class Program(Record, frozen=True, kw_only=True):
    """What one call of a module runs, step by step, and the operands that it returns. Modules that run the same share one program.

    Steps that leave values and order as they are (`contiguous`, a `view` of the same shape) are left out; `reshape` is every change of
    shape, `permute` every change of the order of dimensions, and each part of a `chunk`, `split` or `unbind` is a `slice` or `select`.
    """

    steps: tuple[Step, ...]
    returns: tuple[str, ...] = ()


class FlowNode(Record, frozen=True, kw_only=True):
    """A node of the forward graph. `op` is `input`, `call` (`module` is then the path of a module without children), or the name of an
    operator that `module` runs itself, between the calls of its children. `inputs` are ids of earlier nodes.

    `symbolic` is the shape in terms of the input: B, H, W and T are its batch, height, width and length; any other size is fixed. None if
    that is not known. `arguments` are an operator's arguments other than tensors and sizes, where they differ from their defaults.
    """

    id: int
    op: str
    module: str
    inputs: tuple[int, ...] = ()
    shape: Shape | None = None
    dtype: str | None = None
    symbolic: tuple[str, ...] | None = None
    arguments: dict[str, Setting] | msgspec.UnsetType = msgspec.UNSET


class OpRecord(Record, frozen=True, kw_only=True):
    """All runs of one operator: their number, how it is counted, its FLOPs, and the modules that run it."""

    name: str
    count: int
    status: OperatorStatus
    flops: int
    modules: tuple[str, ...]


class Ledger(Record, frozen=True, kw_only=True):
    """Every operator of the forward pass: how many are counted, counted as zero, or unknown; and the assumptions of the measurement.

    `deciding` are those assumptions on which FLOPs and bytes depend: other weights, or other values of the input, can give other numbers.
    """

    counted: int = 0
    zero: int = 0
    unknown: int = 0
    operators: tuple[OpRecord, ...] = ()
    assumptions: tuple[str, ...] = ()
    deciding: tuple[str, ...] = ()


class CounterRow(Record, frozen=True, kw_only=True):
    """Another counter's numbers for one module with its children; None where it has none."""

    params: int | None = None
    macs: int | None = None
    output_shape: Shape | None = None


class CounterResult(Record, frozen=True, kw_only=True):
    """The same model counted by another library (torchinfo, fvcore): shown next to our own numbers, never used as the result.

    `reason` says why it was left out (everything else is then empty). `macs_by_operator` and `unsupported` are counts by operator name,
    `uncalled` the paths of modules that it did not see run.
    """

    reason: str | None = None
    totals: CounterRow = CounterRow()
    modules: dict[str, CounterRow] = {}
    macs_by_operator: dict[str, int] = {}
    unsupported: dict[str, int] = {}
    uncalled: tuple[str, ...] = ()


class Environment(Record, frozen=True, kw_only=True):
    """The machine and the versions that a profile was measured with."""

    archaudit: str
    python: str
    torch: str
    platform: str
    packages: dict[str, str] = {}


class Provenance(Record, frozen=True, kw_only=True):
    """What differs between machines and versions: the environment, and how the model was run. Committed files leave it out.

    `rung` is the build mode that worked: `meta`, `deferred`, `fake`, `routed`, `answered` or `real`; `rungs_failed` has the errors of those
    before.
    """

    environment: Environment
    rung: str
    rungs_failed: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Profile(Record, frozen=True, kw_only=True, weakref=True):
    """Everything measured about one model with one input. A saved profile is a baseline.

    `programs` are the different programs of its modules, each once. `dead_flops` has the FLOPs of operators whose results reach no output,
    by the path of the module that runs them, and `summed_products` the elementwise products that a module sums, which count as zero but
    would be as many MACs as einsum; both are absent if that was not observed. `unknown` names the metrics that its source has no
    information on: their numbers mean nothing. `incomplete` says why FLOPs are incomplete, by the topmost path, where the reason is not an
    operator without a formula. `training` is the cost of a training step. `device` is the one whose operators the activation,
    moved, peak and saved bytes follow: `cpu` or `cuda`; None if it is not known (nothing ran, or it was saved by an earlier version).
    """

    format_version: int = FORMAT_VERSION
    name: str
    reference: str
    device: str | None = None
    inputs: tuple[InputRecord, ...] = ()
    totals: Cost
    peaks: Peaks = Peaks()
    flops_complete: bool = True
    params_complete: bool = True
    memory_complete: bool = True
    modules: tuple[ModuleRecord, ...]
    ledger: Ledger = Ledger()
    ties: tuple[tuple[str, ...], ...] = ()
    other_counters: dict[str, CounterResult] = msgspec.field(default_factory=dict, name="witnesses")  # the key of the first files
    flow: tuple[FlowNode, ...] = ()
    programs: tuple[Program, ...] | msgspec.UnsetType = msgspec.UNSET  # left out in files of earlier versions
    latency: Latency | None = None
    provenance: Provenance | None = None
    dead_flops: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    summed_products: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    incomplete: dict[str, str] | msgspec.UnsetType = msgspec.UNSET  # left out if there is no such reason
    unknown: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET  # left out of the JSON if every metric is known
    training: Training | msgspec.UnsetType = msgspec.UNSET  # left out unless a training step was measured


# --- how one number is computed ---


class OperatorRun(Record, frozen=True, kw_only=True):
    """One run of an operator: input and output shapes (unless it counts as zero), and its formula with the sizes filled in."""

    operator: str
    module: str
    status: OperatorStatus
    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    formula: str = ""
    macs: int = 0
    note: str | None = None


class Explanation(Record, frozen=True, kw_only=True):
    """How the MACs of one module with everything below it are computed: the operators that ran, in order."""

    name: str
    path: str
    type: str
    macs: int
    flops_complete: bool
    operators: tuple[OperatorRun, ...]
