"""Diagrams as Mermaid flowcharts, which GitHub draws in Markdown.

Labels stand in quotes, and every character that Mermaid, HTML or a code fence could act upon is written as Mermaid's own `#NN;`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from archaudit.render.formatting import shorten_middle
from archaudit.render.view.pictures import Box, Diagram

_LONGEST_LABEL = 60
_PLAIN = re.compile(r"[^A-Za-z0-9 _.,:%()+~\u00a0-\U0010ffff-]")
_SHAPES = {"module": ('["', '"]'), "operator": ('(["', '"])'), "input": ('(["', '"])')}
_LINKS = {"": "-->", "added": "==>", "removed": "-.->"}
_MARKS = {"added": "+ ", "removed": "- ", "changed": "~ "}
# Fixed colours with their own text colour: GitHub's themes change what is around them only.
_CLASSES = (
    "classDef added fill:#e4f4ea,stroke:#11703a,stroke-width:3px,color:#1a2129",
    "classDef removed fill:#fde8e6,stroke:#b3261e,stroke-width:2px,stroke-dasharray:6 4,color:#1a2129",
    "classDef changed fill:#fdf1dc,stroke:#8a5300,stroke-width:2px,color:#1a2129",
)


def write_mermaid(diagrams: Sequence[Diagram]) -> str:
    """One flowchart with a part for each side; its last line has no end."""
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
    """The text for a quoted label, shortened in the middle."""
    return _PLAIN.sub(lambda found: f"#{ord(found[0])};", shorten_middle(text, _LONGEST_LABEL))
