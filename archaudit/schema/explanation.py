"""How one number came about."""

from __future__ import annotations

from archaudit.schema.record import OperatorStatus, Record, Shape


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
