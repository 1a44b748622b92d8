"""Answers that need no model need no torch."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
sys.argv = ["archaudit", *{arguments!r}]
from archaudit.cli import run
try:
    run()
except SystemExit as ended:
    status = ended.code
slow = sorted({{"torch", "jinja2", "torchvision"}} & set(sys.modules))
assert not slow, slow
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["compare", "--help"], 0),
        (["--version"], 0),
        (["nope"], 2),
        (["compare", "nope", "after"], 2),
        (["profile", "a:b(c)"], 2),
    ],
)
def test_help_and_usage_errors_import_nothing_slow(arguments, status, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(arguments=arguments)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr


def test_the_package_imports_nothing_slow():
    script = "import sys, archaudit; assert not {'torch', 'rich', 'jinja2', 'click'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
