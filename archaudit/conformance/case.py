"""The records of the battery: a case with its answer, a counter's answer, and what was made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from msgspec import field

from archaudit.schema import Record

if TYPE_CHECKING:
    from torch import nn

CaseOutcome = Literal["right", "convention", "wrong", "zero", "incomplete", "error"]


class Case(Record, frozen=True, kw_only=True):
    """A small model and its hand-worked answer.

    `params` are unique parameters (of a lazy model: once materialised); `macs` the multiply-accumulates of one eval-mode forward pass, by
    the convention of `schema.Cost`. The answers are arithmetic written beside the model, never a counter's output.

    `shows` says in one sentence what a counter must get right. `build` and `args`/`kwargs` make the model and its inputs anew at each
    call, on whatever device `torch.device(...)` names. `modules` maps a path to its own params and its total MACs.

    `macs` is None where no number is right: with `expects_incomplete` a counter must say that its count is incomplete, with `raises`
    the forward pass fails and the counter must too. With `may_be_incomplete` both the number and "incomplete" are right. `by_convention`
    are other answers that differ from `macs` only by convention: bias, norm, pooling or resizing arithmetic added, or one product
    summed up in another way.
    `needs_real` marks a model that cannot run on the meta device; `train` one that is handed over as it is built, in
    training mode; all others are put into eval mode. `exists` says whether this torch has what the model is made of.
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
    """What a counter says of one model; None where it says nothing.

    `complete` False withdraws the MACs: they are not the whole. `doubts` are operators that the counter names as left out while still
    giving a number; it may name harmless ones too. `modules` maps a path to own params and total MACs; None if the counter has no
    such rows.
    """

    params: int | None = None
    macs: int | None = None
    complete: bool = True
    doubts: tuple[str, ...] = ()
    modules: dict[str, tuple[int, int]] | None = None


Counter = Callable[[Callable[[], "nn.Module"], tuple[Any, ...], dict[str, Any]], Count]
"""A counter under test: from a builder of the model, its arguments and keyword arguments (real tensors) to a Count, or an exception."""


class CaseResult(Record, frozen=True, kw_only=True):
    """One counter on one case.

    right: as the case says. convention: differs only by bias, norm or pooling arithmetic. wrong: another number, of parameters,
    MACs or a module's share. zero: 0 MACs where there are some. incomplete: no right number, and it said so. error: it raised where a
    model can be run. `dirt` lists what the counter left changed, whatever its answer.
    """

    case: str
    counter: str
    outcome: CaseOutcome
    reason: str = ""
    params: int | None = None
    macs: int | None = None
    dirt: tuple[str, ...] = ()


class Score(Record, frozen=True, kw_only=True):
    """How one counter did over the battery: cases by outcome, and cases after which something was left changed."""

    counter: str
    cases: int
    right: int = 0
    convention: int = 0
    wrong: int = 0
    zero: int = 0
    incomplete: int = 0
    error: int = 0
    dirty: int = 0
