"""The section on a training step as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from archaudit.render.layout import TextColumn, choose_columns, format_columns, shorten, wrap
from archaudit.render.lines import Line
from archaudit.render.view.training_records import TrainingTable, TrainingView

# Longer lines of prose are hard to follow, however wide the terminal.
_WIDEST_TEXT = 120
_LEAST_NAME = 16


def write_training(view: TrainingView | None, width: int) -> Iterator[Line]:
    """All lines of the section; none without one."""
    if view is None:
        return
    yield Line()
    yield Line("Training step", "heading")
    for sentence in view.sentences:
        yield from (Line(line) for line in wrap(sentence, min(width, _WIDEST_TEXT), "  "))
    yield Line()
    for curve in view.curves:
        label = f"  memory{f' {curve.side}' if curve.side else ''}"
        yield Line(f"{_fit_blocks(curve.blocks, width - len(label))}{label}")
    for table in view.tables:
        yield from _write_table(table, width)
    if view.notes:
        yield Line()
    for note in view.notes:
        yield from (Line(line, "dim") for line in wrap(note, min(width, _WIDEST_TEXT), "  "))


def _fit_blocks(blocks: str, width: int) -> str:
    """The curve in at most `width` characters: the highest of neighbouring ones."""
    each = -(-len(blocks) // width)
    return "".join(max(blocks[start : start + each]) for start in range(0, len(blocks), each))


def _write_table(table: TrainingTable, width: int) -> Iterator[Line]:
    if not table.rows:
        return
    columns = [
        TextColumn(
            heading,
            tuple(row[place] for row in table.rows),
            rank=max(0, place - table.texts),
            right=place >= table.texts,
            least=_LEAST_NAME if place < table.texts else 0,
        )
        for place, heading in enumerate(table.headings)
    ]
    headings, lines = format_columns(choose_columns(columns, width), width)
    yield Line()
    yield Line(shorten(table.label, width), "heading")
    yield from (Line(shorten(line, width), "dim") for line in headings)
    yield from (Line(shorten(line, width)) for line in lines)
