"""For everything that a model does to its process, the parent gets a message, and no process is left."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest

from archaudit.cli import run as run_command
from archaudit.errors import LoadError, MeasureError, WorkerError
from archaudit.worker import Explain, Load, Measure, WorkerOptions, start_workers
from archaudit.worker.client import ProcessWorker
from archaudit.worker.pool import Pool
from archaudit.worker.process_guard import list_descendants

MODELS = '''
import ctypes, os, signal, subprocess, sys, threading, time
import torch
from torch import nn

FOREVER = [sys.executable, "-c", "import time; time.sleep(600)"]


def take_memory():
    taken = []
    while True:
        taken.append(bytearray(b"x") * 2**26)


def print_forever():
    while True:
        print("noise " * 20000)


def fork_and_continue():
    """Both processes return from forward; the child must not answer."""
    os.fork()


def leave_orphans():
    """A process whose parent ended, in another session."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)


def ignore_signals():
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def share_work():
    """What a library does that ends its processes."""
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(abs, (1,))


def change_and_restore():
    folder, handler = os.getcwd(), signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.chdir("/")
    os.chdir(folder)
    signal.signal(signal.SIGTERM, handler)


HOW = {
    "exits": lambda: os._exit(7), "dies": lambda: os.kill(os.getpid(), signal.SIGKILL), "hangs": lambda: time.sleep(600),
    "spins": lambda: [None for _ in iter(int, 1)], "segfaults": lambda: ctypes.string_at(0), "quits": lambda: sys.exit(3),
    "takes": take_memory, "prints": print_forever, "forks": fork_and_continue, "orphans": leave_orphans,
    "starts": lambda: subprocess.Popen(FOREVER), "leaves": lambda: os.chdir("/"), "ignores": ignore_signals,
    "threads": lambda: threading.Thread(target=time.sleep, args=(600,)).start(), "shares": share_work, "returns": change_and_restore,
    "asks": lambda: b"x" * (100 * 2**30),
    "closes": lambda: os.closerange(3, 256),
}


class Acts(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        HOW[self.how]()
        return x


class Net(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.block = nn.Sequential(Acts(how), nn.Linear(4, 4))
        self.head = nn.Linear(4, 4)

    def forward(self, x):
        return self.head(self.block(x))


class Builds(nn.Module):
    def __init__(self, how):
        super().__init__()
        HOW[how]()

    def forward(self, x):
        return x


def example_inputs():
    return torch.zeros(1, 4)
'''


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "models_that_act.py"
    path.write_text(MODELS)
    (path.parent / "quits_on_import.py").write_text("import sys; sys.exit(1)")
    return path


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("exits", r"died while measuring side, in block\.0 \(Acts\) \(exit status 7\)"),
        ("dies", r"in block\.0 \(Acts\) \(killed by SIGKILL\)"),
        ("segfaults", r"in block\.0 \(Acts\) \(killed by SIGSEGV\)"),
        ("prints", r"printed more than \d+ MiB while measuring side, in block\.0 \(Acts\)"),
        ("closes", r"died while measuring side"),
    ],
)
def test_an_exit_is_reported_with_the_running_module(ask, models, how, message):
    with pytest.raises(WorkerError, match=message) as caught:
        ask(models, f"Net(how='{how}')")
    assert caught.value.message.startswith("side: ")


def test_a_worker_above_its_memory_limit_is_killed(ask, models, monkeypatch):
    with Pool(("torch",), 2**30) as pool:
        worker = ProcessWorker("side", pool, WorkerOptions(), lambda stage: None, 1)
        worker.send(Load(f"{models}:Net(how='takes')", "side"))
        worker.receive()
        worker.send(Measure(other_counters=False))
        with pytest.raises(
            WorkerError, match=r"side: the worker took \d\.\d GiB of memory while measuring side, in block\.0 \(Acts\)"
        ) as caught:
            worker.receive()
        worker.close()
    assert "--memory" in caught.value.hint


@pytest.mark.parametrize("module", ["os", "dies_on_import"])
def test_the_end_of_the_supervisor_is_reported(models, module, monkeypatch):
    """Killed from outside with its workers, or by a module that it imports."""
    (models.parent / "dies_on_import.py").write_text("import os; os.kill(os.getpid(), 9)")
    monkeypatch.setenv("PYTHONPATH", str(models.parent))
    with Pool((module,), None) as pool:
        worker = ProcessWorker("side", pool, WorkerOptions(), lambda stage: None, 1)
        worker.send(Load(f"{models}:Net(how='hangs')", "side"))
        if module == "os":
            worker.receive()
            worker.send(Measure(other_counters=False))
            os.kill(pool._process.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="side: the worker process died"):
            worker.receive()
        worker.close()


@pytest.mark.parametrize("how", ["hangs", pytest.param("spins", marks=pytest.mark.slow)])
def test_a_timeout_is_reported_with_the_running_module(ask, models, how):
    with pytest.raises(WorkerError, match=r"no answer within 6 s while measuring side, in block\.0 \(Acts\)"):
        ask(models, f"Net(how='{how}')", timeout_s=6)


@pytest.mark.parametrize(("how", "message"), [("quits", "SystemExit"), ("asks", "[Mm]emory")])
def test_an_exception_is_reported_with_its_line(ask, models, how, message):
    with pytest.raises((MeasureError, WorkerError), match=message) as caught:
        ask(models, f"Net(how='{how}')")
    assert "block.0" in str(caught.value)


def test_a_crash_while_building_and_an_exit_on_import_are_reported(ask, models):
    with pytest.raises(WorkerError, match=r"died while measuring side \(killed by SIGSEGV\)"):
        ask(models, "Builds(how='segfaults')")
    with pytest.raises(LoadError, match="SystemExit"):
        ask(models.with_name("quits_on_import.py"), "Net")


@pytest.mark.parametrize("model", ["Net", "Builds"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("forks", r"the model forks the process that measures it \(models_that_act\.py:\d+: os\.fork\(\)\)"),
        ("orphans", r"the model forks the process that measures it \(models_that_act\.py:\d+: if os\.fork\(\) == 0:\)"),
        ("leaves", r"the model changes the working folder to /$"),
        ("ignores", r"the model changes the handlers of signals: SIGINT, SIGTERM$"),
    ],
)
def test_a_change_of_the_process_is_reported_and_undone(fork, models, model, how, message):
    worker = fork()
    worker.send(Load(f"{models}:{model}(how='{how}')", "side"))
    worker.receive()
    for request, named in (
        (Measure(other_counters=False), "side: "),
        (Explain(""), ".*"),
    ):  # the second request finds the process unchanged
        worker.send(request)
        with pytest.raises(MeasureError) as caught:
            worker.receive()
        assert re.fullmatch(named + message, caught.value.message)


@pytest.mark.parametrize("how", ["threads", "shares", "returns"])
def test_threads_pools_and_restored_changes_are_allowed(ask, models, how):
    assert ask(models, f"Net(how='{how}')").profile.totals.params == 40


@pytest.mark.parametrize("how", ["orphans", pytest.param("starts", marks=pytest.mark.slow)])
def test_no_process_of_a_model_is_left(models, how):
    """The folder and the signals of this process do not change; the worker and everything that it started are gone afterwards."""
    folder, handler = Path.cwd(), signal.getsignal(signal.SIGTERM)
    mine = set(list_descendants(os.getpid()))
    with start_workers(["side"], WorkerOptions()) as (worker,):
        worker.send(Load(f"{models}:Net(how='{how}')", "side"))
        worker.receive()
        worker.send(Measure(other_counters=False))
        with suppress(MeasureError):
            worker.receive()
        started = set(list_descendants(os.getpid())) - mine
        assert len(started) > 2
    assert (Path.cwd(), signal.getsignal(signal.SIGTERM)) == (folder, handler)
    assert wait_for_ends(started)


def wait_for_ends(pids):
    """Whether all of the killed processes end within a time."""
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_alive, pids))


def is_alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_no_process_is_left_when_the_parent_is_killed(models):
    script = f"""
    from contextlib import suppress
    from archaudit.errors import MeasureError
    from archaudit.worker import Load, Measure, WorkerOptions, start_workers
    with start_workers(["one", "two"], WorkerOptions()) as workers:
        for worker, how in zip(workers, ("orphans", "hangs")):
            worker.send(Load({str(models)!r} + f":Net(how={{how!r}})", "side"))
            worker.receive()
            worker.send(Measure(other_counters=False))
        with suppress(MeasureError):
            workers[0].receive()
        print("measured", flush=True)
        workers[1].receive()
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "measured\n"
        started = list_descendants(process.pid)
        assert len(started) >= 4  # the supervisor, two workers, and an orphan
        process.kill()
    assert wait_for_ends(started)


@pytest.mark.parametrize(
    ("command", "how", "message"),
    [
        (("compare", "{}", "{}"), "segfaults", "in block.0 (Acts) (killed by SIGSEGV)"),
        (("check",), "forks", "forks the process"),
        pytest.param(("profile", "{}"), "ignores", "signals: SIGINT", marks=pytest.mark.slow),
        pytest.param(("compare", "{}", "{}"), "leaves", "working folder", marks=pytest.mark.slow),
        pytest.param(("profile", "{}"), "exits", "(exit status 7)", marks=pytest.mark.slow),
        pytest.param(("check",), "segfaults", "(killed by SIGSEGV)", marks=pytest.mark.slow),
    ],
)
def test_every_command_exits_with_two(command, how, message, models, tmp_path, monkeypatch, capsys):
    reference = f"{models}:Net(how='{how}')"
    (tmp_path / "archaudit.toml").write_text(
        f'[models.net]\nreference = "{reference}"\n[[budgets]]\nmodel = "net"\nmetric = "params"\nmax = 1\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["archaudit", *(part.format(reference) for part in command), "--no-other-counters"])
    with pytest.raises(SystemExit) as ended:
        run_command()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
