"""The output formats of `archaudit check`, one line each in OUTPUTS.

`github` has the formats for GitHub, `formats` those for other programs. All are texts without time stamps: the same judgement gives the
same bytes. Names from models and files are untrusted in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from archaudit.schema import Judgement

__all__ = ["OUTPUTS", "Output", "write_output"]


class Output(NamedTuple):
    """A format: the module and function that write it, its file name, and what reads it."""

    module: str
    writer: str
    file: str
    reader: str


OUTPUTS: dict[str, Output] = {
    "markdown": Output("github", "write_comment", "check.md", "a comment on a pull request, below 65,536 characters"),
    "summary": Output("github", "write_summary", "summary.md", "GitHub's step summary, below 1 MiB"),
    "annotations": Output("github", "write_annotations", "annotations.txt", "GitHub's log, which shows them at the source lines"),
    "junit": Output("formats", "write_junit", "junit.xml", "test reports"),
    "openmetrics": Output("formats", "write_openmetrics", "metrics.txt", "GitLab's metrics reports, Prometheus"),
    "sarif": Output("formats", "write_sarif", "check.sarif", "code scanning"),
    "badge": Output("formats", "write_badge", "badge.svg", "a README"),
    "csv": Output("formats", "write_csv", "check.csv", "a spreadsheet"),
    "json": Output("formats", "write_json", "check.json", "any program"),
}


def write_output(name: str, judgement: Judgement) -> str:
    """A judgement in the format of that name."""
    output = OUTPUTS[name]
    write: Callable[[Judgement], str] = getattr(import_module(f"archaudit.render.outputs.{output.module}"), output.writer)
    return write(judgement)
