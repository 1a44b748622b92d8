"""Histories and sweeps in every format."""

from __future__ import annotations

from collections.abc import Iterator

from archaudit.render.layout import TextColumn, choose_columns, lay_out, shorten, wrap
from archaudit.render.templating import render_view
from archaudit.render.view.studies import StudyView, tell_bisection, view_history, view_sweep
from archaudit.schema import Bisection, History, Sweep, encode

_NARROWEST = 40


def render_study_text(study: History | Sweep, width: int) -> str:
    """The table, with what is to be told of a row below it."""
    return "\n".join(line.rstrip() for line in _write_lines(_view(study), max(width, _NARROWEST))) + "\n"


def render_bisection_text(found: Bisection, width: int) -> str:
    """What came of a search."""
    lines = [line for sentence in tell_bisection(found) for line in wrap(sentence, max(width, _NARROWEST), "    ")]
    return "\n".join(lines) + "\n"


def render_study_markdown(study: History | Sweep) -> str:
    """Tables and diagrams that GitHub renders."""
    return render_view("study.md.j2", _view(study))


def render_study_html(study: History | Sweep) -> str:
    """One self-contained page."""
    return render_view("study.html.j2", _view(study))


STUDY_FORMATS = {
    "json": lambda study: encode(study).decode(),
    "markdown": render_study_markdown,
    "html": render_study_html,
}


def _view(study: History | Sweep) -> StudyView:
    return view_history(study) if isinstance(study, History) else view_sweep(study)


def _write_lines(view: StudyView, width: int) -> Iterator[str]:
    yield shorten(view.title, width)
    yield ""
    columns = [
        TextColumn(column.heading, column.cells, rank=column.rank, right=column.right, least=column.least) for column in view.columns
    ]
    heads, rows = lay_out(choose_columns(columns, width), width)
    yield from heads
    for place, row in enumerate(rows):
        yield row
        for detail in view.details.get(place, ()):
            yield from wrap(f"    {detail}", width, "      ")
    yield ""
    for sentence in (view.sentence, *view.notes):
        yield from wrap(sentence, width)
