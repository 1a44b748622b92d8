"""What a gate leaves for other programs: a judgement in each of their formats, one file a format, one line in OUTPUTS.

All are plain texts without time stamps: the same judgement gives the same bytes. Names from models and files are hostile in each.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from archaudit.schema import Judgement

__all__ = ["OUTPUTS", "Output", "write_output"]


class Output(NamedTuple):
    """A format: the file here that writes it, the name of the file that it is written to, and what reads it."""

    room: str
    file: str
    reader: str


OUTPUTS: dict[str, Output] = {
    "markdown": Output("comment", "check.md", "a comment on a pull request, below 65,536 characters"),
    "summary": Output("summary", "summary.md", "GitHub's step summary, below 1 MiB"),
    "annotations": Output("annotations", "annotations.txt", "GitHub's log, which shows them beside the source"),
    "junit": Output("junit", "junit.xml", "test reports"),
    "openmetrics": Output("openmetrics", "metrics.txt", "GitLab's metrics reports, Prometheus"),
    "sarif": Output("sarif", "check.sarif", "code scanning"),
    "badge": Output("badge", "badge.svg", "a README"),
    "csv": Output("table", "check.csv", "a spreadsheet"),
    "json": Output("record", "check.json", "any program"),
}


def write_output(name: str, judgement: Judgement) -> str:
    """A judgement in the format of that name."""
    write: Callable[[Judgement], str] = import_module(f"archaudit.render.outputs.{OUTPUTS[name].room}").write
    return write(judgement)
