"""A folder in which the blocks of a page are run, as a reader would run them who follows the page from its top."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
import yaml
from docs.blocks import Block

import archaudit
from archaudit.config import make_config_schema

_SCRIPT = """#!{python}
import sys
sys.argv[0] = "archaudit"
from archaudit.cli import run
run()
"""
_NOWHERE = "http://127.0.0.1:9"  # the port `discard`: a download fails at once
_SECONDS = 300


@dataclass(frozen=True)
class Sample:
    """What a page shows of a command's output, and what the command printed. `start` and `end` are lines of the block's text."""

    block: Block
    command: str
    shown: str
    printed: str
    start: int
    end: int


class Project:
    """A folder with the files and the Python names that the blocks of one page have made so far."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self._names: dict[str, object] = {"__name__": "__main__"}
        tools = folder / "tools"
        tools.mkdir()
        (tools / "archaudit").write_text(_SCRIPT.format(python=sys.executable))
        (tools / "archaudit").chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "COV_", "PYTEST_"))}
        identity = {f"GIT_{who}_{what}": "somebody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self._environment = {
            **kept,
            **identity,
            **{f"GIT_{who}_DATE": "2026-01-15T12:00:00Z" for who in ("AUTHOR", "COMMITTER")},  # the same commits have the same names
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), kept["PATH"]]),
            "PYTHONPATH": str(Path(archaudit.__file__).parent.parent),
            "ARCHAUDIT_CACHE": str(folder / "cache"),
            "HOME": str(folder),
            "TORCH_HOME": str(folder / "weights"),
            "HF_HUB_OFFLINE": "1",
            "http_proxy": _NOWHERE,
            "https_proxy": _NOWHERE,
            "NO_COLOR": "1",
        }
        self._environment.pop("COLUMNS", None)
        monkeypatch.chdir(self.folder)
        monkeypatch.syspath_prepend(str(self.folder))
        monkeypatch.setenv("ARCHAUDIT_CACHE", str(folder / "cache"))

    def run(self, block: Block) -> Iterator[Sample]:
        """Saves or runs a block; each of its sample outputs with what was printed."""
        if "file" in block.options:
            self._write(block.options["file"], block.text)
        elif block.language == "console":
            yield from self._run_console(block)
        elif block.language == "bash":
            self._call(f"set -e\n{block.text}", int(block.options.get("exit", 0)))
        elif block.language == "output":
            yield Sample(block, block.command, block.text, self._call(block.command, 0), 0, block.text.count("\n"))
        elif block.language == "python":
            yield from self._run_python(block)
        else:
            self._parse(block)

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _call(self, command: str, status: int) -> str:
        """The standard output of a shell command, or its standard error where that is all it wrote; paths are relative to the project."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        assert done.returncode == status, f"exit status {done.returncode} of: {command}\n{done.stdout}{done.stderr}"
        assert not (self.folder.parent / "weights").exists(), f"weights were downloaded by: {command}"
        return (done.stdout or done.stderr).replace(f"{self.folder}{os.sep}", "")

    def _run_console(self, block: Block) -> Iterator[Sample]:
        sessions = list(_list_commands(block.text))
        assert sessions, f"line {block.line}: no line begins with '$ '"
        for number, (command, start, end) in enumerate(sessions):
            last = number == len(sessions) - 1
            printed = self._call(command, int(block.options.get("exit", 0)) if last else 0)
            shown = "".join(block.text.splitlines(keepends=True)[start:end])
            yield Sample(block, command, shown, printed, start, end)

    def _run_python(self, block: Block) -> Iterator[Sample]:
        if ">>>" not in block.text:
            exec(compile(block.text, f"line {block.line}", "exec"), self._names)
            return
        for example in doctest.DocTestParser().get_examples(block.text):
            start = example.lineno + example.source.count("\n")
            end = start + example.want.count("\n")
            yield Sample(block, example.source, example.want, self._evaluate(example.source), start, end)

    def _evaluate(self, source: str) -> str:
        """What an interactive interpreter prints."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            try:
                exec(compile(source, "<stdin>", "single"), self._names)
            except Exception as error:  # noqa: BLE001 (an interpreter shows every error and goes on)
                out.write("Traceback (most recent call last):\n    ...\n" + "".join(traceback.format_exception_only(error)))
        return out.getvalue()

    def _parse(self, block: Block) -> None:
        """Checks that a block that is neither run nor saved is well formed, and a part of a config that its keys exist."""
        if block.language == "toml":
            values = tomllib.loads(block.text)
            if "project" not in values:
                jsonschema.validate(values, make_config_schema())
        elif block.language == "yaml":
            yaml.safe_load(block.text)
        else:
            assert block.language == "mermaid", f"line {block.line}: nothing tests a block of {block.language!r}"


def _list_commands(text: str) -> Iterator[tuple[str, int, int]]:
    """Each command of a console block, and the first and the last line (exclusive) of its output."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        assert lines[at].startswith("$ "), f"expected a command: {lines[at]}"
        command = [lines[at][2:]]
        while command[-1].endswith("\\"):
            at += 1
            command.append(lines[at])
        start = at = at + 1
        while at < len(lines) and not lines[at].startswith("$ "):
            at += 1
        yield "\n".join(command), start, at
