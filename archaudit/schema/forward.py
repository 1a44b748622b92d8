"""What changed in the forward pass."""

from __future__ import annotations

from typing import Literal

from archaudit.schema.record import Record


class FlowPart(Record, frozen=True, kw_only=True):
    """A node of the forward graph as it is compared, on either side: a module with all that runs inside it, an operator between modules
    (`cat()`, the second `cat()#2`), an input or an output. One side is None for what is new or gone. Shapes are those of what it gives
    last, in terms of the input where that is known; those that share a `change_id` are what one module was split into, or merged from.
    `uncalled`: the side that is None has the module too, and does not call it."""

    kind: Literal["module", "operator", "input", "output"]
    before: str | None
    after: str | None
    before_shape: tuple[str, ...] | None = None
    after_shape: tuple[str, ...] | None = None
    change_id: int | None = None
    uncalled: bool = False


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
