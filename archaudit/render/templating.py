"""Renders the templates; the only module that imports jinja2.

Everything that a template prints is escaped for its format unless it is Markup: HTML by jinja's autoescape, Markdown by `escape_markdown`.
An undefined name is an error.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from archaudit.metrics.quantities import format_change
from archaudit.render.diagram import NO_PROGRAM, place_diagrams
from archaudit.render.formatting import ELLIPSIS, NOTHING
from archaudit.render.markdown import cut_markdown, mark_part, mark_row, split_parts, write_mermaid
from archaudit.render.view import view_judgement, view_profile, view_report
from archaudit.render.view.drawing_records import Diagram, Flow
from archaudit.render.view.figures import Figure
from archaudit.render.view.plots import LEFT, WIDTH
from archaudit.render.view.records import LayerTable, TreeRow
from archaudit.schema import Judgement, Profile, Report

# What Markdown, HTML or GitHub interprets: emphasis, code, links, tables, strikethrough, formulas, tags, references, mentions and
# addresses that become links automatically.
_MARKDOWN_SPECIAL = re.compile(r"[&<>|`\\*\[\]~#$@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=[Ww])\.|(?<=:)(?=//)")
# Characters for which a backslash is not enough, because tables and code are split before backslashes are interpreted.
_AS_ENTITY = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;", "\\": "&#92;"}
# An empty comment is invisible and prevents GitHub from recognising a mention or an address.
_AS_SPLIT = {"@": "@<!-- -->", ".": ".<!-- -->", "": "<!-- -->"}
# Larger numbers lose digits in a browser's JSON, so they are written as strings.
_LARGEST_EXACT = 2**53
# What would end a script element, or a line of a script, inside a string.
_JSON_SPECIAL = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
# Letters of the shapes of a row's outputs; a model with many outputs would fill the page. All of them are in the cell's title.
_LONGEST_SHAPES = 44
# Numbers longer than this are shown with three digits, and in full in the cell's title.
_LONGEST_NUMBER = 10
# Counts that differ by less are only said to be about equal.
_ABOUT_EQUAL = 0.001
# A notebook stores every output in its file, so long tables are cut.
_MOST_NOTEBOOK_ROWS = 300
_SCRIPTS = ("contents.js", "diagram.js", "layers.js")
# Runs before the page is drawn, so that folded rows are never drawn open.
_START = 'document.documentElement.classList.add("js")'
_LINE_BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


def render_report(template: str, report: Report) -> str:
    """Renders a report with a template."""
    return _finish(template, _load_environment(template).get_template(template).render(view=view_report(report)))


def render_profile(template: str, profile: Profile) -> str:
    """Renders a profile with a template."""
    return _finish(template, _load_environment(template).get_template(template).render(view=view_profile(profile)))


def render_judgement(template: str, judgement: Judgement, limit: int) -> str:
    """Renders a judgement as Markdown of at most `limit` characters, with a first line that identifies the comment."""
    page = _load_environment(template).get_template(template)
    return cut_markdown(split_parts(page.render(view=view_judgement(judgement), mark_line=Markup(_make_marker(judgement)))), limit)


def render_view(template: str, view: object) -> str:
    """Renders any other view with a template."""
    return _finish(template, _load_environment(template).get_template(template).render(view=view))


def _finish(template: str, text: str) -> str:
    return cut_markdown(split_parts(text)) if template.endswith(".md.j2") else text


def load_templates(templates: Iterable[str]) -> None:
    """Compiles all templates of the same formats as these, which takes half of the time of a first report."""
    for template in templates:
        environment = _load_environment(template)
        ending = template[template.index(".") :]
        for name in environment.list_templates():
            if name.endswith(ending):
                environment.get_template(name)


def render_summary(report: Report) -> str:
    """Renders a report as an HTML fragment for a notebook: no style, no script, nothing that affects the rest of the page."""
    return _load_environment("notebook.html.j2").get_template("notebook.html.j2").render(view=view_report(report))


def render_profile_summary(profile: Profile) -> str:
    """Renders a profile as an HTML fragment for a notebook, like `render_summary`."""
    name = "notebook_profile.html.j2"
    return _load_environment(name).get_template(name).render(view=view_profile(profile))


def _make_marker(judgement: Judgement) -> str:
    """The invisible line that identifies the comment of this config, so that CI updates it instead of adding another."""
    source = "".join(character for character in judgement.source if character.isalnum() or character in "./_").replace("..", "")
    return f"<!-- archaudit check {source} -->"


def escape_markdown(value: object) -> Markup:
    """The text for a line or a table cell of Markdown, escaped so that nothing in it is interpreted."""
    if isinstance(value, Markup):
        return value
    return Markup(_MARKDOWN_SPECIAL.sub(_escape_special, _LINE_BREAKS.sub(" ", str(value))))


def _escape_special(found: re.Match[str]) -> str:
    special = found[0]
    return _AS_ENTITY.get(special) or _AS_SPLIT.get(special) or f"\\{special}"


def _mark_part(name: str, importance: int) -> Markup:
    return Markup(mark_part(name, importance))  # no names from models


def _mark_row(weight: float) -> Markup:
    return Markup(mark_row(weight))


def _draw_mermaid(diagrams: Sequence[Diagram]) -> Markup:
    return Markup(write_mermaid(diagrams))  # escaped label by label


def _write_steps(flow: Flow) -> Markup:
    """The forward passes as a diff block, which GitHub colours; its fence is longer than any run of tildes in a name."""
    lines = []
    for line in flow.lines:
        if line.kind in ("", "moved") and line.before == line.after:
            lines.append(f"  {line.before}")
            continue
        sides = [f"{mark} {text}" for mark, text in (("-", line.before), ("+", line.after)) if text]
        lines += sides if line.kind else [f"  {line.after or line.before}"]
    text = "\n".join(lines)
    fence = "~" * max(3, 1 + max((len(run) for run in re.findall("~+", text)), default=0))
    return Markup(f"{fence}diff\n{text}\n{fence}")


def _pack_numbers(layers: LayerTable) -> Markup:
    """The layer table's numbers for the page's script: depth, whether the row gathers, params, FLOPs, and param bytes if not 4 each."""
    return write_json([_pack_row(row.depth, row.gathers, row.numbers) for row in layers.tree])


def _pack_row(depth: int, gathers: bool, numbers: tuple[int | None, ...]) -> list[int | str | None]:
    params, sizes, flops = numbers[0:2], numbers[2:4], numbers[4:6]
    plain = all(size is None or count is None or size == 4 * count for count, size in zip(params, sizes, strict=True))
    row = [depth, int(gathers), *params, *flops, *(() if plain else sizes)]
    return [str(each) if each is not None and each > _LARGEST_EXACT else each for each in row]


def write_json(value: object) -> Markup:
    """JSON for a script element: nothing in it ends the element."""
    text = msgspec.json.encode(value).decode()
    return Markup(re.sub("[<>&\u2028\u2029]", lambda found: _JSON_SPECIAL[found[0]], text))


def _shorten_shapes(text: str) -> str:
    """Several shapes, as many as there is room for."""
    cut = text.rfind(",", 0, _LONGEST_SHAPES)
    return f"{text[: cut if cut > 0 else _LONGEST_SHAPES]} {ELLIPSIS}"


def _choose_exact(layers: LayerTable) -> tuple[bool, ...]:
    """For each column of figures, whether the page shows every digit; next to times there is no room for them."""
    has_times = bool(layers.columns_of("latency"))
    fits = [width <= _LONGEST_NUMBER and not has_times for width in layers.widths]
    return tuple(exact and fit for exact, fit in zip(layers.shown_exact, fits, strict=True))


_MAIN_COLUMNS = ("params", "flops", "latency")


def _list_other_counts(layers: LayerTable, each: TreeRow) -> str | list[tuple[str, str]]:
    """What other counters count for a row, where it is not what archaudit counts; `=` where all agree.

    A short text, `fvcore +4.1 %`, and the exact numbers, `fvcore MACs 1,200 → 1,100`.
    """
    differing = []
    counted = False
    for group in layers.groups:
        if group.key in _MAIN_COLUMNS:
            continue
        name, _, metric = group.key.rpartition(" ")
        figures = [each.row.figures[position] for position in layers.columns_of(group.key)]
        counted = counted or any(figure.exact for figure in figures)
        if {figure.exact for figure in figures} <= {"=", ""}:
            continue
        ours = each.numbers[:2] if metric == "params" else tuple(None if flops is None else flops // 2 for flops in each.numbers[4:6])
        differences = [
            _describe_difference(figure, own) for figure, own in zip(figures, ours, strict=False) if figure.exact not in ("", "=")
        ]
        exact = " → ".join(figure.exact or NOTHING for figure in figures)
        differing.append((f"{name}{' params' if metric == 'params' else ''} {differences[-1]}", f"{group.label} {exact}"))
    return differing or ("=" if counted else [])


def _describe_difference(figure: Figure, ours: int | None) -> str:
    """`+4.1 %`, `≈` below 0.1 %; the other counter's number where archaudit counts nothing."""
    digits = figure.exact.replace(",", "")
    if not ours or not digits.isdecimal():
        return figure.short
    return "≈" if abs(int(digits) / ours - 1) < _ABOUT_EQUAL else format_change(ours, int(digits))


def _place_across(x: float) -> float:
    """The position of a point across a plot, in per cent of its width."""
    return round(100 * (x - LEFT) / WIDTH, 2)


@lru_cache(maxsize=2)
def _load_environment(template: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("archaudit.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=escape_markdown if template.endswith(".md.j2") else None,
    )
    if template.endswith(".html.j2"):
        _add_page_parts(environment)
    else:
        environment.globals |= {"part": _mark_part, "mark": _mark_row, "mermaid": _draw_mermaid, "steps": _write_steps}
    return environment


def _add_page_parts(environment: Environment) -> None:
    """Adds what pages need: style and scripts with the hashes for the Content-Security-Policy, and functions."""
    assert environment.loader is not None
    style, *scripts = (environment.loader.get_source(environment, name)[0] for name in ("style.css", *_SCRIPTS))
    for name, text in (("style", style), ("script", "".join(scripts)), ("start", _START)):
        environment.globals[name] = Markup(text)
        environment.globals[f"{name}_hash"] = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    environment.globals |= {"place": place_diagrams, "no_program": NO_PROGRAM, "across": _place_across, "pack": _pack_numbers}
    environment.globals |= {"brief": _shorten_shapes, "exact_columns": _choose_exact, "other_counts": _list_other_counts}
    environment.globals["most_rows"] = _MOST_NOTEBOOK_ROWS
