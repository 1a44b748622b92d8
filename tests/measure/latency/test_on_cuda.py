"""Timing on a real CUDA device."""

import pytest
import torch
from torch import nn

from archaudit.measure.latency import TimedModel
from archaudit.measure.latency.ceilings import measure_ceilings
from archaudit.measure.latency.devices import read_state
from archaudit.schema import DeviceState, InputSpec, Recipe, TimingSettings


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "tf32", "bfloat16", "float16"])
def test_kernel_times_add_up_to_the_graph_replay(dtype):
    def build():
        return nn.Sequential(*[nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()) for _ in range(8)])

    recipe = Recipe(name="toy", reference="toy", build=build, inputs=(InputSpec(shape=(16, 64, 128, 128)),))
    model = TimedModel(recipe, TimingSettings(device="cuda", dtype=dtype))
    model.prepare(5)
    assert model.forms == ("eager", "replay"), model.notes
    times = model.time_modules(5)
    assert set(times.own_s) == {"", *(str(i) for i in range(8)), *(f"{i}.{j}" for i in range(8) for j in range(2))}
    if "kernels" in times.attribution:
        total, replay = sorted(times.total_s[""])[2], sorted(model.time_passes(9, "replay"))[4]
        assert replay == pytest.approx(total, rel=0.15)


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("dtype", "off"), [("float32", 0.05), ("bfloat16", 0.1)])  # shorter kernels, the same gaps between them
def test_layer_times_of_a_segmentation_model_add_up_to_its_graph_replay(dtype, off):
    from statistics import median

    from archaudit.examples.segmentation.after import LightweightSegmentationModel

    recipe = Recipe(name="after", reference="after", build=LightweightSegmentationModel, inputs=(InputSpec(shape=(16, 3, 512, 512)),))
    model = TimedModel(recipe, TimingSettings(device="cuda", dtype=dtype))
    model.prepare(5)
    replay = median(model.time_passes(25, "replay"))
    times = model.time_modules(5)
    assert "kernels" in times.attribution, times.notes
    assert replay == pytest.approx(median(times.total_s[""]), rel=off)


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
def test_profiler_ranges_of_the_model_are_not_counted():
    class Ranged(nn.Linear):
        def forward(self, x):
            with torch.profiler.record_function("the model's own range"):
                return super().forward(x)

    def build(kind):
        return Recipe(name="toy", reference="toy", build=lambda: kind(512, 512), inputs=(InputSpec(shape=(512, 512)),))

    plain, ranged = (TimedModel(build(kind), TimingSettings(device="cuda")).time_modules(3) for kind in (nn.Linear, Ranged))
    assert ranged.launches == plain.launches


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
def test_a_model_that_waits_for_the_device_is_timed_without_a_graph():
    class Waits(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum().item() else x

    recipe = Recipe(name="toy", reference="toy", build=lambda: Waits(64, 64), inputs=(InputSpec(shape=(64, 64)),))
    model = TimedModel(recipe, TimingSettings(device="cuda"))
    model.prepare(5)
    check_that_the_device_is_usable(model)
    assert "synchronizing" in model.notes[0]


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
def test_the_process_is_usable_after_a_failed_capture():
    class Breaks(nn.Linear):
        def forward(self, x):
            if torch.cuda.is_current_stream_capturing():
                torch.cuda.synchronize()
            return super().forward(x)

    recipe = Recipe(name="toy", reference="toy", build=lambda: Breaks(64, 64), inputs=(InputSpec(shape=(64, 64)),))
    model = TimedModel(recipe, TimingSettings(device="cuda"))
    model.prepare(5)
    check_that_the_device_is_usable(model)


def check_that_the_device_is_usable(model):
    assert model.forms == ("eager",)
    assert "no CUDA graph" in model.notes[0]
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert torch.rand(8, device="cuda").isfinite().all(), "random numbers can still be made"
    assert min(model.time_passes(3)) > 0
    assert min(measure_ceilings(model.settings, model.clock, model.synchronize).copies_s) > 0
    assert model.time_modules(3).total_s[""]


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
def test_tf32_flags_are_restored():
    before = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    recipe = Recipe(name="toy", reference="toy", build=lambda: nn.Linear(3, 3), inputs=(InputSpec(shape=(2, 3)),))
    TimedModel(recipe, TimingSettings(device="cuda", dtype="tf32")).time_passes(1)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
def test_ceilings_and_state_are_read():
    measured = measure_ceilings(TimingSettings(device="cuda"), clock=__import__("time").perf_counter, synchronize=torch.cuda.synchronize)
    assert min(measured.products_s) > 0
    assert isinstance(read_state("cuda", 1), DeviceState)
