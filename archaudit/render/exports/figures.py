"""Figures as SVG files: self-contained, for screen and print. Colours are never the only sign: lines differ in style, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from archaudit.errors import ArchauditError
from archaudit.render.diagram import NO_PROGRAM, Placed, place_diagram
from archaudit.render.formatting import count
from archaudit.render.layout import shorten
from archaudit.render.view.drawing_records import Flow
from archaudit.render.view.figures import Trend
from archaudit.render.view.flow_diagram import view_flow, view_profile_flow
from archaudit.render.view.plots import HEIGHT, TOP, WIDTH, Plot
from archaudit.render.view.screen import view_screen
from archaudit.render.view.screen_records import ScreenChange
from archaudit.render.view.summary import name_comparison, name_profile
from archaudit.render.view.sweeps import view_sweep
from archaudit.schema import Profile, Report, Sweep

_STYLE = (
    "text{font:11px Helvetica,Arial,sans-serif;fill:#1a2129}"
    ".title{font-size:15px;font-weight:bold}.head{font-size:12px;font-weight:bold}.small{font-size:10px;fill:#48535e}"
    ".name{font:12px Menlo,Consolas,'DejaVu Sans Mono',monospace}.box text{text-anchor:middle}"
    "rect{fill:#fff;stroke:#48535e}.operator rect,.input rect{fill:#f1f4f7}"
    ".added rect{fill:#e4f4ea;stroke:#11703a;stroke-width:2.5}.added .is{fill:#11703a;font-weight:bold}"
    ".removed rect{fill:#fde8e6;stroke:#b3261e;stroke-width:1.5;stroke-dasharray:5 3}.removed .is{fill:#b3261e;font-weight:bold}"
    ".changed rect{fill:#fdf1dc;stroke:#8a5300;stroke-width:1.5}.changed .is{fill:#8a5300;font-weight:bold}"
    ".edge path{fill:none;stroke:#48535e}.edge polygon{fill:#48535e}"
    ".edge.added path{stroke:#11703a;stroke-width:2.5}.edge.added polygon{fill:#11703a}"
    ".edge.removed path{stroke:#b3261e;stroke-dasharray:5 3}.edge.removed polygon{fill:#b3261e}"
    ".axis{stroke:#9aa5b0}.front{fill:none;stroke:#48535e}.dot{fill:#fff;stroke:#1a2129}.dot.best{fill:#1a2129}"
    ".before{fill:#b4bec8;stroke:none}.after{fill:#0b5cad;stroke:none}"
)
_MARGIN, _GAP, _TOP = 16, 40, 64
_CHARACTER = 8  # pixels of a character in a title, about
_LEAST_WIDTH = 420
_LEGEND = (("added", "+ added"), ("removed", "- removed"), ("changed", "~ changed"))
# A chart of bars, where a model has too many steps for a diagram: sizes in pixels.
_BAR, _BAR_ROW, _BAR_WIDTH, _LABEL_WIDTH = 9, 30, 300, 210
_LONGEST_LABEL = 30
# The marks and lines of a plot's series, and its legend.
_RADIUS = 4
_DASHES = ("", "5 3", "2 3", "8 3 2 3")
_SERIES_WIDTH, _SERIES_PER_ROW = 160, 4
# A figure of a page of text has room for so many.
_MOST_BARS = 16


def draw(record: Report | Profile | Sweep) -> str:
    """The figure of a comparison, a model or a sweep. Raises ArchauditError where there is nothing to draw."""
    if isinstance(record, Report):
        return draw_report(record)
    return draw_sweep(record) if isinstance(record, Sweep) else draw_profile(record)


def draw_report(report: Report) -> str:
    """What changed between two models: their data flow next to each other, or bars of the sections where it has too many steps to read."""
    title = name_comparison(report.before, report.after)
    flow = view_flow(report)
    placed = _place(flow)
    if placed is not None:
        return _write_flow(title, flow, placed)
    screen = view_screen(report)
    if not screen.changes:
        raise ArchauditError(f"there is nothing to draw: {flow.message or NO_PROGRAM}")
    return _write_bars(title, screen.changes, screen.unit)


def draw_profile(profile: Profile) -> str:
    """The data flow of one model. Raises ArchauditError where it has too many steps to read, or was not recorded."""
    flow = view_profile_flow(profile)
    placed = _place(flow)
    if placed is None:
        raise ArchauditError(f"there is no figure: {flow.message or NO_PROGRAM}", "Use --format csv or latex for its layers.")
    return _write_flow(name_profile(profile), flow, placed)


def draw_sweep(sweep: Sweep) -> str:
    """Two metrics of the variants, and the Pareto front. Raises ArchauditError where fewer than two variants were measured."""
    view = view_sweep(sweep)
    if not view.plots:
        raise ArchauditError("a plot needs two variants that were measured")
    return _write_plot(view.title, view.plots[0])


def _place(flow: Flow) -> list[Placed] | None:
    placed = [place_diagram(diagram) for diagram in flow.diagrams]
    whole = [each for each in placed if each is not None]
    return whole if whole and len(whole) == len(placed) else None


def _write_svg(title: str, alt: str, width: int, height: int, parts: Iterator[str]) -> str:
    width = max(width, _LEAST_WIDTH)
    body = "\n".join(parts)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(alt)}</desc>\n<style>{_STYLE}</style>\n"
        f'<rect width="{width}" height="{height}" style="stroke:none"/>\n'
        f'<text class="title" x="{_MARGIN}" y="26">{escape(shorten(title, max(width, _LEAST_WIDTH) // _CHARACTER))}</text>\n'
        f"{body}\n</svg>\n"
    )


# --- data flow --------------------------------------------------------------------------------------------------------


def _write_flow(title: str, flow: Flow, placed: Sequence[Placed]) -> str:
    width = 2 * _MARGIN + sum(each.width for each in placed) + _GAP * (len(placed) - 1)
    height = _TOP + max(each.height for each in placed) + 2 * _MARGIN + (20 if len(placed) > 1 else 0)
    alt = " ".join(diagram.alt for diagram in flow.diagrams)

    def write() -> Iterator[str]:
        x = _MARGIN
        for diagram, each in zip(flow.diagrams, placed, strict=True):
            head = f"{diagram.side}: {diagram.title}" if diagram.side else diagram.title
            yield f'<text class="head" x="{x + 6}" y="{_TOP - 10}">{escape(head)}</text>'
            yield f'<g transform="translate({x},{_TOP})">'
            yield from _write_edges(each)
            yield from _write_boxes(each)
            yield "</g>"
            x += each.width + _GAP
        if len(placed) > 1:
            yield from _write_legend(height - _MARGIN - 6)

    return _write_svg(title, alt, width, height, write())


def _write_edges(placed: Placed) -> Iterator[str]:
    for edge in placed.edges:
        kind = f"edge {edge.state}".strip()
        yield f'<g class="{kind}"><path d="{edge.path}"/><polygon points="{edge.head}"/></g>'


def _write_boxes(placed: Placed) -> Iterator[str]:
    for each in placed.boxes:
        centre = each.x + each.width // 2
        kind = " ".join(filter(None, ("box", each.box.kind, each.box.state)))
        corner = 6 if each.box.kind == "module" else 16
        lines = "".join(
            f'<text class="{"is" if style.startswith("is") else "small"}" x="{centre}" y="{each.y + top}">{escape(text)}</text>'
            for top, style, text in each.lines
        )
        yield (
            f'<g class="{kind}"><rect x="{each.x}" y="{each.y}" width="{each.width}" height="{each.height}" rx="{corner}"/>'
            f'<text class="name" x="{centre}" y="{each.y + 17}">{escape(each.name)}</text>{lines}</g>'
        )


def _write_legend(y: int) -> Iterator[str]:
    for place, (state, label) in enumerate(_LEGEND):
        x = _MARGIN + 6 + 110 * place
        yield f'<g class="{state}"><rect x="{x}" y="{y - 10}" width="18" height="12" rx="3"/><text x="{x + 25}" y="{y}">{label}</text></g>'


# --- bars and plots ---------------------------------------------------------------------------------------------------


def _write_bars(title: str, changes: Sequence[ScreenChange], unit: str) -> str:
    """Parameters before and after, one pair of bars for each section or change; FLOPs where no parameters changed; the largest."""
    ranked = sorted(range(len(changes)), key=lambda place: -changes[place].weight)[:_MOST_BARS]
    rows = [changes[place] for place in sorted(ranked)]
    same = all(row.params.direction == "same" for row in rows)
    trends = [row.compute if same else row.params for row in rows]
    label, left = unit if same else "Parameters", len(changes) - len(rows)
    height = _TOP + _BAR_ROW * len(rows) + 2 * _MARGIN + (16 if left else 0)

    def write() -> Iterator[str]:
        yield f'<text class="head" x="{_MARGIN}" y="{_TOP - 14}">{escape(label)}</text>'
        for x, side in ((_MARGIN + 80, "before"), (_MARGIN + 150, "after")):
            yield f'<rect class="{side}" x="{x}" y="{_TOP - 23}" width="14" height="{_BAR}"/>'
            yield f'<text x="{x + 19}" y="{_TOP - 14}">{side}</text>'
        largest = max((value for trend in trends for value in _read_sides(trend)), default=0) or 1
        for place, (row, trend) in enumerate(zip(rows, trends, strict=True)):
            y = _TOP + _BAR_ROW * place
            yield f'<text class="name" x="{_MARGIN}" y="{y + 13}">{escape(shorten(row.name, _LONGEST_LABEL))}</text>'
            for number, (side, value) in enumerate(zip(("before", "after"), _read_sides(trend), strict=True)):
                length = round(_BAR_WIDTH * value / largest, 1)
                top = y + 1 + number * (_BAR + 1)
                yield f'<rect class="{side}" x="{_MARGIN + _LABEL_WIDTH}" y="{top}" width="{length}" height="{_BAR}"/>'
            text = f"{trend.sides.before.short} → {trend.sides.after.short}" + (f" ({trend.percent})" if trend.percent else "")
            yield f'<text class="small" x="{_MARGIN + _LABEL_WIDTH + _BAR_WIDTH + 8}" y="{y + 14}">{escape(text)}</text>'
        if left:
            yield f'<text class="small" x="{_MARGIN}" y="{height - _MARGIN}">{escape(count(left, "smaller change"))} not shown</text>'

    alt = f"{label} of {count(len(rows), 'part')} before and after"
    return _write_svg(title, alt, 2 * _MARGIN + _LABEL_WIDTH + _BAR_WIDTH + 170, height, write())


def _read_sides(trend: Trend) -> tuple[int, int]:
    """The numbers of both sides; 0 for one that is not known."""
    before, after = (
        int(digits) if (digits := "".join(filter(str.isdigit, figure.exact))) else 0 for figure in (trend.sides.before, trend.sides.after)
    )
    return before, after


def _write_plot(title: str, plot: Plot) -> str:
    left, right, top, bottom = 70, 70 + WIDTH, TOP, TOP + HEIGHT

    def write() -> Iterator[str]:
        yield f'<g transform="translate({left},{_TOP - 20})">'
        for tick in plot.y_ticks:
            y = round(bottom - HEIGHT * tick.place, 1)
            yield f'<line class="axis" x1="0" x2="{WIDTH}" y1="{y}" y2="{y}"/>'
            yield f'<text x="-8" y="{y + 4}" text-anchor="end">{escape(tick.text)}</text>'
        yield f'<line class="axis" x1="0" x2="0" y1="{top}" y2="{bottom}"/>'
        for tick in plot.x_ticks:
            x = round(WIDTH * tick.place, 1)
            yield f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{escape(tick.text)}</text>'
        yield f'<text x="{WIDTH // 2}" y="{bottom + 34}" text-anchor="middle">{escape(plot.across)}</text>'
        yield f'<text x="-{left - 6}" y="{top - 12}">{escape(plot.up)}</text>'
        for line in plot.lines:
            dashes = f' stroke-dasharray="{_DASHES[line.series % len(_DASHES)]}"' if line.series % len(_DASHES) else ""
            yield f'<polyline class="front" points="{" ".join(f"{x},{y}" for x, y in line.places)}"{dashes}/>'
        for point in plot.points:
            best = " best" if point.marked else ""
            mark = _draw_mark(point.series, point.x, point.y)
            yield f'<path class="dot{best}" d="{mark}"><title>{escape(point.label)}</title></path>'
            if point.is_apart:
                yield f'<line class="axis" x1="{point.x}" y1="{point.y}" x2="{point.name_x}" y2="{point.name_y + 4}"/>'
            if point.anchor:
                yield f'<text x="{point.name_x}" y="{point.name_y}" text-anchor="{point.anchor}">{escape(point.name)}</text>'
        for place, name in enumerate(plot.series):
            x, y = _SERIES_WIDTH * (place % _SERIES_PER_ROW), bottom + 56 + 18 * (place // _SERIES_PER_ROW)
            yield f'<path class="dot" d="{_draw_mark(place, x + 5, y - 4)}"/><text x="{x + 16}" y="{y}">{escape(name)}</text>'
        yield "</g>"

    rows = -(-len(plot.series) // _SERIES_PER_ROW)
    return _write_svg(title, plot.alt, right + 40, bottom + 100 + 18 * rows, write())


def _draw_mark(series: int, x: float, y: float) -> str:
    """A circle, square, diamond or triangle for each series, so that they differ in a grey print."""
    r = _RADIUS
    shapes = (
        f"M{x - r:g},{y:g}a{r},{r} 0 1 0 {2 * r},0a{r},{r} 0 1 0 {-2 * r},0z",
        f"M{x - r:g},{y - r:g}h{2 * r}v{2 * r}h{-2 * r}z",
        f"M{x:g},{y - r - 1:g}l{r + 1},{r + 1}l{-r - 1},{r + 1}l{-r - 1},{-r - 1}z",
        f"M{x:g},{y - r - 1:g}l{r + 1},{2 * r}h{-2 * r - 2}z",
    )
    return shapes[series % len(shapes)]
