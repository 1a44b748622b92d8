"""Which module is which, what changed about each, and what changed in the forward graph and the definition."""

from __future__ import annotations

from typing import Literal

import msgspec

from archaudit.schema.profile import Cost, Profile
from archaudit.schema.record import Record, Setting


class Repeat(Record, frozen=True, kw_only=True):
    """How often a block of layers is repeated in a container, before and after: `Bottleneck`, 4, 7."""

    block: str
    before: int
    after: int


class Match(Record, frozen=True, kw_only=True):
    """A module before and the module after that it became; one side is None for a module that was removed or added.

    `changes` are the changes of the module tree (renamed, moved, wrapped, split, reordered, repeated and the like); the matches of one
    split or merge share a `change_id`. `segment` counts the matched layers before the module that lie on every path from input to output:
    what was removed from a segment was replaced by what was added to it. `repeats` are the blocks whose number changed (`repeated`).
    """

    before_path: str | None
    after_path: str | None
    confidence: float
    reason: str
    changes: tuple[str, ...] = ()
    change_id: int | None = None
    segment: int = 0
    repeats: tuple[Repeat, ...] = ()


class Cause(Record, frozen=True, kw_only=True):
    """One cause of a layer's change in parameters or FLOPs, and its share: `inputs 304→160`, -309,000. Shares sum to the change exactly."""

    text: str
    delta: int


class InputChange(Record, frozen=True, kw_only=True):
    """The modules whose outputs a module takes now and did not take before, by their paths after; and those it takes no longer, by their
    paths after where they have one, else by their paths before."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


ForwardChangeKind = Literal["operators", "arguments", "sizes", "operands", "returns", "call"]


class ForwardChange(Record, frozen=True, kw_only=True):
    """A change of what a module's forward runs: `relu → gelu`, `softmax: dim 1 → -1`, `sub(a, b) → sub(b, a)`; `count` times.

    `kind`: other `operators`; other `arguments` or `sizes` of one; other `operands`, or in another order; the module `returns` something
    else; or it makes another `call` of a module (with other inputs, more often, not at all).
    """

    kind: ForwardChangeKind
    text: str
    count: int = 1


class ModuleDiff(Record, frozen=True, kw_only=True):
    """What happened to one matched module. Rows are one-to-one: every module of each side is in exactly one.

    `causes` divide the change in parameters among the changed sizes of a layer, `flop_causes` that in FLOPs (empty where a layer's FLOPs
    are not the product of its sizes); those of a split or merge are in the row with both sides, and cover all rows of that `change_id`.
    `repeats` are the blocks whose number changed (`repeated`). `cost_change` says why a module without changes has another cost: its
    `calls` (other shapes, or another number), or its own `operators`. `inputs_changed` are the other inputs of a `rewired` module, where
    the path of a module above means the input of that module. `forward_changes` are the changes of what its own forward runs
    (`forward`). These keys are left out of the JSON if they are empty.
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
    flop_causes: tuple[Cause, ...] = ()
    repeats: tuple[Repeat, ...] | msgspec.UnsetType = msgspec.UNSET
    cost_change: Literal["calls", "operators"] | msgspec.UnsetType = msgspec.UNSET
    inputs_changed: InputChange | msgspec.UnsetType = msgspec.UNSET
    forward_changes: tuple[ForwardChange, ...] | msgspec.UnsetType = msgspec.UNSET


class Group(Record, frozen=True, kw_only=True):
    """A named set of modules before and after, and their costs: a section of the breakdown."""

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


# --- what changed in the forward pass ---


FlowPartKind = Literal["module", "operator", "input", "output"]
FlowPartChange = Literal["same", "resized", "rewired", "changed", "added", "removed"]


class FlowPart(Record, frozen=True, kw_only=True):
    """A node of the forward graphs, on either side: a module with everything that runs inside it, an operator between modules (`cat()`, the
    second `cat()#2`), an input or the output. One side is None for what was added or removed.

    `change` says what happened: the module or one inside it `changed`; else its inputs come from other parts (`rewired`: an edge into it
    was added or removed); else only its output has another shape (`resized`). Shapes are those of its last output, in terms of the model's
    input where that is known. Parts with one `change_id` are what one module was split into, or merged from. `uncalled`: the side that is
    None has the module too, and does not call it. `before_paths` and `after_paths` are its modules, `before_nodes` and `after_nodes` the
    ids of the first and the last node that it consists of in that profile's `flow`.
    """

    kind: FlowPartKind
    before: str | None
    after: str | None
    change: FlowPartChange = "same"
    before_shape: tuple[str, ...] | None = None
    after_shape: tuple[str, ...] | None = None
    change_id: int | None = None
    uncalled: bool = False
    before_paths: tuple[str, ...] = ()
    after_paths: tuple[str, ...] = ()
    before_nodes: tuple[int, int] | None = None
    after_nodes: tuple[int, int] | None = None


class FlowEdgeDiff(Record, frozen=True, kw_only=True):
    """One edge of the forward graphs: a tensor that one part outputs and another takes as input, by the parts' names on each side."""

    before: tuple[str, str] | None
    after: tuple[str, str] | None
    change: Literal["same", "resized", "added", "removed"]
    before_shape: tuple[str, ...] | None = None
    after_shape: tuple[str, ...] | None = None


class FlowDiff(Record, frozen=True, kw_only=True):
    """Both forward graphs as one: parts and edges of either, in the order in which after runs them (removed ones last).

    `symbolic` says whether shapes are in terms of the input (B, H, W, T); `sentences` describe the changes. `detail` is the same comparison
    with more modules opened, at the level at which it is drawn; None where that is this level.
    """

    parts: tuple[FlowPart, ...] = ()
    edges: tuple[FlowEdgeDiff, ...] = ()
    symbolic: bool = False
    sentences: tuple[str, ...] = ()
    detail: FlowDiff | None = None


# --- what changed in the definition ---


class InitialisationChange(Record, frozen=True, kw_only=True):
    """A parameter whose initialisation changed, or an added or removed one that is not initialised by its type's default (None).

    A path is None where the side has no such parameter.
    """

    before_path: str | None
    after_path: str | None
    before: str | None = None
    after: str | None = None


class ClassUse(Record, frozen=True, kw_only=True):
    """A class of modules on one side: its name, the library that defines it (empty: the user's own code), and the paths of its modules."""

    name: str
    defined_in: str | None
    paths: tuple[str, ...]
