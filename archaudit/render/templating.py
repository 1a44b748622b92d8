"""Templates to text: the only file that knows jinja2.

Everything that a template prints is escaped for its format unless it is already markup: HTML by jinja's autoescape, Markdown by
`escape_markdown`, which comes before it. A name that is not there is an error.
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

from archaudit.render.diagram import NO_PROGRAM, place_diagram
from archaudit.render.layout import shorten
from archaudit.render.markdown import cut_markdown, mark_part, mark_row, split_parts, write_mermaid
from archaudit.render.view import view_judgement, view_profile, view_report
from archaudit.render.view.drawing_records import Diagram, Flow
from archaudit.render.view.records import LayerTable
from archaudit.schema import Judgement, Profile, Report

# What Markdown, HTML or GitHub would act upon: emphasis, code, links, tables, strikethrough, formulas, tags, references, mentions and
# addresses that become links by themselves.
_MARKDOWN_SPECIAL = re.compile(r"[&<>|`\\*\[\]~#$@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=[Ww])\.|(?<=:)(?=//)")
# Where a backslash is not enough: it is itself special, or tables and code are split before it is looked at.
_AS_ENTITY = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;", "\\": "&#92;"}
# An empty comment keeps apart what would be recognised together, and shows nothing.
_AS_SPLIT = {"@": "@<!-- -->", ".": ".<!-- -->", "": "<!-- -->"}
# Numbers beyond this lose digits in a browser; they go there as texts.
_LARGEST_EXACT = 2**53
# What would end a script, or a line of one, in the middle of a text.
_JSON_SPECIAL = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
# Pixels of a character in an icicle, and what a cell needs besides.
_CELL_CHARACTER, _CELL_MARGIN = 6.7, 8
# A notebook keeps every output in its file.
_MOST_NOTEBOOK_ROWS = 300
# Marks the page before it is drawn, so that what folds is not drawn open first.
_START = 'document.documentElement.classList.add("js")'
_LINE_BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


def render_report(template: str, report: Report) -> str:
    """A report in the format that the template's name says."""
    return _finish(template, _load_environment(template).get_template(template).render(view=view_report(report)))


def render_profile(template: str, profile: Profile) -> str:
    """A profile in the format that the template's name says."""
    return _finish(template, _load_environment(template).get_template(template).render(view=view_profile(profile)))


def render_judgement(template: str, judgement: Judgement, limit: int) -> str:
    """Checks without a comparison as Markdown of at most `limit` characters, after the line by which it is found again."""
    page = _load_environment(template).get_template(template)
    return cut_markdown(split_parts(page.render(view=view_judgement(judgement), mark_line=Markup(_make_marker(judgement)))), limit)


def render_view(template: str, view: object) -> str:
    """Any other view in the format that the template's name says."""
    return _finish(template, _load_environment(template).get_template(template).render(view=view))


def _finish(template: str, text: str) -> str:
    return cut_markdown(split_parts(text)) if template.endswith(".md.j2") else text


def load_templates(templates: Iterable[str]) -> None:
    """Compiles all templates of these ones' formats, which is half of what the first report costs."""
    for template in templates:
        environment = _load_environment(template)
        ending = template[template.index(".") :]
        for name in environment.list_templates():
            if name.endswith(ending):
                environment.get_template(name)


def render_summary(report: Report) -> str:
    """A report as a piece of HTML for a page of somebody else's: no style, no script, nothing that reaches beyond it."""
    return _load_environment("notebook.html.j2").get_template("notebook.html.j2").render(view=view_report(report))


def render_profile_summary(profile: Profile) -> str:
    """A profile as a piece of HTML for a page of somebody else's, as `render_summary` makes it of a report."""
    name = "notebook_profile.html.j2"
    return _load_environment(name).get_template(name).render(view=view_profile(profile))


def _make_marker(judgement: Judgement) -> str:
    """The line that tells this comment from others: one for each config."""
    source = "".join(character for character in judgement.source if character.isalnum() or character in "./_").replace("..", "")
    return f"<!-- archaudit check {source} -->"


def escape_markdown(value: object) -> Markup:
    """The text for a line or a table cell of Markdown, where it means itself and nothing else."""
    if isinstance(value, Markup):
        return value
    return Markup(_MARKDOWN_SPECIAL.sub(_escape_special, _LINE_BREAKS.sub(" ", str(value))))


def _escape_special(found: re.Match[str]) -> str:
    special = found[0]
    return _AS_ENTITY.get(special) or _AS_SPLIT.get(special) or f"\\{special}"


def _mark_part(name: str, importance: int) -> Markup:
    return Markup(mark_part(name, importance))  # our own words


def _mark_row(weight: float) -> Markup:
    return Markup(mark_row(weight))


def _draw_mermaid(diagrams: Sequence[Diagram]) -> Markup:
    return Markup(write_mermaid(diagrams))  # escaped label by label


def _write_steps(flow: Flow) -> Markup:
    """The forward passes as a diff, which GitHub colours; the fence is longer than any that a name could bring."""
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
    """The numbers of the layer table for its script: depth, whether it gathers, params, FLOPs and (where not four each) param bytes."""
    return write_json([_pack_row(row.depth, row.gathers, row.numbers) for row in layers.tree])


def _pack_row(depth: int, gathers: bool, numbers: tuple[int | None, ...]) -> list[int | str | None]:
    params, sizes, flops = numbers[0:2], numbers[2:4], numbers[4:6]
    plain = all(size is None or count is None or size == 4 * count for count, size in zip(params, sizes, strict=True))
    row = [depth, int(gathers), *params, *flops, *(() if plain else sizes)]
    return [str(each) if each is not None and each > _LARGEST_EXACT else each for each in row]


def write_json(value: object) -> Markup:
    """JSON that can stand in a script element: nothing in it ends the element."""
    text = msgspec.json.encode(value).decode()
    return Markup(re.sub("[<>&\u2028\u2029]", lambda found: _JSON_SPECIAL[found[0]], text))


def _fit_cell(text: str, width: float) -> str:
    """As much of a text as fits into so many pixels; nothing where that says nothing."""
    room = int((width - _CELL_MARGIN) / _CELL_CHARACTER)
    return shorten(text, room) if room >= 3 else ""


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
    """What pages need: our own style and scripts, with the hashes that the page's policy allows them by, and functions."""
    assert environment.loader is not None
    style, script = (environment.loader.get_source(environment, name)[0] for name in ("style.css", "page.js"))
    for name, text in (("style", style), ("script", script), ("start", _START)):
        environment.globals[name] = Markup(text)
        environment.globals[f"{name}_hash"] = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    environment.globals |= {"place": place_diagram, "no_program": NO_PROGRAM, "fit": _fit_cell, "pack": _pack_numbers, "contents": True}
    environment.globals["most_rows"] = _MOST_NOTEBOOK_ROWS
