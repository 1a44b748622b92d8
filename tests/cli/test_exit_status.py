"""Status 1 means that a check failed, and nothing else: for anything that goes wrong there is a message and status 2."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archaudit import cli
from archaudit.cli.output import print_text, write_files
from archaudit.errors import OutputError, describe_error

ARCHAUDIT = [sys.executable, "-m", "archaudit"]
FAILING = '[models.net]\nreference = "net.json"\n[[budgets]]\nmetric = "params"\nmax = 1\n'


def run(*arguments, **options):
    return subprocess.run([*ARCHAUDIT, *arguments], text=True, check=False, stderr=subprocess.PIPE, timeout=100, **options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [("schema", "config"), ("--help",)])
def test_a_full_standard_output_is_an_error_message(arguments):
    with Path("/dev/full").open("w") as full:
        done = run(*arguments, stdout=full)
    assert done.returncode == 2
    assert "standard output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_standard_output_is_an_error_message():
    done = run("schema", "config", preexec_fn=lambda: os.close(1))
    assert done.returncode == 2
    assert "standard output is closed" in done.stderr


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("command", ["compare", "profile", "check", "claims", "measured"])
def test_every_command_runs_with_a_standard_stream_closed(tmp_path, command, number):
    from factories import make_profile

    from archaudit.schema import encode

    (tmp_path / "net.json").write_bytes(encode(make_profile({"a": 7})))
    (tmp_path / "net.py").write_text("from torch import nn\n\n\ndef net():\n    return nn.Linear(8, 4)\n")
    (tmp_path / "archaudit.toml").write_text(FAILING.replace("max = 1", "max = 1_000_000"))
    (tmp_path / "NOTE.md").write_text("It has 8 <!-- claim: params after --> parameters.\n")
    arguments = {
        "compare": ("compare", "net.json", "net.json"),
        "profile": ("profile", "net.json"),
        "check": ("check",),
        "claims": ("claims", "check", "NOTE.md", "net.json", "net.json", "--fix"),
        "measured": ("profile", "net.py:net", "--input", "1x8", "--no-other-counters"),
    }[command]
    stdout = subprocess.PIPE if number != 1 else None
    done = run(*arguments, cwd=tmp_path, stdout=stdout, preexec_fn=lambda: os.close(number))
    assert "internal error" not in done.stderr
    assert done.returncode == (2 if number == 1 else 1 if command == "claims" else 0)


@pytest.mark.parametrize("arguments", [("schema", "config"), ("--help",)])
def test_a_reader_that_is_gone_is_an_error_message(arguments):
    read, write = os.pipe()
    os.close(read)
    done = run(*arguments, stdout=write)
    os.close(write)
    assert done.returncode == 2
    assert "ended before the output was complete" in done.stderr


def test_a_passed_check_whose_output_is_lost_is_not_green(tmp_path):
    from factories import make_profile

    from archaudit.schema import encode

    (tmp_path / "net.json").write_bytes(encode(make_profile({"a": 1})))
    (tmp_path / "archaudit.toml").write_text(FAILING.replace("max = 1", "max = 1_000_000"))
    assert run("check", cwd=tmp_path, stdout=subprocess.DEVNULL).returncode == 0
    read, write = os.pipe()
    os.close(read)
    assert run("check", cwd=tmp_path, stdout=write).returncode == 2
    os.close(write)


def test_a_closed_standard_error_does_not_change_the_status(tmp_path):
    done = subprocess.run([*ARCHAUDIT, "profile", "nowhere.py:Net"], check=False, preexec_fn=lambda: os.close(2), timeout=100)
    assert done.returncode == 2


def test_a_folder_that_no_longer_exists_is_an_error_message(tmp_path):
    script = f"import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); os.execv({sys.executable!r}, {[*ARCHAUDIT, 'check']!r})"
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).resolve().parents[2])}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "archaudit: the current folder no longer exists\nChange to another folder first.\n"


@pytest.mark.parametrize("error", [RuntimeError("odd"), RecursionError(), MemoryError(), AssertionError("sum"), OSError(5, "io")])
def test_a_defect_is_a_message(archaudit, monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr("archaudit.cli.schema_command.print_text", fail)
    result = archaudit("schema", "config")
    assert result.status == 2
    assert result.err.startswith(f"archaudit: internal error: {type(error).__name__}")
    assert "Traceback" not in result.err


def test_a_defect_is_shown_with_its_traceback_on_request(archaudit, monkeypatch):
    monkeypatch.setattr("archaudit.cli.schema_command.print_text", None)
    monkeypatch.setenv("ARCHAUDIT_TRACEBACK", "1")
    result = archaudit("schema", "config")
    assert result.status == 2
    assert "Traceback (most recent call last)" in result.err


@pytest.mark.parametrize(("text", "message"), [("inf", "no file"), ("1e300", "no file"), ("nan", "nan is not a time"), ("-1", "--timeout")])
def test_every_time_limit_is_accepted_or_refused_with_a_message(archaudit, text, message):
    result = archaudit("profile", "nowhere.py:Net", "--timeout", text)
    assert result.status == 2
    assert message in result.err
    assert "internal error" not in result.err


def test_the_message_of_any_exception_can_be_shown():
    class Odd(Exception):
        def __str__(self):
            raise SystemExit(0)

    assert describe_error(Odd()) == "Odd: (its message cannot be read)"
    assert describe_error(ValueError("a\n b \udc80")) == "ValueError: a b \\udc80"
    assert describe_error(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert len(describe_error(ValueError("x" * 10_000))) < 400


# --- files


def test_all_files_are_written_or_none(tmp_path):
    (tmp_path / "one.md").write_text("before")
    (tmp_path / "two.md").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_files(tmp_path, {"one.md": "after", "two.md": "after"})
    assert (tmp_path / "one.md").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.md", "two.md"]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_files_are_restored_if_one_cannot_be_renamed(tmp_path, monkeypatch, failing):
    (tmp_path / "b").write_text("before")
    replace, calls = Path.replace, []

    def fail_once(path, target):
        calls.append(target)
        if len(calls) == failing + 1:
            raise OSError(5, "Input/output error")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail_once)
    with pytest.raises(OutputError):
        write_files(tmp_path, {"a": "after", "b": "after", "c": "after"})
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_text() == "before"


def test_files_are_replaced_and_nothing_else_is_left(tmp_path):
    (tmp_path / "a").write_text("before")
    assert [path.name for path in write_files(tmp_path, {"a": "after \udc80", "b": b"after"})] == ["a", "b"]
    assert (tmp_path / "a").read_text() == "after \\udc80"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_printing_without_standard_output_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match="standard output is closed"):
        print_text("text")


# --- signals

SLOW = "import time\nfrom torch import nn\nclass Net(nn.Module):\n    def forward(self, x):\n        time.sleep(600)\n"


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_command_and_leaves_nothing(tmp_path, number, status):
    """Neither a checkout nor its lock, nor a process, nor anything else in the temporary folder."""
    from archaudit.worker.process_guard import list_descendants

    repo, temporary = tmp_path / "repo", tmp_path / "temporary"
    for folder in (repo, temporary):
        folder.mkdir()
    (repo / "net.py").write_text(SLOW)
    git = ["git", "-c", "user.email=a@b", "-c", "user.name=a"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], cwd=repo, check=True)
    environment = {**os.environ, "TMPDIR": str(temporary), "ARCHAUDIT_CACHE": str(tmp_path / "cache")}
    command = [*ARCHAUDIT, "history", "net.py:Net", "--input", "1x8"]
    restore = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)}
    with subprocess.Popen(command, cwd=repo, env=environment, stderr=subprocess.PIPE, text=True, **restore) as process:
        deadline = time.monotonic() + 60
        while not list(temporary.glob("*/*/repo/net.py")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        started = list_descendants(process.pid)
        assert list(temporary.glob("*/*.lock"))
        process.send_signal(number)
        assert process.wait(30) == status
        assert "interrupted" in process.stderr.read()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)
    assert list(temporary.iterdir()) == []
