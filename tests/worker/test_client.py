"""Worker processes: their replies, also for a model that raises or prints."""

import os

import pytest

from archaudit.errors import LoadError, MeasureError, WorkerError
from archaudit.schema import TimingSettings
from archaudit.worker import (
    InspectDevice,
    Load,
    Measure,
    Measured,
    PrepareTiming,
    TimeBlock,
    Timed,
    TimeModules,
    TimingReady,
    WorkerOptions,
    start_workers,
)
from archaudit.worker.process_guard import list_descendants

MODELS = """
import os, signal
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
        {"dies": lambda: os.kill(os.getpid(), signal.SIGKILL), "raises": lambda: 1 / 0, "prints": lambda: print("noise " * 10)}[self.how]()
        return x


def example_inputs():
    return torch.zeros(1, 4)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "models_for_workers.py"
    path.write_text(MODELS)
    return path


@pytest.mark.parametrize("isolated", [True, False])
def test_a_model_is_measured(models, isolated):
    with start_workers(["side"], WorkerOptions(isolated=isolated)) as (worker,):
        worker.send(Load(f"{models}:Good", "side"))
        worker.receive()
        worker.send(Measure(other_counters=False))
        reply = worker.receive()
    assert isinstance(reply, Measured)
    assert reply.profile.totals.params == 10
    assert reply.profile.totals.macs == 8


def test_a_block_of_passes_is_timed_whole_and_by_module(fork, models):
    worker = fork()

    def ask(request):
        worker.send(request)
        return worker.receive()

    ask(Load(f"{models}:Good", "side"))
    ready = ask(PrepareTiming(TimingSettings(device="cpu", threads=1), limit_s=0.1))
    assert isinstance(ready, TimingReady)
    assert ready.forms == ("eager",)
    whole = ask(TimeBlock(repeats=4))
    assert isinstance(whole, Timed)
    assert len(whole.samples_s) == 4
    assert all(sample > 0 for sample in whole.samples_s)
    assert list(ask(TimeModules(repeats=2)).own_s) == [""]
    assert ask(InspectDevice(own_processes=1)).ceilings is None


def test_a_model_must_be_prepared_before_it_is_timed(ask, models):
    with pytest.raises(WorkerError, match="no model is prepared"):
        ask(models, "Good", TimeBlock(repeats=4))


def test_a_worker_that_dies_does_not_affect_the_other(models):
    with start_workers(["one", "two"], WorkerOptions()) as (one, two):
        one.send(Load(f"{models}:Acts(how='dies')", "one"))
        two.send(Load(f"{models}:Good", "two"))
        one.receive(), two.receive()
        one.send(Measure(other_counters=False))
        two.send(Measure(other_counters=False))
        with pytest.raises(WorkerError, match=r"one: .*SIGKILL"):
            one.receive()
        assert two.receive().profile.totals.params == 10


def test_an_exception_of_a_model_is_reported_with_its_line(ask, models):
    with pytest.raises(MeasureError, match="ZeroDivisionError") as caught:
        ask(models, "Acts(how='raises')")
    assert "models_for_workers.py" in str(caught.value)


def test_the_output_of_a_model_goes_to_standard_error(models, capfd):
    with start_workers(["side"], WorkerOptions()) as (worker,):
        worker.send(Load(f"{models}:Acts(how='prints')", "side"))
        worker.receive()
        worker.send(Measure(other_counters=False))
        worker.receive()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "noise" in captured.err


def test_an_error_keeps_its_class(ask, models):
    with pytest.raises(LoadError, match="has no 'Nope'"):
        ask(models, "Nope")


def test_no_process_is_left(models):
    before = set(list_descendants(os.getpid()))
    with start_workers(["one", "two"], WorkerOptions()) as (one, _):
        one.send(Load(f"{models}:Good", "one"))
        one.receive()
        assert set(list_descendants(os.getpid())) > before
    assert set(list_descendants(os.getpid())) <= before
