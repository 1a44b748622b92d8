"""Git repositories for tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

BLOCKS = """
from torch import nn


def make_block(width):
    return nn.Conv2d(3, width, 3)
"""
SEG = """
import torch
from torch import nn

from .blocks import make_block


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = make_block(width)

    def forward(self, x):
        return self.conv(x)


def example_inputs():
    return torch.zeros(1, 3, 8, 8)
"""


class Repo:
    """A repository in a folder, without the settings of the user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str, check: bool = True) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        identity = {f"GIT_{who}_{what}": "somebody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        identity["GIT_OPTIONAL_LOCKS"] = "0"  # reading must not refresh the index
        settings = {**environment, **identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(["git", *arguments], cwd=self.folder, env=settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit(self, message: str = "change", **files: str) -> str:
        for path, text in files.items():
            self.write(path, text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def state(self) -> tuple[str, ...]:
        """What must stay: the tree's files, the index, the stash, the branch, and the list of work trees."""
        files = [f"{path}:{path.read_bytes()!r}" for path in sorted(self.folder.rglob("*.py"))]
        asked = ("status --porcelain", "stash list", "rev-parse HEAD", "worktree list", "for-each-ref")
        return (*files, (self.folder / ".git" / "index").read_bytes().hex(), *(self.git(*text.split()) for text in asked))

    def import_commits(self, trees: Iterable[Mapping[str, str]]) -> None:
        """One commit a mapping of all that it changes, at once: `commit 0`, `commit 1`, ..."""
        stream = []
        for number, files in enumerate(trees):
            message = f"commit {number}"
            stream.append(f"commit refs/heads/main\ncommitter somebody <somebody> {1700000000 + 86400 * number} +0000\n")
            stream.append(f"data {len(message)}\n{message}\n")
            stream += [f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in files.items()]
        subprocess.run(["git", "fast-import", "--quiet"], cwd=self.folder, input="".join(stream), text=True, check=True)
        self.git("reset", "--quiet", "--hard", "main")


def use_temporary_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkouts and kept profiles go to a folder of the test's own."""
    (folder / "aside").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder / "aside"))
    monkeypatch.setenv("ARCHAUDIT_CACHE", str(folder / "cache"))
    from archaudit.revisions import git

    git._open_repository.cache_clear()
