"""The answer on one screen, line by line: at most 25 lines at 80 columns; a wider terminal gets more columns, never other digits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from archaudit.render.detail import Detail
from archaudit.render.formatting import ELLIPSIS, count
from archaudit.render.layout import TextColumn, choose_columns, format_columns, measure_text, shorten, wrap
from archaudit.render.lines import Line
from archaudit.render.view.figures import Figure, Trend
from archaudit.render.view.screen_records import Alert, ProfileScreen, ReportScreen, ScreenChange, ScreenModule, ScreenTotal

# What a small terminal shows without scrolling, with a line left for the next prompt.
_MOST_LINES = 25
# Longer tables of changes are a list again: the rest is counted.
_MOST_CHANGES = 8
# Alerts take the place of changes, but never of all.
_FEWEST_CHANGES = 3
_FEWEST_CHILDREN = 3
_WIDEST_TEXT = 120
_MOST_SENTENCE_LINES = 3
# The narrowest a name, what was done to a module, and other texts (types, shapes, the paths of a section) become.
_LEAST_NAME, _LEAST_DETAIL, _LEAST_TEXT = 22, 26, 16


def write_report_screen(screen: ReportScreen, width: int, detail: Detail) -> Iterator[Line]:
    """The lines of a comparison."""
    head = [Line(_join_title(screen.title, screen.inputs, width), "heading")]
    if screen.conclusion is not None:
        text = f"{screen.conclusion.symbol} {screen.conclusion.verdict}: {screen.conclusion.why}"
        head += _write_text(text, width, screen.conclusion.outcome)
    for sentence in screen.sentences:
        head += _cut(list(_write_text(sentence, width)), _MOST_SENTENCE_LINES, width)
    totals = [Line(), *_write_totals(screen.totals, width)]
    modules = _write_list(screen.modules.split(", "), "other kind", width)
    if screen.forward:
        modules += _write_list([f"Forward: {screen.forward[0]}", *screen.forward[1:]], "other", width)
    pointer = _write_pointer(detail.report, screen.hints, width)
    foot = [*modules, *pointer]
    room = _MOST_LINES - len(head) - len(totals) - len(foot)
    least = min(len(screen.changes), _FEWEST_CHANGES) + 4 if screen.changes else 0
    alerts = list(_write_alerts(screen.alerts, room - least, width))
    table = list(_write_changes(screen, room - len(alerts), width, detail.top))
    yield from (*head, *totals, *table)
    if len(head) + len(totals) + len(table) + len(alerts) + len(foot) < _MOST_LINES:
        yield Line()
    yield from (*modules, *alerts, *pointer)


def write_profile_screen(screen: ProfileScreen, width: int, detail: Detail) -> Iterator[Line]:
    """The lines of a single model."""
    head = [Line(_join_title(screen.title, screen.inputs, width), "heading")]
    totals = [Line(), *_write_totals(screen.totals, width)]
    foot = _write_pointer(detail.report, screen.hints, width)
    alerts = list(_write_alerts(screen.alerts, _MOST_LINES - len(head) - len(totals) - len(foot) - _FEWEST_CHANGES - 2, width))
    room = detail.top or _MOST_LINES - len(head) - len(totals) - len(foot) - len(alerts) - 1
    yield from head
    yield from _write_tree(screen.modules, room, width)
    yield from (*totals, *alerts, *foot)


def write_verdict(screen: ReportScreen) -> Line:
    """The verdict alone."""
    if screen.conclusion is None:
        return Line("- no checks: nothing was judged")
    return Line(f"{screen.conclusion.symbol} {screen.conclusion.verdict}: {screen.conclusion.why}", screen.conclusion.outcome)


def _join_title(title: str, inputs: Sequence[str], width: int) -> str:
    """The names, with the inputs where there is room."""
    joined = f"{title}, input {', '.join(inputs)}" if inputs else title
    if measure_text(joined) <= width:
        return joined
    first = f"{title}, {count(len(inputs), 'input')}" if inputs else title
    return first if measure_text(first) <= width else shorten(title, width)


def _write_text(text: str, width: int, style: str = "", hanging: str = "  ") -> list[Line]:
    return [Line(line, style) for line in wrap(text, min(width, _WIDEST_TEXT), hanging)]


def _cut(lines: list[Line], most: int, width: int) -> list[Line]:
    """The first lines, the last of them with an ellipsis if there are more."""
    if len(lines) <= most:
        return lines
    last = lines[most - 1]
    return [*lines[: most - 1], Line(f"{last.text[: width - 2]} {ELLIPSIS}", last.style)]


def _write_list(parts: Sequence[str], noun: str, width: int) -> list[Line]:
    """A list in one line: what does not fit is counted."""
    for kept in range(len(parts), 0, -1):
        left = len(parts) - kept
        line = ", ".join(parts[:kept]) + (f", {count(left, noun)}" if left else "")
        if measure_text(line) <= width:
            return [Line(line)]
    left = len(parts) - 1
    tail = f", {count(left, noun)}" if left else ""
    return [Line(shorten(parts[0], width - len(tail)) + tail)] if parts[0] else []


def _write_pointer(report: str, hints: Sequence[str], width: int) -> list[Line]:
    """Where the report is, or how to get the rest."""
    rest = ", ".join(("layers", "forward pass", *hints, "method"))
    if report:
        return [Line(shorten(f"Report: {report}   (--full prints {rest})", width), "dim")]
    text = f"--full: {rest}; -o DIR writes the report"
    return [Line(shorten(text, width), "dim")]


# --- tables -----------------------------------------------------------------------------------------------------------


def _write_totals(rows: Sequence[ScreenTotal], width: int) -> list[Line]:
    compared = any(row.trend.sides.after.short != "-" for row in rows)
    exact = [row.exact for row in rows]
    trends = [row.trend for row in rows]
    label = TextColumn("", tuple(row.label for row in rows))
    note = TextColumn("", tuple(row.note for row in rows), rank=1 if compared else 0, least=0 if compared else 20)
    before = TextColumn("before" if compared else "", _pick([trend.sides.before for trend in trends], exact), right=True)
    if not compared:
        return [Line(line) for line in format_columns([label, before, note], width)[1]]
    columns = [
        label,
        before,
        TextColumn("after", _pick([trend.sides.after for trend in trends], exact), right=True),
        TextColumn("delta", _pick([trend.sides.delta for trend in trends], exact), right=True),
        TextColumn("change", tuple(trend.percent for trend in trends), right=True),
        TextColumn("ratio", tuple("" if trend.ratio == trend.percent else trend.ratio for trend in trends), rank=2, right=True),
        note,
    ]
    headings, lines = format_columns(choose_columns([column for column in columns if any(column.cells)], width), width)
    return [*(Line(heading, "dim") for heading in headings), *map(Line, lines)]


def _pick(figures: Sequence[Figure], exact: Sequence[bool]) -> tuple[str, ...]:
    return tuple(figure.exact if is_exact else figure.short for figure, is_exact in zip(figures, exact, strict=True))


def _write_changes(screen: ReportScreen, room: int, width: int, top: int | None) -> Iterator[Line]:
    """The largest changes in the order of the model, under a heading and above a count of the rest."""
    if not screen.changes or room < 4:
        return
    most = top or min(_MOST_CHANGES, room - 4)
    ranked = sorted(range(len(screen.changes)), key=lambda place: -screen.changes[place].weight)
    kept = len(ranked) if len(ranked) <= most else most
    rows = [screen.changes[place] for place in sorted(ranked[:kept])]
    headings, lines = format_columns(choose_columns(_make_columns(screen, rows), width), width)
    yield Line()
    yield from (Line(shorten(heading, width), "dim") for heading in headings)
    yield from (Line(shorten(line, width), row.kind) for line, row in zip(lines, rows, strict=True))
    if rest := _count_rest(screen, len(ranked) - kept):
        yield Line(shorten(rest, width), "dim")


def _make_columns(screen: ReportScreen, rows: Sequence[ScreenChange]) -> list[TextColumn]:
    params, compute = [row.params for row in rows], [row.compute for row in rows]
    exact = [True] * len(rows)
    short = [False] * len(rows)
    group = screen.unit
    # what was done to a module says more than its cost before and after; the paths of a section say less
    side_rank, detail_rank, least = (3, 1, _LEAST_DETAIL) if screen.heading == "module" else (2, 4, _LEAST_TEXT)

    def column(heading: str, trends: Sequence[Trend], side: str, forms: Sequence[bool], group: str, rank: int) -> TextColumn:
        return TextColumn(heading, _pick([getattr(trend.sides, side) for trend in trends], forms), rank, True, group=group)

    details = [TextColumn("", tuple(row.detail for row in rows), detail_rank, least=least)] if any(row.detail for row in rows) else []
    figures = [
        [
            column("before", params, "before", exact, "params", side_rank),
            column("after", params, "after", exact, "params", side_rank),
            column("delta", params, "delta", exact, "params", 0),
            TextColumn("change", tuple(trend.percent for trend in params), 5 + (screen.heading == "module"), True, group="params"),
        ],
        [
            column("before", compute, "before", short, group, side_rank + 1),
            column("after", compute, "after", short, group, side_rank + 1),
            column("delta", compute, "delta", short, group, 0),
            TextColumn("change", tuple(trend.percent for trend in compute), 6, True, group=group),
        ],
    ]
    # numbers that are the same in all rows leave their room to what was done to the modules
    shown = [each for each in figures if not details or set(each[-1].cells) != {"same"}]
    return [TextColumn(screen.heading, tuple(row.name for row in rows), least=_LEAST_NAME), *chain.from_iterable(shown), *details]


def _count_rest(screen: ReportScreen, left: int) -> str:
    noun = screen.heading
    parts = [f"{count(left, 'smaller change')}" if left else "", f"{count(screen.unchanged, noun)} unchanged" if screen.unchanged else ""]
    text = " and ".join(filter(None, parts))
    return f"{ELLIPSIS} {text}" if text else ""


def _write_alerts(alerts: Sequence[Alert], room: int, width: int) -> Iterator[Line]:
    """All alerts with their reasons; in one line each, then counted, if there is not enough room."""
    full = [_write_text(alert.text, width, alert.style) for alert in alerts]
    if sum(map(len, full)) <= room:
        yield from (line for lines in full for line in lines)
        return
    shown = 0
    for place, (alert, lines) in enumerate(zip(alerts, full, strict=True)):
        left = len(alerts) - place - 1
        used = lines if shown + len(lines) + left <= room else [Line(shorten(alert.brief or alert.text, width), alert.style)]
        if shown + len(used) + bool(left) > room:
            yield Line(
                shorten(f"{ELLIPSIS} {count(left + 1, 'more check or claim', 'more checks and claims')} to look at: --full", width),
                "failed",
            )
            return
        shown += len(used)
        yield from used


def _write_tree(modules: Sequence[ScreenModule], room: int, width: int) -> Iterator[Line]:
    """The upper levels of the tree, as many as there is room for; the rest is counted."""
    if not modules:
        return
    places, hidden = _choose_modules(modules, room - 1)
    rows = [modules[place] for place in places]
    columns = [
        TextColumn("layer", tuple(_indent(modules, places)), least=_LEAST_NAME),
        TextColumn("type", tuple(row.type for row in rows), rank=3, least=_LEAST_TEXT),
        TextColumn("output shape", tuple(row.shape for row in rows), rank=2, least=_LEAST_TEXT),
        TextColumn("params", tuple(row.params.exact for row in rows), right=True),
        TextColumn("MACs", tuple(row.macs.short for row in rows), right=True),
        TextColumn("FLOPs", tuple(row.flops.short for row in rows), rank=1, right=True),
        TextColumn("share", tuple(row.share for row in rows), rank=4, right=True),
    ]
    headings, lines = format_columns(choose_columns(columns, width), width)
    yield from (Line(shorten(heading, width), "dim") for heading in headings)
    yield from (Line(shorten(line, width)) for line in lines)
    if hidden:
        yield Line(shorten(f"{ELLIPSIS} {count(hidden, 'module')} inside these or smaller: --layers, --depth N", width), "dim")


def _choose_modules(modules: Sequence[ScreenModule], room: int) -> tuple[list[int], int]:
    """The places of the rows to show, in order, and how many are left out. Level by level, the heaviest modules are opened first."""
    shown = {0}
    room -= 2  # the root, and the line that counts the rest
    for place in sorted(range(len(modules)), key=lambda place: (modules[place].depth, -modules[place].weight)):
        children = modules[place].children
        if place not in shown or not children:
            continue
        if len(children) <= room:
            shown.update(children)
            room -= len(children)
    rest = [place for place in shown if modules[place].children and shown.isdisjoint(modules[place].children)]
    if rest and room >= _FEWEST_CHILDREN:  # of a container with too many children, the heaviest are shown
        largest = max(rest, key=lambda place: (modules[place].weight, -place))
        shown.update(sorted(modules[largest].children, key=lambda child: -modules[child].weight)[:room])
    return sorted(shown), len(modules) - len(shown)


def _indent(modules: Sequence[ScreenModule], places: Sequence[int]) -> Iterator[str]:
    """`├─ layer1`, with the lines of a tree."""
    shown = set(places)
    last = {max(row.children) for row in modules if row.children}
    last |= {max(shown.intersection(row.children)) for row in modules if shown.intersection(row.children)}
    above: list[bool] = []
    for place in places:
        row = modules[place]
        if row.depth == 0:
            above = []
            yield row.name
            continue
        del above[row.depth - 1 :]
        bars = "".join("   " if ended else "│  " for ended in above)
        ended = place in last
        yield f"{bars}{'└─ ' if ended else '├─ '}{row.name}"
        above.append(ended)
