"""The rows of the answer on one screen."""

from __future__ import annotations

from typing import Literal

from archaudit.render.view.figures import Figure, Trend
from archaudit.render.view.records import Conclusion
from archaudit.schema import Record

# The unit of compute in the tables: FLOPs, or MACs (half as many).
Units = Literal["flops", "macs"]
UNIT_LABELS: dict[str, str] = {"flops": "FLOPs", "macs": "MACs"}


def read_compute(flops: int, units: Units) -> int:
    """FLOPs in the unit of the tables."""
    return flops if units == "flops" else flops // 2


class ScreenTotal(Record, frozen=True, kw_only=True):
    """One total of both models, or of one (`trend` has then no after); params are exact, all else has three digits."""

    label: str
    trend: Trend
    note: str = ""
    exact: bool = False


class ScreenChange(Record, frozen=True, kw_only=True):
    """A section, or modules that changed in the same way: what it costs before and after, and `detail`, what was done to it.

    `weight` is its share of the change; the heaviest rows are shown. `kind` is the style of its line.
    """

    name: str
    params: Trend
    compute: Trend
    detail: str = ""
    kind: str = ""
    weight: float = 0.0


class Alert(Record, frozen=True, kw_only=True):
    """A fact that a reader must not miss: a failed check, a false claim, a count that is incomplete. `brief` has one line's worth of it."""

    text: str
    style: str
    brief: str = ""


class ReportScreen(Record, frozen=True, kw_only=True):
    """A comparison in as few rows as the whole truth takes. `conclusion` is None where no check was requested.

    `changes` are in the order of the model; `heading` says what they are. `unchanged` counts what the table leaves out because nothing
    about it changed. `forward` are the changes of what modules run.
    """

    title: str
    inputs: tuple[str, ...]
    conclusion: Conclusion | None
    sentences: tuple[str, ...]
    totals: tuple[ScreenTotal, ...]
    heading: str
    changes: tuple[ScreenChange, ...]
    unchanged: int
    modules: str
    forward: tuple[str, ...]
    alerts: tuple[Alert, ...]
    hints: tuple[str, ...]
    unit: str


class ScreenModule(Record, frozen=True, kw_only=True):
    """A module of a single model in the tree. `children` are positions of rows; `weight` is its share of the model."""

    name: str
    type: str
    shape: str
    params: Figure
    macs: Figure
    flops: Figure
    share: str
    depth: int
    children: tuple[int, ...]
    weight: float


class ProfileScreen(Record, frozen=True, kw_only=True):
    """A model in few rows: its modules as a tree, the root first, then the totals."""

    title: str
    inputs: tuple[str, ...]
    modules: tuple[ScreenModule, ...]
    totals: tuple[ScreenTotal, ...]
    alerts: tuple[Alert, ...]
    hints: tuple[str, ...]
