"""What a terminal shows while a command works; a pseudo-terminal stands in for one."""

import os
import pty
import re
import subprocess
import sys

import pytest


@pytest.fixture
def watch(tmp_path):
    """`watch("sweep", ...)`: what standard output got, and what a terminal of 80 columns was shown, as text without its control codes."""

    def run(*arguments):
        ours, theirs = pty.openpty()
        environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm", "ARCHAUDIT_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "archaudit", *arguments]
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=theirs) as process:
            os.close(theirs)
            shown = b""
            while data := _read(ours):
                shown += data
            printed = process.stdout.read().decode()
        os.close(ours)
        assert process.returncode == 0
        return printed, shown.decode()

    return run


def _read(descriptor):
    """What comes next; nothing once the other side is closed, which Linux tells as an error."""
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""


MODEL = """
from torch import nn

def Net(width=4):
    return nn.Linear(width, width)
"""


def test_a_sweep_shows_a_bar_that_fills_and_goes(watch, tmp_path):
    (tmp_path / "net.py").write_text(MODEL)
    printed, shown = watch("sweep", "net.py:Net", "--set", "width=4", "--input", "1x{1,2,3}x4", "--workers", "1")
    assert "0/3" in shown
    assert "3/3" in shown
    assert "━" in shown
    assert "net.py:Net" in shown
    end = shown.rpartition("3/3")[2]
    assert "\x1b[?25h" in end  # the cursor is back
    assert end.endswith("\x1b[2K")  # and the line is gone
    assert not re.search(r"\d/3|━", printed)


def test_a_comparison_shows_a_bar_with_the_name_and_the_time_of_the_step(watch):
    printed, shown = watch("compare", "before", "after", "--no-other-counters")
    assert re.search(r"━ +0:00:0\d measuring", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown))
    assert "params" in printed
    assert "━" not in printed
