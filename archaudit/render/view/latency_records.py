"""The records of the latency section: totals with their reconciliation, the verdict, where the time goes, and the roofline."""

from __future__ import annotations

from archaudit.schema import Record


class TimingRow(Record, frozen=True, kw_only=True):
    """One time of the whole models in milliseconds; `ratio` says how much faster or slower after is, `note` what it is."""

    label: str
    values: tuple[str, ...]
    ratio: str
    note: str = ""


class SpentRow(Record, frozen=True, kw_only=True):
    """What one module spends in its own operators: its share of the layers' sum, what it achieves, and what bounds it."""

    side: str
    path: str
    own: str
    share: str
    intensity: str
    flops_per_s: str
    bytes_per_s: str
    bound: str


class RooflinePoint(Record, frozen=True, kw_only=True):
    """A module in the roofline: `left` and `top` are per cent of the plot, `size` its share of the time; `kind` is `before` or `after`.

    `label_left` says that its label stands to the left of it, where there is no room to the right."""

    kind: str
    left: float
    top: float
    size: float
    title: str
    label: str = ""
    label_left: bool = False


class RooflineTick(Record, frozen=True, kw_only=True):
    """A mark on an axis: where (per cent), and its text."""

    place: float
    text: str


class Roofline(Record, frozen=True, kw_only=True):
    """Achieved FLOP/s over FLOPs a byte, both logarithmic. `roof` is the ceiling as points (per cent), `alt` tells it in words."""

    alt: str
    roof: tuple[tuple[float, float], ...]
    roof_texts: tuple[str, str]
    across: tuple[RooflineTick, ...]
    up: tuple[RooflineTick, ...]
    points: tuple[RooflinePoint, ...]


class Timing(Record, frozen=True, kw_only=True):
    """The latency section below the table of sides. `heads` name the columns of `rows`; `judgement` is the verdict in sentences."""

    source: str
    heads: tuple[str, ...]
    rows: tuple[TimingRow, ...]
    judgement: tuple[str, ...]
    sentences: tuple[str, ...]
    spent: tuple[SpentRow, ...]
    roofline: Roofline | None
    notes: tuple[str, ...]
