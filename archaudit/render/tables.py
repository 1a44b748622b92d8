"""The columns of each table of the text report, in order, with the rank by which columns are dropped when room is short."""

from __future__ import annotations

from collections.abc import Sequence

from archaudit.render.layout import TextColumn, choose_columns, fits
from archaudit.render.view.figures import Figure, Sides, Trend
from archaudit.render.view.method_records import HotspotRow, TimingRow
from archaudit.render.view.records import CheckRow, ClaimRow, GapRow, LayerRow, LayerTable, MetricRow, SectionRow, TotalRow

# Paths and types are shortened to these widths at most: less would not distinguish modules.
_LEAST_PATH = 23
_LEAST_TYPE = 12


def make_metric_columns(rows: Sequence[MetricRow]) -> list[TextColumn]:
    """The totals with three digits, and exact in further columns if there is room."""
    trends = [row.trend for row in rows]
    label = TextColumn("", tuple(row.label for row in rows))
    exact = [column._replace(rank=3, group="exact") for column in _side_columns(trends, exact=True)]
    return [label, *_side_columns(trends, exact=False), _percent(trends, 1), _ratio(trends)._replace(rank=2), *exact]


def make_total_columns(rows: Sequence[TotalRow]) -> list[TextColumn]:
    """The totals of one model."""
    return [
        TextColumn("", tuple(row.label for row in rows), least=16),
        TextColumn("", tuple(row.value.short for row in rows), right=True),
        TextColumn("exact", tuple(row.value.exact for row in rows), rank=1, right=True),
        TextColumn("", tuple(row.note for row in rows), rank=2),
    ]


def make_section_columns(rows: Sequence[SectionRow], unit: str) -> list[TextColumn]:
    """The breakdown: parameters exact, FLOPs (or MACs, as `unit` says) short."""
    params = [row.params for row in rows]
    flops = [row.flops.sides for row in rows]
    return [
        TextColumn("section", tuple(row.name for row in rows), least=16),
        _column("before", [trend.sides.before for trend in params], exact=True, group="params"),
        _column("after", [trend.sides.after for trend in params], exact=True, group="params"),
        _column("delta", [trend.sides.delta for trend in params], exact=True, rank=3, group="params"),
        _percent(params, 2)._replace(group="params"),
        _ratio(params)._replace(group="params"),
        _column("before", [sides.before for sides in flops], exact=False, rank=1, group=unit),
        _column("after", [sides.after for sides in flops], exact=False, rank=1, group=unit),
    ]


def make_check_columns(rows: Sequence[CheckRow], width: int) -> list[TextColumn]:
    """Budgets and baselines. Limits as written in the config, or only as numbers if room is short."""
    verdict = TextColumn("", tuple(f"{row.symbol} {row.outcome}" + (f" ({row.level})" if row.level else "") for row in rows))
    check = TextColumn("check", tuple(row.id for row in rows), least=20)
    about = TextColumn("metric", tuple(row.what for row in rows), rank=2, least=24)
    limit = TextColumn("limit", tuple(row.expected for row in rows))
    measured = TextColumn("measured", tuple(row.actual for row in rows), right=True)
    if fits([verdict, check, limit, measured], width):
        return [verdict, check, about, limit, measured]
    bound = TextColumn("limit", tuple(row.bound for row in rows), rank=1)
    return [verdict, check, bound, measured._replace(cells=tuple(row.plain for row in rows))]


def make_claim_columns(rows: Sequence[ClaimRow]) -> list[TextColumn]:
    """The claims of documents."""
    return [
        TextColumn("", tuple(f"{row.symbol} {row.finding}" for row in rows)),
        TextColumn("document says", tuple(row.figure for row in rows), least=13),
        TextColumn("measured", tuple(row.measured for row in rows), right=True),
        TextColumn("metric", tuple(row.what for row in rows), least=26),
        TextColumn("", tuple(row.expected for row in rows), rank=1),
        TextColumn("read as", tuple(row.reading for row in rows), rank=3, least=12),
        TextColumn("source", tuple(row.source for row in rows), rank=2, least=12),
    ]


def make_layer_time_columns(table: LayerTable) -> list[TextColumn]:
    """Every module with its FLOPs and its time, indented by depth."""
    rows = table.tree
    return [
        TextColumn("module", tuple(f"{'  ' * min(row.depth, 6)}{row.name}" for row in rows), least=_LEAST_PATH),
        TextColumn("type", tuple(row.row.type for row in rows), rank=2, least=_LEAST_TYPE),
        *_figure_columns(table, "flops", table.label_of("flops")),
        *_figure_columns(table, "latency", "ms"),
    ]


def _figure_columns(table: LayerTable, key: str, label: str) -> list[TextColumn]:
    headings = next((group.columns for group in table.groups if group.key == key), ())
    found = [
        _column(heading, [row.row.figures[position] for row in table.tree], exact=False, group=label)
        for heading, position in zip(headings, table.columns_of(key), strict=True)
    ]
    return [column for column in found if column.heading != "delta"]


def make_timing_columns(heads: Sequence[str], rows: Sequence[TimingRow]) -> list[TextColumn]:
    """The times of the whole pass and the sum of the layers."""
    values = [TextColumn(head, tuple(row.values[place] for row in rows), right=True) for place, head in enumerate(heads)]
    ratio = [TextColumn("ratio", tuple(row.ratio for row in rows), right=True)] if len(heads) == 2 else []
    return [TextColumn("", tuple(row.label for row in rows), least=16), *values, *ratio]


def make_hotspot_columns(rows: Sequence[HotspotRow]) -> list[TextColumn]:
    """The layers with the longest own time."""
    paths = tuple(f"{row.side}: {row.path}" if row.side else row.path for row in rows)
    return [
        TextColumn("module", paths, least=_LEAST_PATH),
        TextColumn("ms", tuple(row.own for row in rows), right=True),
        TextColumn("share", tuple(row.share for row in rows), right=True),
        TextColumn("FLOPs/byte", tuple(row.intensity for row in rows), rank=2, right=True),
        TextColumn("", tuple(row.flops_per_s for row in rows), rank=2, right=True),
        TextColumn("", tuple(row.bytes_per_s for row in rows), rank=2, right=True),
        TextColumn("bound", tuple(row.bound for row in rows), rank=1, least=14),
    ]


def make_layer_columns(table: LayerTable, width: int) -> list[TextColumn]:
    """Every changed module: parameters exact if the columns of rank 0 then still fit, else short."""
    rows = table.brief
    paths = tuple(row.label if isinstance(row, GapRow) else _mark(row) for row in rows)
    types = tuple(row.inside if isinstance(row, GapRow) else row.type for row in rows)
    shapes = tuple("" if isinstance(row, GapRow) else row.shape_short for row in rows)
    for exact in (True, False):
        columns = [
            TextColumn("module", paths, least=_LEAST_PATH),
            TextColumn("type", types, rank=3, least=_LEAST_TYPE),
            TextColumn("output", shapes, rank=4, least=_LEAST_TYPE),
            *_cost_columns(table, "params", "params", exact, 0),
            *_cost_columns(table, "flops", table.label_of("flops"), False, 2),
            *_cost_columns(table, "latency", "ms", False, 1),
        ]
        if fits(choose_columns(columns, width), width):
            break
    return columns


def _mark(row: LayerRow) -> str:
    return f"{row.mark} {row.path}" if row.mark else row.path


def _cost_columns(table: LayerTable, key: str, label: str, exact: bool, rank: int) -> list[TextColumn]:
    """The columns of one group under its label. Only the delta stays if room is short."""
    headings = next((group.columns for group in table.groups if group.key == key), ())
    columns: list[TextColumn] = []
    for heading, position in zip(headings, table.columns_of(key), strict=True):
        figures = [row.figures[position] for row in table.brief]
        stays = heading == "delta" or len(headings) == 1
        columns.append(_column(heading, figures, exact=exact, rank=0 if stays else rank, group=label))
    return columns


def _side_columns(trends: Sequence[Trend], *, exact: bool, rank: int = 0) -> list[TextColumn]:
    sides: list[Sides] = [trend.sides for trend in trends]
    return [
        _column("before", [each.before for each in sides], exact=exact),
        _column("after", [each.after for each in sides], exact=exact),
        _column("delta", [each.delta for each in sides], exact=exact, rank=rank),
    ]


def _percent(trends: Sequence[Trend], rank: int) -> TextColumn:
    return TextColumn("change", tuple(trend.percent for trend in trends), rank=rank, right=True)


def _ratio(trends: Sequence[Trend]) -> TextColumn:
    return TextColumn("ratio", tuple(trend.ratio for trend in trends), right=True)


def _column(heading: str, figures: Sequence[Figure], *, exact: bool, rank: int = 0, group: str = "") -> TextColumn:
    return TextColumn(heading, tuple(figure.exact if exact else figure.short for figure in figures), rank=rank, right=True, group=group)
