"""Templates to text: the only file that knows jinja2.

Everything that a template prints is escaped for its format unless it is already markup: HTML by jinja's autoescape, Markdown by
`escape_markdown`, which comes before it. A name that is not there is an error.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from archaudit.render.view import view_profile, view_report
from archaudit.schema import Profile, Report

# What Markdown, HTML or GitHub would act upon: emphasis, code, links, tables, strikethrough, formulas, tags, references, mentions and
# addresses that become links by themselves.
_MARKDOWN_SPECIAL = re.compile(r"[&<>|`\\*\[\]~#$@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=[Ww])\.|(?<=:)(?=//)")
# Where a backslash is not enough: it is itself special, or tables and code are split before it is looked at.
_AS_ENTITY = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;", "\\": "&#92;"}
# An empty comment keeps apart what would be recognised together, and shows nothing.
_AS_SPLIT = {"@": "@<!-- -->", ".": ".<!-- -->", "": "<!-- -->"}
_LINE_BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


def render_report(template: str, report: Report) -> str:
    """A report in the format that the template's name says."""
    return _load_environment(template).get_template(template).render(view=view_report(report))


def render_profile(template: str, profile: Profile) -> str:
    """A profile in the format that the template's name says."""
    return _load_environment(template).get_template(template).render(view=view_profile(profile))


def escape_markdown(value: object) -> Markup:
    """The text for a line or a table cell of Markdown, where it means itself and nothing else."""
    if isinstance(value, Markup):
        return value
    return Markup(_MARKDOWN_SPECIAL.sub(_escape_special, _LINE_BREAKS.sub(" ", str(value))))


def _escape_special(found: re.Match[str]) -> str:
    special = found[0]
    return _AS_ENTITY.get(special) or _AS_SPLIT.get(special) or f"\\{special}"


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
    style = environment.get_template("style.css").render() if template.endswith(".html.j2") else ""
    environment.globals["style"] = Markup(style)  # our own file
    environment.globals["style_hash"] = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment
