"""A model whose run without values ends the process is run with values, in another worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from archaudit.errors import WorkerError
from archaudit.pipeline import Options, profile

MODELS = """
import os
import signal
from torch import nn

class Net(nn.Module):
    def __init__(self, always=False):
        super().__init__()
        self.layer, self.always = nn.Linear(4, 3, bias=False), always

    def forward(self, x):
        if self.always or x.is_meta or type(x).__name__ == "FakeTensor":
            os.kill(os.getpid(), signal.SIGSEGV)
        return self.layer(x)
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    return path


def test_a_run_without_values_that_ends_the_process_is_followed_by_one_with_values(models: Path) -> None:
    measured = profile(f"{models}:Net", Options(inputs=("1x4",), other_counters=False, symbolic=False))
    assert measured.totals.macs == 4 * 3
    assert measured.provenance is not None
    assert measured.provenance.rung == "real"
    assert "a run without values ended the process" in measured.ledger.assumptions[0]


def test_the_signal_is_named_where_no_run_survives(models: Path) -> None:
    with pytest.raises(WorkerError, match=r"died while measuring .*killed by SIGSEGV"):
        profile(f"{models}:Net(always=True)", Options(inputs=("1x4",), other_counters=False, symbolic=False))
