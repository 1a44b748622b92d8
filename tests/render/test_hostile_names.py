"""Names from models, configs and documents mean themselves in every format, whatever is in them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from render.synthetic import HOSTILE_NAMES, make_hostile_report

from archaudit.render import FORMATS, PROFILE_FORMATS, render_text
from archaudit.render.layout import measure_text
from archaudit.schema import decode_report

# A name that no format has an opinion on: what it comes to is what every other name must come to.
PLAIN = "plainname"
NAMED = [name for name in HOSTILE_NAMES if name]
COLOR = re.compile(r"\x1b\[[0-9;]*m")


class Skeleton(HTMLParser):
    """The tags of a page and their attributes' names, without any text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(" ".join([tag, *(name for name, _ in attrs)]))

    def handle_comment(self, data: str) -> None:
        self.tags.append("comment")

    def handle_decl(self, decl: str) -> None:
        self.tags.append(decl)


def _outline_html(text: str) -> list[str]:
    skeleton = Skeleton()
    skeleton.feed(text)
    return skeleton.tags


def _outline_markdown(text: str) -> list[str]:
    """The kinds of everything that the text parses to; runs of text, entities and empty comments between them count as one."""
    kinds: list[str] = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        for part in (token, *(token.children or ())):
            plain = part.type == "text" or part.content == "<!-- -->"
            if not plain:
                kinds.append(f"{part.type} {part.content if part.type == 'html_inline' else ''}")
    return kinds


@pytest.mark.parametrize("name", NAMED)
def test_html_keeps_its_structure(name: str) -> None:
    hostile, plain = make_hostile_report(name), make_hostile_report(PLAIN)
    assert _outline_html(FORMATS["html"](hostile)) == _outline_html(FORMATS["html"](plain))
    assert _outline_html(PROFILE_FORMATS["html"](hostile.before)) == _outline_html(PROFILE_FORMATS["html"](plain.before))


@pytest.mark.parametrize("name", NAMED)
def test_markdown_keeps_its_structure(name: str) -> None:
    hostile, plain = make_hostile_report(name), make_hostile_report(PLAIN)
    assert _outline_markdown(FORMATS["markdown"](hostile)) == _outline_markdown(FORMATS["markdown"](plain))
    assert _outline_markdown(PROFILE_FORMATS["markdown"](hostile.before)) == _outline_markdown(PROFILE_FORMATS["markdown"](plain.before))


def test_markdown_mentions_nobody_and_links_nowhere() -> None:
    text = FORMATS["markdown"](make_hostile_report("@someone #1 www.example.com https://example.com"))
    text = re.sub(r"^(```+|~~~+).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)  # in code nothing is looked for
    assert not re.search(r"@\w|(?<!\\)#1|www\.\w|://", text)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_text_obeys_nothing_and_fits(name: str, width: int) -> None:
    report = make_hostile_report(name)
    plain = render_text(report, width)
    assert not re.search(r"[^\n\x20-\x7e\xa0-\U0010ffff]|\u202e", plain)
    assert max(map(measure_text, plain.split("\n"))) <= width
    assert COLOR.sub("", render_text(report, width, color=True)) == plain


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_every_format_can_be_written(name: str, form: str) -> None:
    report = make_hostile_report(name)
    for text in (FORMATS[form](report), PROFILE_FORMATS[form](report.after)):
        assert "\u202e" not in text
        assert "\x1b" not in text
        assert text.encode()


@pytest.mark.parametrize("name", [name for name in HOSTILE_NAMES if name.isprintable() or name.isascii()])
def test_json_brings_every_name_back(name: str) -> None:
    report = make_hostile_report(name)
    assert decode_report(FORMATS["json"](report).encode(), "rendered") == report
