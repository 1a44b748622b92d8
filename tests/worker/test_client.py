"""Worker processes: what they answer, and what becomes of one that dies, hangs or prints."""

import os
import time

import pytest

from archaudit.errors import LoadError, MeasureError, WorkerError
from archaudit.worker import Load, Measure, Measured, TimeBlock, Timed, WorkerOptions, start_workers

MODELS = """
import os, signal, sys, time
import torch
from torch import nn


class Good(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)


class Acts(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        {"exits": lambda: os._exit(7), "dies": lambda: os.kill(os.getpid(), signal.SIGKILL), "hangs": lambda: time.sleep(60),
         "raises": lambda: 1 / 0, "quits": lambda: sys.exit(3), "prints": lambda: print("noise " * 10)}[self.how]()
        return x


def example_inputs():
    return torch.zeros(1, 4)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "models_for_workers.py"
    path.write_text(MODELS)
    return path


def run(models, attribute, request=None, **options):
    with start_workers(["side"], WorkerOptions(**options)) as (worker,):
        worker.send(Load(f"{models}:{attribute}", "side"))
        worker.receive()
        worker.send(request or Measure(witnesses=False))
        return worker.receive()


@pytest.mark.parametrize("isolated", [True, False])
def test_a_model_is_measured(models, isolated):
    reply = run(models, "Good", isolated=isolated)
    assert isinstance(reply, Measured)
    assert reply.profile.totals.params == 10
    assert reply.profile.totals.macs == 8


def test_a_block_of_passes_is_timed_whole_and_by_module(models):
    whole = run(models, "Good", TimeBlock(repeats=4))
    assert isinstance(whole, Timed)
    assert len(whole.samples_s) == 4
    assert all(sample > 0 for sample in whole.samples_s)
    parts = run(models, "Good", TimeBlock(repeats=2, per_module=True))
    assert list(parts.modules_s) == [""]


@pytest.mark.parametrize(("how", "told"), [("exits", "exit status 7"), ("dies", "SIGKILL")])
def test_a_worker_that_dies_is_a_message(models, how, told):
    with pytest.raises(WorkerError, match=told) as caught:
        run(models, f"Acts(how='{how}')")
    assert "side" in caught.value.message
    assert "measuring" in caught.value.message


def test_one_of_two_that_dies_leaves_the_other_alone(models):
    with start_workers(["one", "two"], WorkerOptions()) as (one, two):
        one.send(Load(f"{models}:Acts(how='dies')", "one"))
        two.send(Load(f"{models}:Good", "two"))
        one.receive(), two.receive()
        one.send(Measure(witnesses=False))
        two.send(Measure(witnesses=False))
        with pytest.raises(WorkerError, match=r"one: .*SIGKILL"):
            one.receive()
        assert two.receive().profile.totals.params == 10


def test_a_worker_that_hangs_is_a_message_within_the_timeout(models):
    start = time.monotonic()
    with pytest.raises(WorkerError, match="no answer within"):
        run(models, "Acts(how='hangs')", timeout_s=8)
    assert time.monotonic() - start < 30  # a hang that is not noticed takes sixty


@pytest.mark.parametrize(("how", "told"), [("raises", "ZeroDivisionError"), ("quits", "SystemExit")])
def test_what_a_model_raises_is_told_with_its_line(models, how, told):
    with pytest.raises(MeasureError, match=told) as caught:
        run(models, f"Acts(how='{how}')")
    assert "models_for_workers.py" in str(caught.value)


def test_what_a_model_prints_does_not_reach_standard_output(models, capfd):
    run(models, "Acts(how='prints')")
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "noise" in captured.err


def test_errors_cross_with_their_class(models):
    with pytest.raises(LoadError, match="has no 'Nope'"):
        run(models, "Nope")


def test_no_process_is_left_behind(models):
    with start_workers(["one", "two"], WorkerOptions()) as (one, _):
        one.send(Load(f"{models}:Good", "one"))
        one.receive()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
