"""The figures of tables and sentences that name their model: what each states, and about which model of the catalogs.

The name in the row, else in the heading of the column, the sentence or the section, decides. A figure beside a name that no catalog has
is another model's. A table on another task, such as detection, is not about the models of an image classification library.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from archaudit.claims.columns import METRIC_ROLES, Columns, read_columns, read_role
from archaudit.claims.names import Catalog, Resolved, parse_resolution, read_name
from archaudit.schema import Quantity, parse_quantity
from archaudit.schema.documents import Document, Number, Table

# Words in a section, heading or dataset column that say that the models are not classifiers of ImageNet.
_OTHER_TASKS = re.compile(
    r"\b(?:cifar-?\d*|coco|ade20k|cityscapes|voc|kinetics(?:-?\d+)?|lvis|object detection|instance segmentation|semantic segmentation"
    r"|mask r-?cnn|upernet|retinanet|transfer learning|stanford cars|flowers|mnist|svhn|voxceleb|librispeech)\b",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[A-Za-z][A-Za-z+-]* \d{1,4}\b(?!\.\d|[KMGB])|[A-Za-z][\w./+-]*")  # "ResNet 50" is one word
_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z)|[;\n]")
_AT_SIZE = re.compile(
    r"(?:@|\bat|for|with)\s+(?:an? )?(?:input |image |resolution )?(?:of |size )*(\d{2,4}(?:\s?[x×]\s?\d{2,4})?)"
    r"(?!\s?(?:[KMGB%]|ms|epochs))",
    re.IGNORECASE,
)
_AT_SIZES = re.compile(r"@\s?(\d{2,4})")
_SHORTEST_NAME = 5  # letters and digits of a name in a sentence: "base" or "b16" is a word of any text
_DEFAULT_SCALES = {"params": "M", "macs": "G", "flops": "G"}
_SMALLEST_WHOLE = 1_000_000  # a number above states single parameters or operations, even below a heading with millions
_LARGEST_PLAIN = 10_000  # a number below, without a unit, states millions or billions: no published model has so few parameters


class NamedFigure(NamedTuple):
    """A number with the metric that it states, its unit, the name of its model as written, and the model that the name means."""

    number: Number
    metric: str
    unit: str
    name: str
    resolved: Resolved
    in_table: bool

    @property
    def figure(self) -> Quantity:
        """The figure as a quantity."""
        return parse_quantity(f"{self.number.reading} {self.unit}".strip())


class Catalogs(NamedTuple):
    """Catalogs in the order in which names are looked up. `classifies` says whether each is a library of image classifiers."""

    members: tuple[tuple[Catalog, bool], ...]

    def find(self, text: str, resolution: int | None, context: str) -> Resolved:
        """The model that a name means, in the first catalog that has it. `context` is the text that can name another task."""
        name = read_name(text)
        other = _OTHER_TASKS.search(context) or _OTHER_TASKS.search(text)
        result = Resolved(None, resolution, "unknown")
        if not name.key:
            return result
        for catalog, classifies in self.members:
            if classifies and other is not None:
                result = result if result.reason != "unknown" else Resolved(None, resolution, f"another task: {other[0]}")
                continue
            found = catalog.find(name, resolution)
            if found.entry is not None:
                return found
            if found.reason != "unknown":
                result = found
        return result


def list_named_figures(document: Document, catalogs: Catalogs) -> list[NamedFigure]:
    """Every number that states a metric of a named model, in the order of the document."""
    by_table: dict[int, list[Number]] = defaultdict(list)
    for number in document.numbers:
        if number.run.table >= 0:
            by_table[number.run.table].append(number)
    figures = [
        figure
        for position, numbers in by_table.items()
        for figure in _read_table(document.tables[position], numbers, catalogs, document.title)
    ]
    figures += _read_sentences(document, catalogs)
    return sorted(figures, key=lambda figure: (figure.number.line, figure.number.column))


# --- tables ---


def _read_table(table: Table, numbers: Sequence[Number], catalogs: Catalogs, title: str) -> Iterable[NamedFigure]:
    columns = read_columns(table)
    if columns is None:
        return [*_read_turned_table(table, numbers, catalogs)] or _read_details(table, numbers, catalogs)
    return read_rows(table, columns, numbers, catalogs, title)


def read_rows(table: Table, columns: Columns, numbers: Iterable[Number], catalogs: Catalogs, title: str = "") -> Iterable[NamedFigure]:
    """The figures in the columns of metrics, each about the model of its row. `title` is that of the document, which can name a family."""
    resolved: dict[tuple[int, int | None], tuple[str, Resolved]] = {}
    names = fill_down(table, columns.name)
    places: dict[tuple[int, int], int] = defaultdict(int)  # how many numbers of a cell came before
    for number in numbers:
        row, column = number.run.row, number.run.cell
        if row < 0 or column not in columns.metrics:
            continue
        sizes = _AT_SIZES.findall(table.headings[column])
        place = places[row, column]
        places[row, column] += 1
        size = int(sizes[min(place, len(sizes) - 1)]) if sizes else None  # "GMACs (@224 / @288)": the second number is at 288
        if (row, size) not in resolved:
            resolved[row, size] = resolve_row(table, columns, row, names[row], catalogs, title, size)
        name, result = resolved[row, size]
        if name:
            yield from _make_figure(number, columns.metrics[column], table.headings[column], name, result)


def fill_down(table: Table, column: int) -> list[str]:
    """The names of rows. A row without one continues the model above."""
    names: list[str] = []
    for row in table.rows:
        text = row[column]
        names.append(names[-1] if names and text in ("", '"', "-", "''") else text)
    return names


def resolve_row(
    table: Table, columns: Columns, row: int, name: str, catalogs: Catalogs, title: str = "", size: int | None = None
) -> tuple[str, Resolved]:
    """The name of a row and what it means. `size` is the resolution that the heading gives for this figure."""
    cells = table.rows[row]
    if columns.qualifier is not None and cells[columns.qualifier]:
        name = f"{name} {cells[columns.qualifier]}"
    resolution = size or (parse_resolution(cells[columns.resolution]) if columns.resolution is not None else None)
    if resolution is None:
        found = _AT_SIZES.search(" ".join(table.headings[position] for position in columns.metrics))
        resolution = int(found[1]) if found else None
    datasets = [cells[position] for position, heading in enumerate(table.headings) if read_role(heading) == "dataset"]
    context = " ".join((table.section, *datasets))
    result = catalogs.find(name, resolution, context)
    window = next((cells[position] for position, heading in enumerate(table.headings) if heading.casefold() == "window"), "")
    if window and (side := re.match(r"\d+", window)):  # a version of the model
        narrower = catalogs.find(f"{name} window{side[0]}", resolution, context)
        result = narrower if narrower.entry is not None else result
    if result.entry is None and result.reason == "unknown":  # "S24" in the section "CaiT"
        for family in (*_list_families(table.section), *_list_families(title)):
            longer = catalogs.find(f"{family} {name}", resolution, context)
            if longer.entry is not None:
                return name, longer
    qualifier = re.search(r"\(([a-z][a-z -]{2,24})\)", table.section)
    if result.entry is not None and qualifier and catalogs.find(f"{name} ({qualifier[1]})", resolution, context).entry != result.entry:
        return name, Resolved(None, resolution, f"unknown: {name} ({qualifier[1]})")
    return name, result


def _list_families(section: str) -> list[str]:
    """Words of a section that can be the family of a model: with a capital or a digit in the middle, or the only word."""
    words = re.findall(r"[A-Za-z][\w-]*", section)
    return [word for word in words if re.search(r"[a-z][A-Z]|\d|[A-Z]{2}", word) or len(words) <= 2][:3]


def _read_turned_table(table: Table, numbers: Sequence[Number], catalogs: Catalogs) -> Iterable[NamedFigure]:
    """A table with a row for each metric and a column for each model."""
    resolved = {column: catalogs.find(heading, None, table.section) for column, heading in enumerate(table.headings) if column and heading}
    if not any(result.entry is not None for result in resolved.values()):
        return
    for number in numbers:
        row, column = number.run.row, number.run.cell
        if row < 0 or column not in resolved:
            continue
        heading = table.rows[row][0]
        role = read_role(heading)
        if role in METRIC_ROLES:
            at = re.search(r"@\s?(\d{2,4})", heading)
            result = resolved[column]._replace(resolution=int(at[1])) if at else resolved[column]
            yield from _make_figure(number, role, heading, table.headings[column], result)


def _read_details(table: Table, numbers: Iterable[Number], catalogs: Catalogs) -> Iterable[NamedFigure]:
    """Figures with their own unit in a table without columns of metrics: "50 layers, 25.6M parameters" beside the name of a model."""
    for number in numbers:
        metric = _find_metric(number) if number.run.row >= 0 and number.run.cell else ""
        name = table.rows[number.run.row][0] if metric else ""
        if name:
            result = _check_metric(catalogs.find(name, None, table.section), metric)
            yield NamedFigure(number, metric, number.unit, name, result, in_table=False)


def _make_figure(number: Number, metric: str, heading: str, name: str, result: Resolved) -> Iterable[NamedFigure]:
    """The figure, if it can be parsed and its own unit does not say something else."""
    unit = number.unit
    try:
        if unit and parse_quantity(number.reading).value >= _SMALLEST_WHOLE:
            unit = ""
        quantity = parse_quantity(f"{number.reading} {unit}".strip())
    except ValueError:
        return
    if quantity.unit in ("%", "x", "ms", "us", "s") or number.kind not in ("number", "range"):
        return
    own = parse_quantity(number.reading).unit
    if own in ("params", "macs", "flops") and own != read_role(heading) and metric != "param_bytes":
        metric = own  # the cell says something else than the heading
    if quantity.scale == 1 and quantity.unit != "bytes" and abs(quantity.value) < _LARGEST_PLAIN and metric in _DEFAULT_SCALES and not unit:
        unit = _DEFAULT_SCALES[metric]
    yield NamedFigure(number, metric, unit, name, _check_metric(result, metric), in_table=True)


def _check_metric(result: Resolved, metric: str) -> Resolved:
    """What the name means; no model where the document does not say for which input it states operations."""
    if result.entry is None or result.entry.counts_operations or metric not in ("macs", "flops"):
        return result
    return Resolved(None, result.resolution, "operations depend on the size of the input, which is not stated")


# --- sentences ---


def _read_sentences(document: Document, catalogs: Catalogs) -> Iterable[NamedFigure]:
    """Figures in sentences: about the last model that is named before the figure in its sentence, else in the section's heading."""
    found_in: dict[int, list[tuple[int, str, Resolved]]] = {}
    last: tuple[Number, str] | None = None
    for number in document.numbers:
        if number.run.table >= 0 or number.kind not in ("number", "range"):
            continue
        line = number.run.line
        metric = _find_metric(number) or (_repeat_metric(number, last))
        if not metric:
            continue
        last = number, metric
        if line not in found_in:
            found_in[line] = find_names(number.run.whole, number.run.section, catalogs)
        start = number.column - 1
        named = choose_name(found_in[line], number.run.whole, start)
        if named is None:
            heading = catalogs.find(number.run.section, None, number.run.section)
            if heading.entry is None or len(read_name(number.run.section).key) < _SHORTEST_NAME:
                continue
            named = (0, number.run.section, heading)
        at = _AT_SIZE.search(number.run.whole[start : start + 60].partition(",")[0])
        resolution = parse_resolution(at[1]) if at else None
        result = named[2]._replace(resolution=resolution) if resolution else named[2]
        yield NamedFigure(number, metric, number.unit, named[1], _check_metric(result, metric), in_table=False)


def _repeat_metric(number: Number, last: tuple[Number, str] | None) -> str:
    """The metric of the figure before in the same sentence, if this one repeats it: "A has 11.7M parameters, B 25.6M". Else empty."""
    if last is None or last[0].line != number.line:
        return ""
    between = number.run.whole[last[0].column - 1 + len(last[0].text) : number.column - 1]
    following = number.run.whole[number.column - 1 + len(number.text) :].lstrip()
    scale = re.search(r"[KMGTB]$|illions?$", number.reading.strip())
    repeats = scale is not None and not _SENTENCE_END.search(between) and not following[:1].isalpha()
    return last[1] if repeats else ""


def _find_metric(number: Number) -> str:
    """The metric that the words of a figure in a sentence state; empty if they state none."""
    try:
        quantity = parse_quantity(f"{number.reading} {number.unit}".strip())
    except ValueError:
        return ""
    if quantity.unit in ("params", "macs", "flops"):
        return quantity.unit
    if quantity.unit or (quantity.scale == 1 and abs(quantity.value) < _LARGEST_PLAIN):
        return ""
    noun = number.noun.casefold()
    if re.match(r"(?:trainable |learnable |total )?(?:param|weights)", noun):
        return "params"
    before = number.run.whole[max(0, number.column - 40) : number.column - 1]
    role = re.search(r"(#?\s?param(?:eter)?s?|G?MACs?|M-?Adds|G?FLOPs?)\W{0,8}\Z", before, re.IGNORECASE)
    return read_role(role[1]) if role else ""


def find_names(line: str, section: str, catalogs: Catalogs) -> list[tuple[int, str, Resolved]]:
    """The names of known models in a line, with the position after each, from left to right."""
    text = re.sub(r"[*`\[\]]", " ", line)
    text = re.sub(r"<[^<>]*>|\]?\([^()\s]*://[^()]*\)|https?://\S+", lambda found: " " * len(found[0]), text)
    words = list(_WORDS.finditer(text))
    names: list[tuple[int, str, Resolved]] = []
    position = 0
    while position < len(words):
        for size in (3, 2, 1):
            if position + size > len(words):
                continue
            start, end = words[position].start(), words[position + size - 1].end()
            name = " ".join(text[start:end].split()).strip(" .,-/+")
            if len(read_name(name).key) < _SHORTEST_NAME or "," in name or not re.search(r"[\d_-]|[a-z][A-Z]", name):
                continue
            result = catalogs.find(name, None, section)
            if result.entry is not None:
                names.append((end, name, result))
                position += size - 1
                break
        position += 1
    return names


def choose_name(names: Sequence[tuple[int, str, Resolved]], line: str, start: int) -> tuple[int, str, Resolved] | None:
    """The last name before the figure in its sentence; else the only name of the sentence."""
    ends = [0, *(found.end() for found in _SENTENCE_END.finditer(line)), len(line)]
    place = bisect_right(ends, start)
    first, last = ends[place - 1], ends[min(place, len(ends) - 1)]
    inside = [each for each in names if first <= each[0] <= last]
    before = [each for each in inside if each[0] <= start]
    if before:
        return before[-1]
    return inside[0] if len({each[1] for each in inside}) == 1 else None
