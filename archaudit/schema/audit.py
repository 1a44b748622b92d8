"""What an audit finds in a model: rules, findings with their price and place, the edits that fix them, and the proof of each fix."""

from __future__ import annotations

from typing import Literal

from archaudit.schema.profile import Cost
from archaudit.schema.record import FORMAT_VERSION, Record, Setting, SourceLine

# How a rule's fix is shown to be right: the outputs of the fixed model are equal, or the rule only advises.
Support = Literal["proof", "advice"]


class Rule(Record, frozen=True, kw_only=True):
    """One rule of the audit. `code` is `AR` and three digits, of which the first is that of its family.

    `summary` says in one line what is wrong, `why` what it costs, `example` is code with the fault, `fix` what to write in its place, and
    `source` where that is known from. A rule with `support` = `proof` has fixes that are proven on the model; `advice` is never proven.
    `off` is the reason why a rule does not run unless it is selected; `note` the reason why it fires on many published models.
    """

    code: str
    name: str
    family: str
    summary: str
    why: str
    example: str
    fix: str
    source: str
    support: Support = "advice"
    off: str = ""
    note: str = ""


# --- edits: what a fix does to a built model ---


class Remove(Record, frozen=True, kw_only=True, tag="remove"):
    """The module at `path` returns its input; its parameters are gone."""

    path: str

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules that the edit changes."""
        return (self.path,)


class Stub(Record, frozen=True, kw_only=True, tag="stub"):
    """The module at `path` computes nothing: it returns zeros in the shape of its outputs. For results that reach no output."""

    path: str

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules that the edit changes."""
        return (self.path,)


class DropTensor(Record, frozen=True, kw_only=True, tag="drop"):
    """The parameter or buffer `tensor` of the module at `path` is gone."""

    path: str
    tensor: str

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules that the edit changes."""
        return (self.path,)


class DropBias(Record, frozen=True, kw_only=True, tag="bias"):
    """The layer at `path` has no bias; the norm at `norm`, which subtracts a mean, takes it out of its running mean."""

    path: str
    norm: str

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules that the edit changes."""
        return self.path, self.norm


class Merge(Record, frozen=True, kw_only=True, tag="merge"):
    """The layer at `second`, which follows the one at `first`, is merged into it: one layer with the product of both weights."""

    first: str
    second: str

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules that the edit changes."""
        return self.first, self.second


class Absorb(Record, frozen=True, kw_only=True, tag="absorb"):
    """The scale and shift of each channel at `path` move into the layers at `layers`, the only ones that read its output.

    `into_previous`: into the one layer before it instead.
    """

    path: str
    layers: tuple[str, ...]
    into_previous: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules that the edit changes."""
        return self.path, *self.layers


class Reuse(Record, frozen=True, kw_only=True, tag="reuse"):
    """Call `call` (from 0) of the module at `path` returns the result of call `of_call` of the module at `of`: the same result."""

    path: str
    call: int
    of: str
    of_call: int

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules that the edit changes."""
        return (self.path,)


class Skip(Record, frozen=True, kw_only=True, tag="skip"):
    """Call `call` (from 0) of the module at `path` returns its input."""

    path: str
    call: int

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules that the edit changes."""
        return (self.path,)


class SkipOperator(Record, frozen=True, kw_only=True, tag="skip_operator"):
    """Run `run` (from 0) of the operator `operator` (`relu`, in place or not) that the module at `path` runs itself returns its input."""

    path: str
    operator: str
    run: int

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules that the edit changes."""
        return (self.path,)


class Tie(Record, frozen=True, kw_only=True, tag="tie"):
    """The tensor with the full name `tensor` becomes the tensor `to`."""

    tensor: str
    to: str

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules that the edit changes."""
        return (self.tensor.rpartition(".")[0],)


Edit = Remove | Stub | DropTensor | DropBias | Merge | Absorb | Reuse | Skip | SkipOperator | Tie


# --- findings ---


class FixProof(Record, frozen=True, kw_only=True):
    """Whether the model with a fix computes the same on random inputs.

    `bitwise`: all values are equal bit for bit; else `max_difference` is the largest difference, within `tolerance`, relative to the
    largest output. `not run`: the models were not run, for the `reason` given.
    """

    outcome: Literal["proven", "refuted", "not run"]
    reason: str
    bitwise: bool | None = None
    max_difference: float | None = None
    tolerance: float | None = None
    dtype: str | None = None


class Finding(Record, frozen=True, kw_only=True):
    """One fault: the rule's `code`, the module at `path`, what is wrong there (`message`) and what to do (`fix`).

    `cost` is what it costs: what the fixed model saves, if `measured`, else the parameters, FLOPs and bytes of what is at fault. `key`
    distinguishes several findings of a rule in one module. `place` is the source line that makes the module. `suppressed` is the reason of
    the suppression, if there is one.
    """

    code: str
    path: str
    message: str
    fix: str
    key: str = ""
    cost: Cost = Cost()
    measured: bool = False
    place: SourceLine | None = None
    edits: tuple[Edit, ...] = ()
    proof: FixProof | None = None
    suppressed: str | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes it the same finding in another version of the model."""
        return self.code, self.path, self.key


class Audit(Record, frozen=True, kw_only=True):
    """The findings in one model, the most expensive first, and those that are suppressed, with their reasons.

    `rules` are the codes that were judged; `not_judged` has the reason for each other code that is selected. `saving` is what the model
    with all fixes saves, None if it was not measured. `invalid` are suppressions without a reason or of an unknown code, with their places.
    """

    format_version: int = FORMAT_VERSION
    name: str
    reference: str
    totals: Cost
    findings: tuple[Finding, ...]
    suppressed: tuple[Finding, ...] = ()
    rules: tuple[str, ...] = ()
    not_judged: dict[str, str] = {}
    saving: Cost | None = None
    invalid: tuple[str, ...] = ()


class AuditChange(Record, frozen=True, kw_only=True):
    """What a change does to the findings: those that are `introduced` after, those of before that are `resolved`, and how many there are.

    `not_judged` has the reason for each rule that could not be judged on one of the sides.
    """

    before: int
    after: int
    introduced: tuple[Finding, ...] = ()
    resolved: tuple[Finding, ...] = ()
    not_judged: dict[str, str] = {}


# --- what is known of the built model besides its profile ---


class Directive(Record, frozen=True, kw_only=True):
    """A comment `# archaudit: ignore[AR103] reason` in the source of a module, for the codes in it."""

    codes: tuple[str, ...]
    reason: str
    place: SourceLine


class Inspection(Record, frozen=True, kw_only=True):
    """What the built model shows besides its profile.

    `places` has the line that makes each module, by path, and `directives` the comments there. `trained`: a forward pass in training mode
    ran; then `called_in_training` are the modules that it called, `read_in_training` the tensors that it read, and `without_gradient` the
    trainable parameters that it read and that no gradient from any output reaches. `facts` are attributes of the model by name, such as
    `tie_word_embeddings`; `shared_memory` are groups of different parameters that share memory; `copies` pairs of a parameter and the one
    that it was copied from.
    """

    places: dict[str, SourceLine] = {}
    directives: dict[str, tuple[Directive, ...]] = {}
    trained: bool = False
    reason: str = ""
    called_in_training: frozenset[str] = frozenset()
    read_in_training: frozenset[str] = frozenset()
    without_gradient: tuple[str, ...] = ()
    facts: dict[str, Setting] = {}
    shared_memory: tuple[tuple[str, ...], ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
