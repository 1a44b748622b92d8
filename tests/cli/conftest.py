"""Running the command line in this process: what it prints, and its exit status."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from archaudit.cli import run


@dataclass
class Result:
    status: int
    out: str
    err: str


@pytest.fixture
def archaudit(capsys, monkeypatch) -> Callable[..., Result]:
    """`archaudit("compare", "before", "after")`."""

    def call(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["archaudit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run()
        captured = capsys.readouterr()
        return Result(int(ended.value.code or 0), captured.out, captured.err)

    return call


NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x):
        return self.head(self.conv(x))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with old.py and new.py, in which the command is run."""
    (tmp_path / "old.py").write_text(NET)
    (tmp_path / "new.py").write_text(NET.replace("width=8", "width=4"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
