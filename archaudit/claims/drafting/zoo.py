"""Drafts of claims for documents about many models: one [[tables]] stanza for each kind of table, one [[claims]] for each sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from archaudit.claims.columns import Columns, read_columns
from archaudit.claims.drafting import quote_value, shorten_line
from archaudit.claims.named_figures import NamedFigure
from archaudit.schema import Verdict
from archaudit.schema.documents import Document, Table

_LONGEST_NEAR = 60  # characters of the text that identifies a figure in a sentence
_MACS_CALLED_FLOPS = "MACs, called FLOPs"  # the reading, by its name in `judge.conventions`
_MOST_LINES = 6  # that a comment lists; the report of the check has all


class Judged(NamedTuple):
    """A figure and the verdict on it; none where it was not measured."""

    figure: NamedFigure
    verdict: Verdict | None


def format_names(figures: Iterable[NamedFigure]) -> str:
    """Which name became which reference, and which names are of no known model: one line for each."""
    lines: dict[str, list[int]] = defaultdict(list)
    for figure in figures:
        lines[_describe_name(figure)].append(figure.number.line)
    return "\n".join(f"{text}  ({_format_lines(numbers)})" for text, numbers in lines.items())


def _describe_name(figure: NamedFigure) -> str:
    found = figure.resolved
    if found.entry is None:
        return f"? {figure.name}: {found.reason}"
    return f"  {figure.name} -> {found.entry.reference}" + (f" at {found.resolution}" if found.resolution else "")


def _format_lines(numbers: Sequence[int]) -> str:
    unique = list(dict.fromkeys(numbers))
    more = f", {len(unique) - _MOST_LINES} more" if len(unique) > _MOST_LINES else ""
    return ("line " if len(unique) == 1 else "lines ") + ", ".join(map(str, unique[:_MOST_LINES])) + more


def format_zoo(document: Document, judged: Sequence[Judged], sources: Sequence[str], *, counts_macs: bool = False) -> str:
    """The claims as TOML: stanzas for the tables that name known models, then the sentences.

    `counts_macs`: what the document's tables call FLOPs are multiply-accumulates.
    """
    blocks = []
    in_tables = [each for each in judged if each.figure.in_table]
    for layout, tables in _group_tables(document, in_tables).items():
        members = [each for each in in_tables if each.figure.number.run.table in tables]
        blocks.append(_format_stanza(layout, members, sources))
    blocks += [
        _format_sentence(each, counts_macs=counts_macs)
        for each in judged
        if not each.figure.in_table and each.figure.resolved.entry is not None
    ]
    return "\n".join(blocks)


class _Layout(NamedTuple):
    """What a stanza says of its tables: the headings of the columns, by their roles."""

    name: str
    resolution: str
    metrics: tuple[tuple[str, str], ...]


def find_mac_columns(document: Document, figures: Sequence[NamedFigure], verdicts: Mapping[int, Verdict]) -> list[int]:
    """The positions of figures in columns that are called FLOPs and count MACs: more of them are right as MACs than as FLOPs.

    One convention holds for all tables with the same headings.
    """
    columns: dict[tuple[_Layout, str], list[int]] = defaultdict(list)
    for position, figure in enumerate(figures):
        if position in verdicts and figure.metric == "flops" and figure.in_table:
            table = document.tables[figure.number.run.table]
            found = read_columns(table)
            if found is not None:
                columns[_read_layout(table, found), figure.number.heading].append(position)
    as_macs: list[int] = []
    for positions in columns.values():
        judged = [verdicts[position] for position in positions]
        macs = sum(verdict.reading is not None and verdict.reading.startswith("MACs, called") for verdict in judged)
        if macs > sum(verdict.finding == "true" for verdict in judged):
            as_macs += positions
    return as_macs


def _group_tables(document: Document, judged: Iterable[Judged]) -> dict[_Layout, set[int]]:
    groups: dict[_Layout, set[int]] = defaultdict(set)
    for each in judged:
        position = each.figure.number.run.table
        table = document.tables[position]
        columns = read_columns(table)
        if columns is not None:
            groups[_read_layout(table, columns)].add(position)
    return dict(groups)


def _read_layout(table: Table, columns: Columns) -> _Layout:
    metrics = tuple((metric, table.headings[position]) for position, metric in sorted(columns.metrics.items()))
    resolution = table.headings[columns.resolution] if columns.resolution is not None else ""
    return _Layout(table.headings[columns.name], resolution, metrics)


def _format_stanza(layout: _Layout, judged: Sequence[Judged], sources: Sequence[str]) -> str:
    """The stanza, after comments on the figures that are false under every reading and on the names of no known model."""
    known = [each for each in judged if each.figure.resolved.entry is not None]
    if not known:
        names = "\n".join(f"#{line}" for line in format_names(each.figure for each in judged).splitlines())
        return f"# no name of these tables is known:\n{names}\n"
    stated = {each.figure.number.heading: each.figure.metric for each in known}
    metrics = {stated.get(heading, metric): heading for metric, heading in layout.metrics}
    readings = _count_readings(known, tuple(metrics))
    accept = [reading for reading, number in readings.items() if number * 2 > len(known) / max(len(metrics), 1)]
    places = sources[0] if len(sources) == 1 else list(sources)
    lines = _list_comments(judged, accept)
    lines += [
        "[[tables]]",
        f"models = {quote_value(places)}",
        f"name = {quote_value(layout.name)}",
    ]
    lines += [f"resolution = {quote_value(layout.resolution)}"] if layout.resolution else []
    lines += [f"{metric} = {quote_value(heading)}" for metric, heading in metrics.items()]
    lines += [f"accept = {quote_value(accept)}"] if accept else []
    return "\n".join(lines) + "\n"


def _count_readings(judged: Iterable[Judged], metrics: Sequence[str]) -> dict[str, int]:
    """How many figures each reading makes true, other than that FLOPs are MACs."""
    readings: dict[str, int] = defaultdict(int)
    for each in judged:
        reading = each.verdict.reading if each.verdict is not None else None
        if reading is not None and not reading.startswith("MACs, called"):
            readings[reading.removeprefix("MACs, called FLOPs; ")] += 1
    return readings


def _list_comments(judged: Iterable[Judged], accept: Sequence[str]) -> list[str]:
    unknown = [each.figure for each in judged if each.figure.resolved.entry is None]
    lines = [f"# not known, and not checked:{line[1:]}" for line in format_names(unknown).splitlines() if line]
    for each in judged:
        if each.verdict is not None and each.verdict.finding == "false" and each.verdict.reading not in accept:
            number = each.figure.number
            lines.append(f"# line {number.line}: {each.figure.name} {each.figure.metric}: {shorten_line(each.verdict.reason)}")
    return lines


def _format_sentence(each: Judged, *, counts_macs: bool) -> str:
    number = each.figure.number
    measured = shorten_line(each.verdict.reason) if each.verdict is not None else "not measured"
    table: Mapping[str, object] = {
        "figure": number.reading.strip(),
        **({"unit": each.figure.unit} if each.figure.unit else {}),
        **({"source": number.run.section} if number.run.section else {}),
        "near": _find_near(each.figure),
        "model": each.figure.resolved.entry.reference if each.figure.resolved.entry is not None else "",
        **(
            {"input": f"1x3x{each.figure.resolved.resolution}x{each.figure.resolved.resolution}"} if each.figure.resolved.resolution else {}
        ),
        "metric": each.figure.metric,
    }
    if counts_macs and each.verdict is not None and each.verdict.reading == _MACS_CALLED_FLOPS:
        table = {**table, "expect": "other reading", "why": "this document calls multiply-accumulates FLOPs, in its tables too"}
    rows = "\n".join(f"{key} = {quote_value(value)}" for key, value in table.items())
    return f"# line {number.line}: {shorten_line(number.run.whole)}\n# {measured}\n[[claims]]\n{rows}\n"


def _find_near(figure: NamedFigure) -> str:
    """Text on the line of the figure that ends with it."""
    number = figure.number
    end = number.column - 1 + len(number.text)
    return number.run.whole[max(0, end - _LONGEST_NEAR) : end].strip()
