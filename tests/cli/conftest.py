"""Running the command line in this process: what it prints, and its exit status."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from archaudit.cli import run
from archaudit.schema import encode


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


@pytest.fixture
def gate(tmp_path, monkeypatch, archaudit):
    """`gate(config, seg=profile)`: writes the profiles as saved ones and the config, and runs `archaudit check` there."""
    monkeypatch.chdir(tmp_path)

    def call(config, *arguments, baselines=None, **profiles):
        for name, profile in profiles.items():
            (tmp_path / f"{name}.json").write_bytes(encode(profile))
        for name, profile in (baselines or {}).items():
            (tmp_path / "baselines").mkdir(exist_ok=True)
            (tmp_path / "baselines" / f"{name}.json").write_bytes(profile if isinstance(profile, bytes) else encode(profile))
        models = "".join(f"[models.{name}]\nreference = '{name}.json'\n" for name in profiles)
        above = [line for line in config.splitlines() if line.startswith(("gated", "baselines"))]  # must stand above the first table
        below = [line for line in config.splitlines() if line not in above]
        (tmp_path / "archaudit.toml").write_text("\n".join([*above, models, *below]))
        return archaudit("check", *arguments)

    return call
