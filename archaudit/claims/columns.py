"""What the columns of a table are: the name of a model, the resolution of its input, or a metric with its unit.

A heading is read by its words. `Params (M)`, `# of parameters (×10⁶)`, `#P`, `param_count` count parameters; `MAdds`, `GMACs`, `Mult-Adds`
count multiply-accumulates; `FLOPs`, `GFLOPs`, `BFLOPS`, `ops` count FLOPs, by which most documents mean multiply-accumulates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from archaudit.schema.documents import Table

# The order decides: a heading that fits two patterns is the first.
# Words of columns that state no metric of the model, or none that is measured here.
_OTHER_COLUMN = (
    r"top-?\s?[15]\b|acc(?:uracy)?\b|acc@|error|mAP\b|mIoU|\bAP\b|latency|throughput|fps|(?<![a-z])ms\b|img/s|images/s|speed|time|memory"
    r"|epoch|batch|lr\b|link|download|log\b|config\b|url|paper|year|rank|diff|licen[cs]e|train|weights?\b(?!.*param)"
)
_NAME_COLUMN = (
    r"^(?:model|name|arch(?:itecture)?|network|backbone|encoder|method|variant|net|module|cnn|id)\b|model(?:[ _]name)?$|^models?\b|backbone"
)
_RESOLUTION_COLUMN = r"resolution|res\.?$|\bcrop|(?:input|image|img|test|eval)[ _]?(?:image[ _]?)?size|^size$|^input$|img_size|\bpixels?\b"
# The order decides: a heading that fits two patterns is the first.
_ROLES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (role, re.compile(pattern, re.IGNORECASE))
    for role, pattern in (
        ("dataset", r"^(?:pre-?train\w*|(?:training )?data(?:set)?|in collection)$"),
        ("", _OTHER_COLUMN),
        ("params", r"#\s?p\b|param|\bweights\b.*\bM\b|model size \(m\)|^size \(m\)$"),
        ("macs", r"macs?\b|gmac|madd|m-adds|mult(?:iply)?[- ]?(?:adds?|acc)|multiadds"),
        ("flops", r"flop|\bops\b|\bcomplexity\b.*\bG\b"),
        ("param_bytes", r"(?:file|model|checkpoint)?\s?size\s?[(\[]?\s?(?:[KMG]i?B)\b"),
        ("resolution", _RESOLUTION_COLUMN),
        ("name", _NAME_COLUMN),
    )
)
_SECOND_NAME = re.compile(r"^(?:method|framework|detector|decoder|head|segmentor|model)\b", re.IGNORECASE)
_LINKS = frozenset(("model", "github", "link", "download", "config", "log", "weights", "here", "url", "checkpoint", "ckpt", "-"))
_NUMERIC = re.compile(r"[~≈<>≤≥+-]?\s?[\d.,\s]+\s?[A-Za-z%×/]{0,8}\*?")

_MARKER = re.compile(r"\b(before|old|original|baseline|after|new|now|updated)\b", re.IGNORECASE)
_AFTER_WORDS = ("after", "new", "now", "updated")

METRIC_ROLES = ("params", "macs", "flops", "param_bytes")


class Columns(NamedTuple):
    """The positions of a table's columns: the names of models, a second name that belongs to them, the resolution, and each metric."""

    name: int
    qualifier: int | None
    resolution: int | None
    metrics: dict[int, str]


def read_role(heading: str) -> str:
    """What a heading says that its column holds: `name`, `resolution`, `dataset` or a metric; empty if it is anything else."""
    return next((role for role, pattern in _ROLES if pattern.search(heading.strip())), "")


def is_other_column(heading: str) -> bool:
    """Whether a heading is known to state no metric that is measured here: an accuracy, a time, a link, activations."""
    return re.search(_OTHER_COLUMN + r"|activations?\b|\bm?acts\b", heading, re.IGNORECASE) is not None


def read_columns(table: Table) -> Columns | None:
    """The columns of a table that states metrics of models; None if it does not."""
    roles = [read_role(heading) for heading in table.headings]
    metrics = {position: role for position, role in enumerate(roles) if role in METRIC_ROLES}
    if not metrics:
        return None
    names = [position for position, role in enumerate(roles) if role == "name" and _has_texts(table, position)]
    if not names:  # a heading that says nothing, over texts: the names are first
        names = [position for position, role in enumerate(roles) if not role and position not in metrics and _has_texts(table, position)][
            :1
        ]
    if not names:
        return None
    second = [
        position
        for position, role in enumerate(roles)
        if role == "name" and position != names[0] and _SECOND_NAME.match(table.headings[position]) and _has_texts(table, position)
    ]
    resolution = next((position for position, role in enumerate(roles) if role == "resolution"), None)
    return Columns(names[0], second[0] if second else None, resolution, metrics)


def _has_texts(table: Table, position: int) -> bool:
    """Whether most cells of a column are texts, not numbers and not links."""
    cells: Sequence[str] = [row[position] for row in table.rows if row[position]]
    texts = [cell for cell in cells if not _NUMERIC.fullmatch(cell) and cell.casefold() not in _LINKS]
    return bool(texts) and len(texts) * 2 >= len(cells)


def find_side(heading: str) -> str:
    """The last side that a text names; empty if there is none."""
    marked = _MARKER.findall(heading)
    return "" if not marked else "after" if marked[-1].casefold() in _AFTER_WORDS else "before"
