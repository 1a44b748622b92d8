"""The records of a conformance run: a case with its answer, a counter's answer, and the judgement."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from msgspec import field

from archaudit.schema import Record

if TYPE_CHECKING:
    from torch import nn

CaseOutcome = Literal["right", "convention", "wrong", "zero", "incomplete", "error"]


class Case(Record, frozen=True, kw_only=True):
    """A small model and its answer, worked out by hand.

    `params` counts unique parameters (of a lazy model: after it is materialised); `macs` the multiply-accumulates of one forward pass in
    eval mode, by the convention of `schema.Cost`. The answers are arithmetic written beside the model, never the output of a counter.

    `shows` says in one sentence what a counter must get right. `build`, `args` and `kwargs` make the model and its inputs anew at each
    call, on the device that `torch.device(...)` sets. `modules` maps a path to the module's own params and its total MACs.

    `macs` is None where no number is right: with `expects_incomplete` a counter must say that its count is incomplete; with `raises` the
    forward pass fails, and so must the counter. With `may_be_incomplete` both the number and "incomplete" are right. `by_convention` lists
    other answers that differ from `macs` only by convention: arithmetic of bias, norm, pooling or resizing added, or a product of several
    factors counted in another way.
    `needs_real` marks a model that cannot run on the meta device. `train` marks a model that is handed over in training mode, as it is
    built; all others are put into eval mode. `exists` says whether this release of torch has everything that the model needs.
    """

    name: str
    shows: str
    build: Callable[[], nn.Module]
    args: Callable[[], tuple[Any, ...]] = tuple
    kwargs: Callable[[], dict[str, Any]] = dict
    params: int
    macs: int | None = None
    by_convention: tuple[int, ...] = ()
    modules: dict[str, tuple[int, int]] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    expects_incomplete: bool = False
    may_be_incomplete: bool = False
    raises: bool = False
    needs_real: bool = False
    train: bool = False
    exists: Callable[[], bool] = lambda: True

    def __post_init__(self) -> None:
        if (self.macs is None) != (self.expects_incomplete or self.raises):
            raise ValueError(f"{self.name}: macs must be given, unless the case expects an incomplete count or an error")


class Count(Record, frozen=True, kw_only=True):
    """A counter's answer for one model; None where it gives no number.

    `complete` False withdraws the MACs: part of the work is not counted. `skipped` are operators that the counter lists as not counted
    although it gives a number; harmless ones may be among them. `modules` maps a path to own params and total MACs; None if the counter
    has no figures by module.
    """

    params: int | None = None
    macs: int | None = None
    complete: bool = True
    skipped: tuple[str, ...] = ()
    modules: dict[str, tuple[int, int]] | None = None


Counter = Callable[[Callable[[], "nn.Module"], tuple[Any, ...], dict[str, Any]], Count]
"""A counter under test: takes a builder of the model, its arguments and keyword arguments (real tensors); returns a Count or raises."""


class CaseResult(Record, frozen=True, kw_only=True):
    """One counter on one case.

    right: the answer of the case. convention: differs only by arithmetic of bias, norm or pooling. wrong: another number of parameters or
    MACs, of the model or of a module. zero: 0 MACs where there are some. incomplete: no right number, and the counter says so. error: it
    raised although the model can be run. `dirt` lists what the counter left changed, for any answer.
    """

    case: str
    counter: str
    outcome: CaseOutcome
    reason: str = ""
    params: int | None = None
    macs: int | None = None
    dirt: tuple[str, ...] = ()


class Score(Record, frozen=True, kw_only=True):
    """One counter on all cases: cases by outcome, and `dirty`, the cases after which something was left changed."""

    counter: str
    cases: int
    right: int = 0
    convention: int = 0
    wrong: int = 0
    zero: int = 0
    incomplete: int = 0
    error: int = 0
    dirty: int = 0
