"""The cost of a command includes its descendants, also those that nobody waits for."""

import sys

import pytest
from benchmarks.process_tree import measure_command

# the child fills 200 MiB and is never waited for
PARENT = """
import subprocess, sys, time
code = "import time; held = b'x' * (200 << 20); print('filled', flush=True); time.sleep(3)"
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
child.stdout.readline()
time.sleep(1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_of_a_child_that_nobody_waits_for_is_included():
    cost = measure_command([sys.executable, "-c", PARENT])
    assert cost.problem == ""
    assert cost.peak_bytes >= 200 << 20


def test_a_failure_is_named():
    assert measure_command([sys.executable, "-c", "raise ValueError('no')"]).problem == "ValueError"
