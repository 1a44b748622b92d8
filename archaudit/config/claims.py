"""Reads [[claims]] into checks: the figure of a document, and what it says about a model.

A claim has a `figure` as the document writes it and a `metric`: a metric of METRICS, one of a family (`modules:Conv2d`, `setting:p`,
`children`, `layers`, `stride`, `dense_ratio`, `latency`), or a fact (`shape`, `shape:in`, `shape:cat:2`, `setting:padding_mode`,
`presence`, `presence:Conv2d`). `unit` is the unit of a figure that the document writes in another place, such as the heading of a table. A
number that is not checked has `exempt`, the reason, instead.
"""

from __future__ import annotations

import re

from archaudit.config.declaration import COMPARISON_UNITS
from archaudit.config.names import Draft, KnownNames, derive_id, expect_model, read_against, read_id
from archaudit.config.records import TableClaim
from archaudit.config.tables import Table, quote, suggest
from archaudit.metrics.catalog import FACTS, FAMILIES, METRICS, Metric, find_metric, is_fact
from archaudit.schema import Check, Outcome, Quantity

_RELATIONS = {"<": "below", "<=": "max", ">": "above", ">=": "min"}
_EXPECTATIONS: dict[str, Outcome] = {"true": "passed", "false": "failed", "other reading": "inconclusive"}
_PRESENCES = ("present", "absent", "new", "gone")
_SIZE = r"(?:\d+|[^\W\d]\w*(?:\s*(?://?|\*)\s*\d+)?)"
_SHAPE = re.compile(rf"[\[(]?\s*{_SIZE}(?:\s*[,x×]\s*{_SIZE})*,?\s*[\])]?")
_LONGEST_TEXT = 200  # of a shape or a setting's text


def read_claims(top: Table, known: KnownNames, keys_by_id: dict[str, str]) -> list[Draft]:
    """One check for each claim."""
    return [_read_claim(table, known, read_id(table, keys_by_id)) for table in top.open_tables("claims")]


def _read_claim(table: Table, known: KnownNames, given_id: str) -> Draft:
    if "exempt" in table.values:
        return _read_exemption(table, known, given_id)
    name = _read_metric_name(table)
    metric = find_metric(name)
    model = table.read_text("model")
    expect_model(table, "model", model, known)
    comparison = table.read_text("comparison")
    text, figure = _read_claimed_figure(table, comparison, name)
    against, against_scope = _read_counterpart(table, known, comparison, name)
    expect_outcome, why = _read_expectation(table)
    source = table.read_text("source")
    check = Check(
        id=given_id or derive_id(source or model or name, text.replace(",", "")),
        origin="claim",
        model=model,
        metric=name,
        scope=table.read_scope("scope", metric),
        comparison=_RELATIONS[figure.relation] if figure and figure.relation and comparison == "equals" else comparison,
        expected=text,
        against=against or None,
        against_scope=against_scope,
        source=source or None,
        group=table.read_text("section", choices=known.sections) or None,
        expect_outcome=expect_outcome,
        why=why or None,
        document=table.read_text("document") or None,
        near=table.read_text("near") or None,
        written=str(table.values["figure"]) if "unit" in table.values and figure else None,
        tolerance=_read_tolerance(table),
        scenario=table.read_text("input") or None,
    )
    return Draft(check, id_is_given=bool(given_id))


def _read_exemption(table: Table, known: KnownNames, given_id: str) -> Draft:
    """A number of the document that is not checked, and why."""
    text = _read_text_figure(table)
    source = table.read_text("source")
    check = Check(
        id=given_id or derive_id(source or "exempt", text.replace(",", "")),
        origin="claim",
        metric="",
        comparison="equals",
        expected=text,
        source=source or None,
        group=table.read_text("section", choices=known.sections) or None,
        document=table.read_text("document") or None,
        near=table.read_text("near") or None,
        exempt=table.read_text("exempt"),
    )
    return Draft(check, id_is_given=bool(given_id))


def _read_metric_name(table: Table) -> str:
    name = table.read_text("metric")
    if not name or find_metric(name) is not None or is_fact(name):
        return name
    head = name.partition(":")[0]
    if head in FAMILIES or head in FACTS:
        needs = "needs a name after a colon" if ":" not in name.rstrip(":") else "has nothing after it"
        table.fault("metric", f"{quote(name)}: {head} {needs}; write for example setting:out_channels, modules:Conv2d, children")
    else:
        table.fault("metric", f"{quote(name)} is not known{suggest(name, (*METRICS, *dict.fromkeys((*FAMILIES, *FACTS))))}")
    return ""


# --- tables of documents, whose rows are claims ---


TABLE_METRICS = ("params", "macs", "flops", "param_bytes")


def read_table_claims(top: Table) -> tuple[TableClaim, ...]:
    """The tables of documents that are claimed as a whole."""
    return tuple(
        TableClaim(
            key=table.key,
            models=table.read_texts("models"),
            name=table.read_text("name"),
            columns={metric: heading for metric in TABLE_METRICS if (heading := table.read_text(metric))},
            resolution=table.read_text("resolution") or None,
            section=table.read_text("section") or None,
            document=table.read_text("document") or None,
            accept=table.read_texts("accept"),
            names=table.read_text_table("names"),
            exempt=table.read_text_table("exempt"),
            expect_false=table.read_text_table("expect_false"),
        )
        for table in top.open_tables("tables")
    )


# --- the figure ---


def _read_claimed_figure(table: Table, comparison: str, name: str) -> tuple[str, Quantity | None]:
    """The figure as text, and as a number where it is one."""
    if "figure" not in table.values:
        return "", None
    metric = find_metric(name)
    if metric is None:  # a fact, or a metric that has a fault
        return (_read_fact_figure(table, name) if name else ""), None
    if is_fact(name) and not _is_number(table.values["figure"]):
        return _read_text_figure(table), None
    figure = _read_with_unit(table)
    if figure is None:
        return "", None
    unit = COMPARISON_UNITS[comparison]
    shown = quote(figure.text)
    if unit and figure.unit != unit:
        table.fault("figure", f"{shown} is not a {comparison}; write for example {'42x' if unit == 'x' else '63%'}")
    elif not unit and figure.unit in ("x", "%") and not (metric and metric.unit == figure.unit):
        table.fault("figure", f"{shown} needs comparison = {'ratio' if figure.unit == 'x' else 'percent'!r}")
    elif not unit and metric is not None and not _is_time(figure, metric):
        table.expect_unit("figure", figure, metric)
    return figure.text, figure


def _read_with_unit(table: Table) -> Quantity | None:
    """The figure with its unit, which the document may write in another place: `26.3` under a heading `GMACs`."""
    unit, figure = table.read_text("unit"), table.values["figure"]
    return table.parse_number("figure", f"{figure} {unit}" if unit else figure)


def _is_time(figure: Quantity, metric: Metric) -> bool:
    return metric.unit == "ms" and figure.unit in ("s", "ms", "us")


def _is_number(value: object) -> bool:
    """Whether a setting's figure is a number. A text that begins with a letter or bracket, or is a size such as 3x3, is not one."""
    return not isinstance(value, (bool, list)) and not (isinstance(value, str) and re.match(r"\s*(?:[\[(]|[^\W\d]|\d+\s*[x×]\s*\d)", value))


def _read_fact_figure(table: Table, name: str) -> str:
    text = _read_text_figure(table)
    if name.startswith("presence") and text and text not in _PRESENCES:
        table.fault("figure", f"{quote(text)} is not known{suggest(text, _PRESENCES)}")
    if name.startswith("shape") and text and not (_SHAPE.fullmatch(text) and re.search(r"\d", text)):
        table.fault("figure", f"{quote(text)} is not a shape; write for example [B, 128, H/8, W/8]")
    return text


def _read_text_figure(table: Table) -> str:
    """A figure of any type as text: a text, a number, true, false, or a list of them."""
    if "figure" not in table.values:
        return ""
    value = table.values["figure"]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(each, (str, int, float)) for each in value) and len(str(value)) <= _LONGEST_TEXT:
        return "[" + ", ".join(map(str, value)) + "]"
    if not isinstance(value, str):
        figure = table.parse_number("figure", value)
        return figure.text if figure else ""
    text = value.strip()
    if not text:
        table.fault("figure", "expected text, not empty text")
    if len(text) > _LONGEST_TEXT:
        table.fault("figure", f"{quote(text)} is too long")
        return ""
    return text


# --- what the figure is compared with, and the expected result ---


def _read_counterpart(table: Table, known: KnownNames, comparison: str, name: str) -> tuple[str, tuple[str, ...] | None]:
    """The model and scope that a claim compares with: `against` and `against_scope`."""
    against = read_against(table, known)
    scope = table.read_scope("against_scope", find_metric(name)) if "against_scope" in table.values else None
    compares = name.startswith("presence") and table.values.get("figure") in _PRESENCES[2:]
    if (comparison != "equals" or compares) and "against" not in table.values:
        what = f"comparison = {comparison!r}" if not compares else f"figure = {table.values['figure']!r}"
        table.fault("against", f"is missing; {what} needs a model to compare with")
    if comparison == "equals" and not compares:
        for key in ("against", "against_scope"):
            if key in table.values:
                table.fault(key, "is for comparison = 'ratio', 'percent' or 'difference' only")
    return against, scope


def _read_expectation(table: Table) -> tuple[Outcome, str]:
    """`expect` and `why`. A claim that is expected to be false, or true under another reading only, needs the reason."""
    expect = table.read_text("expect")
    why = table.read_text("why")
    if expect != "true" and "why" not in table.values:
        table.fault("why", f"is missing; it is required where `expect` is {expect!r}")
    if why and expect == "true":
        table.fault("why", "is for expect = 'false' or 'other reading' only")
    return _EXPECTATIONS[expect], why


def _read_tolerance(table: Table) -> float | None:
    """The share by which an approximate figure may differ, written as `5%`."""
    figure = table.read_number("tolerance")
    if figure is None:
        return None
    if figure.unit != "%" or figure.relation or figure.approximate or not 0 <= figure.value < 100:
        table.fault("tolerance", f"{quote(figure.text)} is not a percentage below 100%; write for example 5%")
        return None
    return figure.value / 100
