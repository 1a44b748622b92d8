"""A progress bar on a terminal's standard error with the name and the time of the current step, removed when the command ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archaudit.cli.output import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress


@dataclass(slots=True)
class ProgressCallbacks:
    """The callbacks of a command: `notify(stage)` names the step, `advance(done, total)` fills the bar."""

    notify: Callable[[str], None] = lambda stage: None
    advance: Callable[[int, int], None] = lambda done, total: None


@contextmanager
def show_progress() -> Iterator[ProgressCallbacks]:
    """Shows a bar, which moves until the total is known and then fills; nothing if standard error is not a terminal."""
    if not is_terminal(sys.stderr):
        yield ProgressCallbacks()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    words = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
    counts = TextColumn("{task.fields[counts]}", markup=False)
    columns = (BarColumn(20), counts, TimeElapsedColumn(), words)
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as progress:
        bar = _Bar(progress)
        yield ProgressCallbacks(bar.notify, bar.advance)


class _Bar:
    """One task: its time is that of the step, until the steps are counted."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None, counts="")
        self._counted = False
        self._lock = threading.Lock()  # a sweep reports from several threads

    def notify(self, stage: str) -> None:
        with self._lock:
            if self._counted:
                self._progress.update(self._task, description=stage)
            else:
                self._progress.reset(self._task, total=None, description=stage, counts="")

    def advance(self, done: int, total: int) -> None:
        with self._lock:
            self._counted = True
            most = max(done, total)
            self._progress.update(self._task, completed=done, total=most, counts=f"{done}/{most}")
