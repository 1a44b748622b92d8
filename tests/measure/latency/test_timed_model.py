"""Timing on the CPU, on a clock that only the toy models move: warm-up, whole passes, modules, and the restored state."""

import pytest
import torch
from measure.latency.fake_clock import FakeClock, Takes, Tree, make_timed
from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.building import set_batch
from archaudit.measure.latency import TimedModel
from archaudit.schema import InputSpec, Recipe, TimingSettings


def test_warm_up_ends_when_two_windows_agree():
    model = make_timed(lambda clock: Takes(clock, 9.0, 5.0, 3.0, 1.0))
    warmed = model.prepare(limit_s=1000)
    assert warmed.stable
    assert warmed.pass_s == 1.0
    assert warmed.samples_s == (9.0, 5.0, 3.0, *[1.0] * 5)


def test_warm_up_of_a_slow_model_ends_at_the_limit():
    warmed = make_timed(lambda clock: Takes(clock, 9.0, 5.0)).prepare(limit_s=3)
    assert warmed.samples_s == (9.0, 5.0)
    assert not warmed.stable


def test_whole_passes_are_timed_one_by_one():
    model = make_timed(lambda clock: Takes(clock, 3.0, 2.0, 1.0))
    assert model.time_passes(3) == (3.0, 2.0, 1.0)


def test_own_time_excludes_called_modules():
    times = make_timed(Tree).time_modules(repeats=2)
    assert times.own_s == {"": (5.0, 5.0), "twice": (2.0, 2.0), "outer": (3.0, 3.0), "outer.inner": (2.0, 2.0)}
    assert times.total_s == {"": (12.0, 12.0), "twice": (2.0, 2.0), "outer": (5.0, 5.0), "outer.inner": (2.0, 2.0)}
    assert times.launches["twice"] == 2
    assert "uncalled" not in times.own_s


def test_own_times_add_up_to_the_pass():
    model = make_timed(Tree)
    times = model.time_modules(repeats=1)
    assert sum(samples[0] for samples in times.own_s.values()) == times.total_s[""][0] == model.time_passes(1)[0]


def test_timing_restores_the_process_and_the_model():
    clock = FakeClock()
    live = Tree(clock)
    before = (torch.get_num_threads(), torch.get_rng_state().clone(), dict(live.__dict__), nn.Module.__call__)
    model = TimedModel(
        Recipe(name="toy", reference="toy", build=lambda: live, inputs=(InputSpec(shape=(1, 3)),), instance=True),
        TimingSettings(device="cpu", threads=2),
    )
    model.prepare(1)
    model.time_modules(1)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert dict(live.__dict__) == before[2]
    assert nn.Module.__call__ is before[3]
    assert live.training


def test_settings_have_the_threads_and_the_machine_the_device():
    model = make_timed(lambda clock: Takes(clock, 1.0), TimingSettings(device="cpu", threads=3))
    assert model.settings == TimingSettings(device="cpu", threads=3)
    assert model.machine.device.startswith("CPU (")
    assert model.machine.torch == str(torch.__version__)


@pytest.mark.parametrize(("dtype", "expected"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_each_pass_runs_under_autocast(dtype, expected):
    seen = []

    class RecordsDtype(nn.Linear):
        def forward(self, x):
            seen.append(super().forward(x).dtype)
            return x

    make_timed(lambda clock: RecordsDtype(3, 3), TimingSettings(device="cpu", dtype=dtype, threads=1)).time_passes(2)
    assert seen == [expected] * 2
    assert not torch.is_autocast_enabled("cpu")


def test_channels_last_applies_to_images_and_weights():
    seen = []

    class RecordsFormat(nn.Conv2d):
        def forward(self, x):
            seen.append((x.is_contiguous(memory_format=torch.channels_last), self.weight.is_contiguous(memory_format=torch.channels_last)))
            return super().forward(x)

    recipe = Recipe(name="toy", reference="toy", build=lambda: RecordsFormat(3, 4, 3), inputs=(InputSpec(shape=(1, 3, 8, 8)),))
    TimedModel(recipe, TimingSettings(device="cpu", channels_last=True, threads=1)).time_passes(1)
    assert seen == [(True, True)]


def test_a_missing_device_or_precision_is_an_error_message():
    with pytest.raises(MeasureError, match="TF32"):
        make_timed(lambda clock: Takes(clock, 1.0), TimingSettings(device="cpu", dtype="tf32"))
    if not torch.cuda.is_available():
        with pytest.raises(MeasureError, match="no CUDA device"):
            make_timed(lambda clock: Takes(clock, 1.0), TimingSettings(device="cuda"))


def test_a_model_that_does_not_build_or_run_is_an_error_message():
    class FailsToRun(nn.Module):
        def forward(self, x):
            raise RuntimeError("not implemented for 'Half'\nand more")

    with pytest.raises(MeasureError, match=r"^toy does not run on cpu in float32: RuntimeError: not implemented for 'Half'"):
        make_timed(lambda clock: FailsToRun()).prepare(1)

    class FailsToBuild(nn.Module):
        def __init__(self):
            super().__init__()
            raise KeyError("a setting")

    with pytest.raises(MeasureError, match=r"^toy cannot be built to be timed on cpu in float32: KeyError: 'a setting'"):
        make_timed(lambda clock: FailsToBuild())


def test_a_model_that_cannot_be_compiled_is_a_note(monkeypatch):
    def refuse(model):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", refuse)
    model = make_timed(lambda clock: Takes(clock, 1.0), TimingSettings(device="cpu", compiled=True, threads=1))
    model.prepare(1)
    assert model.forms == ("eager",)
    assert model.notes == ("the model could not be compiled: RuntimeError: no compiler",)


def test_the_compiled_model_is_a_further_form(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(torch, "compile", lambda model: Takes(clock, 0.25))
    recipe = Recipe(name="toy", reference="toy", build=lambda: Takes(clock, 1.0), inputs=(InputSpec(shape=(1, 3)),))
    model = TimedModel(recipe, TimingSettings(device="cpu", compiled=True, threads=1), clock=clock)
    model.prepare(1)
    assert model.forms == ("eager", "compiled")
    assert model.time_passes(2, "compiled") == (0.25, 0.25)
    assert model.time_passes(1) == (1.0,)


def test_set_batch_changes_every_input():
    recipe = Recipe(name="toy", reference="toy", build=nn.Identity, inputs=(InputSpec(shape=(1, 3, 8)), InputSpec(shape=(), name="scale")))
    assert [spec.shape for spec in set_batch(recipe, 16).inputs] == [(16, 3, 8), ()]
    made = Recipe(
        name="toy", reference="toy", build=nn.Identity, example_inputs=lambda: ((torch.arange(3.0),), {"mask": [torch.ones(2, 2)]})
    )
    (first,), kwargs = set_batch(made, 5).example_inputs()
    assert first.tolist() == [0, 1, 2, 0, 1]
    assert kwargs["mask"][0].shape == (5, 2)
    assert any("batch size was set to 5" in text for text in set_batch(made, 5).assumptions)
