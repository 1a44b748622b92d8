"""A whole Report or Profile as text, in reading order."""

from __future__ import annotations

from archaudit.render.view.drawing_records import Flow, IciclePair, Waterfall
from archaudit.render.view.records import (
    CheckRow,
    ClaimRow,
    Conclusion,
    FactRow,
    Footing,
    Headline,
    LayerTable,
    MetricRow,
    SectionRow,
    TotalRow,
)
from archaudit.schema import Record


class ReportView(Record, frozen=True, kw_only=True):
    """A Report as text, in reading order."""

    headline: Headline
    metrics: tuple[MetricRow, ...]
    sections: tuple[SectionRow, ...]
    checks: tuple[CheckRow, ...]
    claims: tuple[ClaimRow, ...]
    layers: LayerTable
    waterfalls: tuple[Waterfall, ...]
    flow: Flow
    icicles: tuple[IciclePair, ...]
    also: tuple[FactRow, ...]
    footing: Footing


class ProfileView(Record, frozen=True, kw_only=True):
    """A Profile as text, in reading order."""

    title: str
    reference: str
    inputs: tuple[str, ...]
    totals: tuple[TotalRow, ...]
    layers: LayerTable
    flow: Flow
    icicles: tuple[IciclePair, ...]
    footing: Footing


class DifferenceView(Record, frozen=True, kw_only=True):
    """How one model differs from its baseline, as text."""

    name: str
    sentence: str
    layers: LayerTable
    flow: Flow


class JudgementView(Record, frozen=True, kw_only=True):
    """A Judgement as text, in reading order."""

    checks: tuple[CheckRow, ...]
    claims: tuple[ClaimRow, ...]
    differences: tuple[DifferenceView, ...]
    conclusion: Conclusion
