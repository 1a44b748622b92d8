"""The immutable records that the rooms hand to each other, and their JSON.

A record's fields are the keys of the JSON; keys may gain neighbours but never change their meaning without raising
`FORMAT_VERSION`. Unknown keys are ignored on reading, so an older archaudit reads what a newer one of the same version wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

import msgspec

from archaudit.errors import SavedFileError

FORMAT_VERSION = 1

Shape = tuple[int, ...]
Outcome = Literal["passed", "failed", "inconclusive"]
OperatorStatus = Literal["counted", "zero", "unknown"]
AnyRecord = TypeVar("AnyRecord", bound="Record")
Setting = None | bool | int | float | str | list[Any] | dict[str, Any]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable record with JSON both ways."""


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


class InputRecord(Record, frozen=True, kw_only=True):
    """One tensor that the model was run on; `name` is the keyword or position it was passed as."""

    name: str
    dtype: str
    shape: Shape


class InputSpec(Record, frozen=True, kw_only=True):
    """One input as the user asked for it: `name` is None for a positional one."""

    shape: Shape
    dtype: str = "float32"
    name: str | None = None


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


class Latency(Record, frozen=True, kw_only=True):
    """Measured forward time on a named device, raw samples kept; everything else is derived from them.

    `samples_s` are uninstrumented end-to-end times of one forward pass; `modules_s` maps a path to the inclusive times of that
    module, one for each instrumented pass.
    """

    device: str
    method: str
    threads: int | None = None
    warmup: int = 0
    samples_s: tuple[float, ...] = ()
    modules_s: dict[str, tuple[float, ...]] = {}


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


class Profile(Record, frozen=True, kw_only=True):
    """Everything measured about one model with one input. Saved, it is a baseline."""

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


class Match(Record, frozen=True, kw_only=True):
    """A module before and the module after that it became; one side is None for a module that was removed or added.

    `changes` are the kinds of change that the tree as a whole tells (renamed, moved, wrapped, split, reordered, repeated and the like);
    matches of one split or merge share a `change_id`. `stretch` counts the matched layers that ran before it of those that lie on every
    path from input to output: what was taken out of a stretch was replaced by what was put into it.
    """

    before_path: str | None
    after_path: str | None
    confidence: float
    reason: str
    changes: tuple[str, ...] = ()
    change_id: int | None = None
    stretch: int = 0


class Cause(Record, frozen=True, kw_only=True):
    """One cause of a layer's change in parameters, and its share: `inputs 304→160`, -309,000. Shares sum to the change exactly."""

    text: str
    delta: int


class ModuleDiff(Record, frozen=True, kw_only=True):
    """What happened to one matched module. Rows are one-to-one: every module of each side stands in exactly one.

    `causes` share out the change in parameters over what was changed about a layer; those of a split or merge stand in the row that has
    both sides, and cover all rows of that `change_id`.
    """

    before_path: str | None
    after_path: str | None
    changes: tuple[str, ...]
    change_id: int | None = None
    confidence: float = 1.0
    reason: str = ""
    settings_changed: dict[str, tuple[Setting, Setting]] = {}
    own_delta: Cost
    total_delta: Cost
    causes: tuple[Cause, ...] = ()


class Group(Record, frozen=True, kw_only=True):
    """A named set of modules before and after, and what it cost: a section of the breakdown."""

    name: str
    before_paths: tuple[str, ...]
    after_paths: tuple[str, ...]
    before: Cost
    after: Cost
    delta: Cost


class Diff(Record, frozen=True, kw_only=True):
    """Two profiles, what happened to each module, and groups that partition both models; own deltas sum to `delta`."""

    before: Profile
    after: Profile
    delta: Cost
    flops_complete: bool
    modules: tuple[ModuleDiff, ...]
    groups: tuple[Group, ...] = ()


class Check(Record, frozen=True, kw_only=True):
    """One thing asked of a number: a budget, a comparison with a baseline, or a claim.

    `model` names the model it is about (as in the config; empty: the after side), `scope` the patterns over its paths. `against` is what it
    is compared with, for comparisons that need two numbers: `baseline` (the model's own saved profile) or another model's name, there over
    `against_scope` (None: the same scope). `comparison` is a key of `judge.COMPARISONS`, `expected` the figure as written.
    `expect_outcome` is `failed` for a claim known to be false, `inconclusive` for one known to hold under another reading only, with the
    reason in `why`; `group` names the section it stands beside, `document` and `source` where it was written, `near` a text that stands on
    the same line, `written` the figure as it is there where its unit stands elsewhere (in a table's heading). `tolerance` is the share
    that "about" widens its figure by (None: the usual one); `exempt` says why it is not judged.
    """

    id: str
    origin: Literal["budget", "baseline", "claim"]
    model: str = ""
    metric: str
    scope: tuple[str, ...] = ("",)
    comparison: str
    expected: str
    against: str | None = None
    against_scope: tuple[str, ...] | None = None
    source: str | None = None
    group: str | None = None
    expect_outcome: Outcome = "passed"
    why: str | None = None
    document: str | None = None
    near: str | None = None
    written: str | None = None
    tolerance: float | None = None
    exempt: str | None = None


class Contributor(Record, frozen=True, kw_only=True):
    """A module that grew: the path, and by how much of the check's metric."""

    path: str
    delta: int


class Verdict(Record, frozen=True, kw_only=True):
    """A check with its answer. `actual` and `deviation` are unrounded, in the metric's unit; None where nothing was measured.

    `scope` lists the check's patterns, joined by ` + `; empty is the whole model. `limit` is the number that `expected` came to (3M is
    3,000,000). For a claim, `finding` is `true` or `false` whatever was expected of it; `outcome` is what the gate makes of that.
    `reading` names the other convention under which a claim would be true (its finding is then `other reading`). `measured` is what was
    found where that is no number (a shape, a setting's text). `hints` explain a false figure by what was measured; `reason` has them too.
    """

    id: str
    origin: Literal["budget", "baseline", "claim"]
    model: str
    metric: str
    scope: str
    comparison: str
    expected: str
    limit: int | float | None = None
    actual: int | float | None = None
    deviation: int | float | None = None
    outcome: Outcome
    reason: str
    finding: Literal["true", "false", "other reading", "unbound", "exempt"] | None = None
    source: str | None = None
    group: str | None = None
    why: str | None = None
    contributors: tuple[Contributor, ...] = ()
    document: str | None = None
    reading: str | None = None
    measured: str | None = None
    hints: tuple[str, ...] = ()


class FlowPart(Record, frozen=True, kw_only=True):
    """A node of the forward graph as it is compared, on either side: a module with all that runs inside it, an operator between modules
    (`cat()`, the second `cat()#2`), an input or an output. One side is None for what is new or gone. Shapes are those of what it gives
    last, in terms of the input where that is known; those that share a `change_id` are what one module was split into, or merged from."""

    kind: Literal["module", "operator", "input", "output"]
    before: str | None
    after: str | None
    before_shape: tuple[str, ...] | None = None
    after_shape: tuple[str, ...] | None = None
    change_id: int | None = None


class FlowEdgeDiff(Record, frozen=True, kw_only=True):
    """One edge of the forward graph, from the part that makes a tensor to the part that reads it, by their names on each side."""

    before: tuple[str, str] | None
    after: tuple[str, str] | None
    change: Literal["same", "resized", "added", "removed"]
    before_shape: tuple[str, ...] | None = None
    after_shape: tuple[str, ...] | None = None


class FlowDiff(Record, frozen=True, kw_only=True):
    """Both forward graphs as one: parts and edges of either, in the order in which after runs them (what is gone, last).

    `symbolic` says whether shapes are in terms of the input (B, H, W, T); `sentences` tell the changes in words.
    """

    parts: tuple[FlowPart, ...] = ()
    edges: tuple[FlowEdgeDiff, ...] = ()
    symbolic: bool = False
    sentences: tuple[str, ...] = ()


class InitialisationChange(Record, frozen=True, kw_only=True):
    """A parameter that the constructor initialises otherwise, or initialises now that it is there; None stands for its type's default.

    A path is None where the side has no such parameter.
    """

    before_path: str | None
    after_path: str | None
    before: str | None = None
    after: str | None = None


class ClassUse(Record, frozen=True, kw_only=True):
    """A class of modules on one side: its name, the library that brings it (empty: the user's own), and the modules that are of it."""

    name: str
    defined_in: str | None
    paths: tuple[str, ...]


class Deviation(Record, frozen=True, kw_only=True):
    """How far the outputs of two matched modules lie apart at most; None where they differ in shape, or one is not finite."""

    before_path: str
    after_path: str
    max_difference: float | None


class Equivalence(Record, frozen=True, kw_only=True):
    """Whether two models compute the same with the same weights, tried on random inputs.

    `not comparable` means that it could not be tried, for the `reason` given. `max_difference` is the largest between any two values of the
    outputs, `tolerance` what was allowed, `dtype` what was computed in; `bitwise` says whether all values were equal to the last bit.
    `first_difference` is the first module in the order of execution whose output differs.
    """

    outcome: Literal["equivalent", "different", "not comparable"]
    reason: str
    max_difference: float | None = None
    tolerance: float | None = None
    bitwise: bool | None = None
    dtype: str | None = None
    first_difference: Deviation | None = None


class ReshapedKey(Record, frozen=True, kw_only=True):
    """A key of a checkpoint whose tensor has another shape after."""

    before: str
    after: str
    before_shape: Shape
    after_shape: Shape


class CheckpointMap(Record, frozen=True, kw_only=True):
    """What becomes of each key of a checkpoint of before when it is loaded into after. Only what a state_dict keeps.

    `same` keys load as they are, `renamed` ones under another name (before to after). `reshaped` have other shapes. `missing` are keys of
    after that nothing fills, `unused` keys of before that fill nothing. `tied` are keys of after that are another name of a tensor which
    some key fills (after to before): they take the same values. `conflicts` are groups of keys of before, separate there, that go
    into one tensor.
    """

    format_version: int = FORMAT_VERSION
    same: tuple[str, ...] = ()
    renamed: dict[str, str] = {}
    tied: dict[str, str] = {}
    reshaped: tuple[ReshapedKey, ...] = ()
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    conflicts: tuple[tuple[str, ...], ...] = ()


class Report(Record, frozen=True, kw_only=True):
    """All that a renderer may know: both profiles, the diff and the verdicts.

    `equivalence` is None where no proof was asked for.
    """

    format_version: int = FORMAT_VERSION
    before: Profile
    after: Profile
    delta: Cost
    flops_complete: bool
    modules: tuple[ModuleDiff, ...]
    groups: tuple[Group, ...] = ()
    checks: tuple[Verdict, ...] = ()
    outcome: Outcome
    flow: FlowDiff | None = None
    initialisation: tuple[InitialisationChange, ...] = ()
    classes_added: tuple[ClassUse, ...] = ()
    classes_removed: tuple[ClassUse, ...] = ()
    checkpoint: CheckpointMap | None = None
    equivalence: Equivalence | None = None


class Recipe(Record, frozen=True, kw_only=True):
    """How to get a model, without having built anything yet.

    `build()` returns the module; it may be called again, under another device context, when a way of measuring fails. The inputs are
    `inputs` when given, else what `example_inputs()` returns: a tensor, a tuple of arguments, a dict of keyword arguments, or a
    pair `(args, kwargs)`. `instance` says that `build()` returns one and the same live model each time, which must stay as it is.
    `sources` are the files that the model was read from; `assumptions` go to the ledger.
    """

    name: str
    reference: str
    build: Callable[[], Any]
    inputs: tuple[InputSpec, ...] = ()
    example_inputs: Callable[[], Any] | None = None
    instance: bool = False
    sources: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()


def strip_provenance(profile: Profile, *, witnesses: bool = False) -> Profile:
    """The profile as it is committed: without what varies by machine and version.

    Operator lists go since another torch names operators otherwise (the ledger keeps its three counts). Witnesses follow their own
    versions: a baseline goes without, a report keeps them (`witnesses`).
    """
    ledger = msgspec.structs.replace(profile.ledger, operators=())
    return msgspec.structs.replace(profile, ledger=ledger, witnesses=profile.witnesses if witnesses else {}, provenance=None)


def encode(record: Record) -> bytes:
    """A record as JSON: indented, a newline at the end, the same bytes for the same record."""
    return msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=1) + b"\n"


def decode_profile(data: bytes, source: str) -> Profile:
    """A saved profile; SavedFileError, naming `source`, when it is none."""
    return _decode(data, source, Profile, "a saved profile", "Write it again: archaudit baseline, or archaudit profile -o.")


def decode_report(data: bytes, source: str) -> Report:
    """A saved report; SavedFileError, naming `source`, when it is none."""
    return _decode(data, source, Report, "a saved report", "Write it again: archaudit compare BEFORE AFTER --format json.")


class _Version(msgspec.Struct):
    format_version: int


def _decode(data: bytes, source: str, kind: type[AnyRecord], noun: str, hint: str) -> AnyRecord:
    try:
        version = msgspec.json.decode(data, type=_Version).format_version
    except msgspec.MsgspecError as error:
        raise SavedFileError(f"{source} is not {noun}: {error}", hint) from error
    if version != FORMAT_VERSION:
        raise SavedFileError(f"{source} has format version {version}; this archaudit reads version {FORMAT_VERSION}", hint)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise SavedFileError(f"{source} is not {noun}: {error}", hint) from error
