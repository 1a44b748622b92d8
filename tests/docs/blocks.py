"""The fenced blocks of a documentation page, in order, with the HTML comments that say how to test them.

    <!-- not run: REASON -->     before a block: readers need something that a test run does not have, such as a GPU
    <!-- slow: REASON -->        before a block: only `pytest -m slow` runs it
    <!-- output of: COMMAND -->  ... <!-- end of output -->: Markdown that the command prints
    <!-- setup ... -->           blocks inside the comment run like the others, but readers do not see them

The first word of a block's info string is its language. `file=PATH` saves the block as a file of the page's project, and `exit=N` is the
exit status of its last command (default: 0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

_MARK = re.compile(r"<!-- (not run|slow): (.+?) -->", re.DOTALL)
_OUTPUT = re.compile(r"<!-- output of: (.+?) -->\n(.*?)<!-- end of output -->", re.DOTALL)
_SETUP = re.compile(r"<!-- setup\n(.*?)-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block, or the output of a command. `line` is the first line of its text in the page, counted from 1."""

    line: int
    language: str
    text: str
    options: dict[str, str] = field(default_factory=dict)
    mark: str = ""
    reason: str = ""
    command: str = ""


def list_blocks(page: Path) -> list[Block]:
    """Every fenced block and every command's output of a Markdown file, in the order of the page."""
    return sorted(_parse(page.read_text(encoding="utf-8"), 0), key=lambda block: block.line)


def _parse(text: str, offset: int) -> Iterator[Block]:
    comments: list[str] = []
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "html_block":
            comments.append(token.content)
            yield from _parse_setup(token, offset)
        elif token.type == "fence":
            yield _read_fence(token, comments, offset)
            comments = []
        elif token.type not in ("list_item_open", "paragraph_close"):
            comments = []
    for found in _OUTPUT.finditer(text):
        line = offset + text[: found.start(2)].count("\n") + 1
        marks = _MARK.findall(text[: found.start()].rpartition("\n\n")[2])
        mark, reason = marks[-1] if marks else ("", "")
        yield Block(line, "output", found[2], mark=mark, reason=reason, command=found[1])


def _parse_setup(token: Token, offset: int) -> Iterator[Block]:
    found = _SETUP.search(token.content)
    if found is not None and token.map is not None:
        before = token.content[: found.start(1)].count("\n")
        yield from _parse(found[1], offset + token.map[0] + before)


def _read_fence(token: Token, comments: list[str], offset: int) -> Block:
    assert token.map is not None
    language, *words = token.info.split()
    options = dict(word.split("=", 1) for word in words)
    marks = _MARK.findall("".join(comments))
    mark, reason = marks[-1] if marks else ("", "")
    return Block(offset + token.map[0] + 2, language, token.content, options, mark, reason)
