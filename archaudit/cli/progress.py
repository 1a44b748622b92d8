"""A status line on a terminal's standard error, removed when the command ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.status import Status


@dataclass(slots=True)
class ProgressCallbacks:
    """The callbacks of a command: `notify(stage)` names the stage, `advance(done, total)` sets the progress bar."""

    notify: Callable[[str], None] = lambda stage: None
    advance: Callable[[int, int], None] = lambda done, total: None


@contextmanager
def show_progress() -> Iterator[ProgressCallbacks]:
    """Shows a status line, then a bar when the total is known; nothing if standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield ProgressCallbacks()
        return
    from rich.console import Console
    from rich.text import Text

    with ExitStack() as stack:
        line = _Line(stack.enter_context(Console(stderr=True).status(Text("starting"))), stack)
        yield ProgressCallbacks(line.notify, line.advance)


class _Line:
    """A status that becomes a bar. The bar is imported when it is first needed, because a comparison has none."""

    def __init__(self, status: Status, stack: ExitStack) -> None:
        self._status = status
        self._stack = stack
        self._stage = ""
        self._bar: tuple[Progress, TaskID] | None = None
        self._lock = threading.Lock()  # a sweep reports from several threads

    def notify(self, stage: str) -> None:
        from rich.text import Text

        with self._lock:
            self._stage = stage
            if self._bar is None:
                self._status.update(Text(stage))
            else:
                progress, task = self._bar
                progress.update(task, description=stage)

    def advance(self, done: int, total: int) -> None:
        with self._lock:
            if self._bar is None:
                self._bar = self._start_bar()
            progress, task = self._bar
            progress.update(task, completed=done, total=max(done, total))

    def _start_bar(self) -> tuple[Progress, TaskID]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        self._status.stop()
        words = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
        columns = (BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn(compact=True), words)
        progress = Progress(*columns, console=self._status.console, transient=True, expand=True)
        self._stack.enter_context(progress)
        return progress, progress.add_task(self._stage)
