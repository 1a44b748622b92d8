"""Markdown within a maximum length: the least important parts are left out first, and a note names them. Also diagrams as Mermaid.

A template marks where a part begins, and which table rows may be left out one by one. The marks are control characters, which no text of a
report contains (`formatting.make_visible` escapes them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from archaudit.render.formatting import shorten_middle
from archaudit.render.view.drawing_records import Box, Diagram

# The longest comment or issue on GitHub, in characters.
LIMIT = 65_536

_PART, _ROW = "\x1e", "\x1f"
_MARKED_PART = re.compile(f"^{_PART}([0-9]+) (.*)\n", re.MULTILINE)
_MARKED_ROW = re.compile(f"^{_ROW}([^{_ROW}]*){_ROW}", re.MULTILINE)
# Characters reserved for the note that names what was left out.
_ROOM_FOR_NOTE = 600


class MarkdownPart(NamedTuple):
    """A part of a document. Parts with the lowest importance are left out first, parts without a name never."""

    name: str
    importance: int
    text: str


def mark_part(name: str, importance: int) -> str:
    """The mark of a new part; it needs a line of its own."""
    return f"{_PART}{importance} {name}"


def mark_row(weight: float) -> str:
    """The mark at the start of a row that may be left out; the lightest rows go first."""
    return f"{_ROW}{weight:.6g}{_ROW}"


def split_parts(text: str) -> list[MarkdownPart]:
    """The parts of a marked text; the text before the first mark has no name."""
    pieces = _MARKED_PART.split(text)
    parts = [MarkdownPart("", 0, pieces[0])]
    parts += (
        MarkdownPart(name, int(importance), body) for importance, name, body in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True)
    )
    return parts


def cut_markdown(text_parts: Sequence[MarkdownPart], limit: int = LIMIT) -> str:
    """All parts in one text of at most `limit` characters; the last sentence names what was left out."""
    whole = "".join(_unmark(part.text) for part in text_parts)
    if len(whole) <= limit:
        return whole
    kept = list(text_parts)
    gone: list[str] = []
    excess = len(whole) - max(0, limit - _ROOM_FOR_NOTE)
    for part in sorted((part for part in text_parts if part.name), key=lambda part: part.importance):
        if excess <= 0:
            break
        place = kept.index(part)
        fewer, rows, left = _drop_rows(part.text, excess)
        saved = len(_unmark(part.text)) - len(_unmark(fewer))
        if rows and saved >= excess:
            kept[place] = part._replace(text=fewer)
            gone.append(f"{rows:,} of {left + rows:,} rows of {part.name}")
        else:
            del kept[place]
            saved = len(_unmark(part.text))
            gone.append(part.name)
        excess -= saved
    note = f"\nLeft out to fit into {limit:,} characters: {'; '.join(gone)}. The HTML and JSON reports are complete.\n"
    return _cut_lines("".join(_unmark(part.text) for part in kept), limit - len(note)) + note


def _unmark(text: str) -> str:
    return _MARKED_ROW.sub("", text)


def _drop_rows(text: str, excess: int) -> tuple[str, int, int]:
    """The text without as many of its lightest rows as needed; how many were removed, and how many are left."""
    lines = text.split("\n")
    rows = [(float(found[1]), place) for place, line in enumerate(lines) if (found := _MARKED_ROW.match(line))]
    going: set[int] = set()
    for _, place in sorted(rows, key=lambda row: (row[0], -row[1])):
        if excess <= 0:
            break
        going.add(place)
        excess -= len(_unmark(lines[place])) + 1
    return "\n".join(line for place, line in enumerate(lines) if place not in going), len(going), len(rows) - len(going)


def _cut_lines(text: str, limit: int) -> str:
    """As many whole lines from the beginning as fit."""
    return text if len(text) <= limit else text[: max(0, text.rfind("\n", 0, max(0, limit)) + 1)]


# --- diagrams as Mermaid flowcharts, which GitHub draws in Markdown ---


_LONGEST_LABEL = 60
_PLAIN = re.compile(r"[^A-Za-z0-9 _.,:%()+~\u00a0-\U0010ffff-]")
_SHAPES = {"module": ('["', '"]'), "operator": ('(["', '"])'), "input": ('(["', '"])')}
_LINKS = {"": "-->", "added": "==>", "removed": "-.->"}
_MARKS = {"added": "+ ", "removed": "- ", "changed": "~ "}
# Fixed colours with their own text colour, so that they are readable in GitHub's light and dark theme.
_CLASSES = (
    "classDef added fill:#e4f4ea,stroke:#11703a,stroke-width:3px,color:#1a2129",
    "classDef removed fill:#fde8e6,stroke:#b3261e,stroke-width:2px,stroke-dasharray:6 4,color:#1a2129",
    "classDef changed fill:#fdf1dc,stroke:#8a5300,stroke-width:2px,color:#1a2129",
)


def write_mermaid(diagrams: Sequence[Diagram]) -> str:
    """One flowchart with a subgraph for each side, without a final newline."""
    lines = ["flowchart TB"]
    if any(box.state for diagram in diagrams for box in diagram.boxes):
        lines += (f"  {each}" for each in _CLASSES)
    for place, diagram in enumerate(diagrams):
        lines += _write_side(diagram, "ab"[place], alone=len(diagrams) == 1)
    return "\n".join(lines)


def _write_side(diagram: Diagram, letter: str, *, alone: bool) -> Iterator[str]:
    if not alone:
        yield f'  subgraph side_{letter}["{escape_mermaid(f"{diagram.side}: {diagram.title}")}"]'
    for place, box in enumerate(diagram.boxes):
        opening, closing = _SHAPES[box.kind]
        state = f":::{box.state}" if box.state else ""
        yield f"    {letter}{place}{opening}{_label(box)}{closing}{state}"
    for edge in diagram.edges:
        yield f"    {letter}{edge.source} {_LINKS[edge.state]} {letter}{edge.target}"
    if not alone:
        yield "  end"


def _label(box: Box) -> str:
    change = f"{_MARKS[box.state]}{box.change}" if box.state else ""
    return "<br>".join(escape_mermaid(text) for text in (box.name, box.type, box.shape, box.figures, change) if text)


def escape_mermaid(text: str) -> str:
    """The text shortened and escaped for a quoted label."""
    return _PLAIN.sub(lambda found: f"#{ord(found[0])};", shorten_middle(text, _LONGEST_LABEL))
