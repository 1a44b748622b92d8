"""The rows of text of the section on a training step."""

from __future__ import annotations

from archaudit.schema import Record


class TrainingTable(Record, frozen=True, kw_only=True):
    """A table of texts; the first `texts` columns are names, the others numbers."""

    label: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1


class Area(Record, frozen=True, kw_only=True):
    """The area of one category of memory: its corners in pixels, as SVG's `points`."""

    name: str
    color: str
    points: str


class MemoryCurve(Record, frozen=True, kw_only=True):
    """The live bytes over a step: stacked areas with the numbers at the axes, and `blocks`, the same in characters."""

    side: str
    label: str
    alt: str
    areas: tuple[Area, ...]
    peak_x: float
    peak_y: float
    peak_label: str
    y_ticks: tuple[tuple[float, str], ...]
    x_ticks: tuple[tuple[float, str], ...]
    blocks: str


class TrainingView(Record, frozen=True, kw_only=True):
    """The section on a training step, in reading order."""

    sentences: tuple[str, ...]
    tables: tuple[TrainingTable, ...]
    curves: tuple[MemoryCurve, ...]
    notes: tuple[str, ...] = ()
