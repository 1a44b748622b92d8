"""The rows that say how the numbers were made: other counters, operator coverage, timing, facts about both sides, conventions."""

from __future__ import annotations

from archaudit.render.view.figures import Figure
from archaudit.schema import Record


class Difference(Record, frozen=True, kw_only=True):
    """One reason why another counter's MACs differ from archaudit's, and by how many; `where` names the operators or modules."""

    label: str
    macs: Figure
    where: str
    explained: bool = True


class CounterRow(Record, frozen=True, kw_only=True):
    """What another counter counts for the whole of one side, and why that differs. `absent` is why it has no numbers."""

    side: str
    name: str
    params: str = ""
    params_note: str = ""
    macs: Figure = Figure()
    difference: Figure = Figure()
    summary: str = ""
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    absent: str = ""


class LedgerRow(Record, frozen=True, kw_only=True):
    """How many operator calls of one side were counted. `unknown` describes the operators without a formula."""

    side: str
    line: str
    complete: bool
    unknown: tuple[str, ...] = ()


class FactRow(Record, frozen=True, kw_only=True):
    """A sentence about one side (empty: about both): an assumption, a tie, a version. `kind` is what it is about."""

    side: str
    kind: str
    text: str


# --- timing -----------------------------------------------------------------------------------------------------------


class LatencyRow(Record, frozen=True, kw_only=True):
    """How one side was timed, and the median with its quartiles in milliseconds; `line` has all of it in one line."""

    side: str
    median: str
    quartiles: str
    samples: str
    device: str
    method: str
    line: str


class TimingRow(Record, frozen=True, kw_only=True):
    """One time of the whole models in milliseconds; `ratio` says how much faster or slower after is, `note` how the time is defined."""

    label: str
    values: tuple[str, ...]
    ratio: str
    note: str = ""


class HotspotRow(Record, frozen=True, kw_only=True):
    """The own time of one module: its share of the sum of all layers, what it achieves, and what bounds it."""

    side: str
    path: str
    own: str
    share: str
    intensity: str
    flops_per_s: str
    bytes_per_s: str
    bound: str


class RooflinePoint(Record, frozen=True, kw_only=True):
    """A module in the roofline plot. `kind` is `before` or `after`.

    `left` and `top` are per cent of the plot, `size` is 0 to 1. `label_left`: the label is on the left, because the right has no room.
    """

    kind: str
    left: float
    top: float
    size: float
    title: str
    label: str = ""
    label_left: bool = False


class RooflineTick(Record, frozen=True, kw_only=True):
    """A tick of an axis: its position in per cent, and its text."""

    place: float
    text: str


class Roofline(Record, frozen=True, kw_only=True):
    """Achieved FLOP/s over FLOPs per byte, both logarithmic. `roof` is the ceiling as points (per cent), `alt` the plot in words."""

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
    hotspots: tuple[HotspotRow, ...]
    roofline: Roofline | None
    notes: tuple[str, ...]


# --- all of them ------------------------------------------------------------------------------------------------------


class Methods(Record, frozen=True, kw_only=True):
    """How the numbers were made: other counters, operator coverage, timing, facts about the sides, and the counting conventions."""

    other_counters: tuple[CounterRow, ...]
    counters_note: str
    ledger: tuple[LedgerRow, ...]
    latency: tuple[LatencyRow, ...]
    latency_note: str
    timing: Timing | None
    ties: tuple[FactRow, ...]
    assumptions: tuple[FactRow, ...]
    provenance: tuple[FactRow, ...]
    conventions: tuple[str, ...]
