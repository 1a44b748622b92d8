"""Timing on a clock that only the toy models move: what is timed, warmed up, attributed and put back."""

import pytest
import torch
from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.latency import TimedModel
from archaudit.measure.latency.ceilings import measure_ceilings
from archaudit.measure.latency.clocks import EventClock
from archaudit.measure.latency.devices import describe_machine, name_throttles, read_state
from archaudit.measure.latency.timed_model import set_batch
from archaudit.schema import DeviceState, InputSpec, Recipe, TimingSettings


class FakeClock:
    """Stands still unless somebody moves it."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Takes(nn.Module):
    """Takes so many seconds, once for each of `seconds`, then always the last."""

    def __init__(self, clock, *seconds):
        super().__init__()
        self.clock, self.seconds = [clock], list(seconds)

    def forward(self, x):
        self.clock[0].now += self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        return x


class Tree(nn.Module):
    """5 s by itself, a child of 1 s that is called twice, and a child around a child of 2 s that adds 3 s of its own."""

    def __init__(self, clock):
        super().__init__()
        self.twice = Takes(clock, 1.0)
        self.around = Around(clock)
        self.uncalled = Takes(clock, 9.0)
        self.clock = [clock]

    def forward(self, x):
        self.clock[0].now += 5
        return self.around(self.twice(self.twice(x)))


class Around(nn.Module):
    def __init__(self, clock):
        super().__init__()
        self.inner = Takes(clock, 2.0)
        self.clock = [clock]

    def forward(self, x):
        self.clock[0].now += 3
        return self.inner(x)


def make_timed(build, settings=TimingSettings(device="cpu", threads=1), **fields):  # noqa: B008 - a record, which nothing can change
    clock = FakeClock()
    recipe = Recipe(name="toy", reference="toy", build=lambda: build(clock), inputs=(InputSpec(shape=(2, 3)),), **fields)
    return TimedModel(recipe, settings, clock=clock)


def test_warming_up_ends_when_two_windows_agree():
    model = make_timed(lambda clock: Takes(clock, 9.0, 5.0, 3.0, 1.0))
    warmed = model.prepare(limit_s=1000)
    assert warmed.stable
    assert warmed.pass_s == 1.0
    assert warmed.samples_s == (9.0, 5.0, 3.0, *[1.0] * 5)


def test_a_slow_model_is_not_warmed_up_for_ever():
    warmed = make_timed(lambda clock: Takes(clock, 9.0, 5.0)).prepare(limit_s=3)
    assert warmed.samples_s == (9.0, 5.0)
    assert not warmed.stable


def test_whole_passes_are_timed_one_by_one():
    model = make_timed(lambda clock: Takes(clock, 3.0, 2.0, 1.0))
    assert model.time_passes(3) == (3.0, 2.0, 1.0)


def test_a_modules_own_time_is_its_time_less_that_of_what_it_calls():
    times = make_timed(Tree).time_modules(repeats=2)
    assert times.own_s == {"": (5.0, 5.0), "twice": (2.0, 2.0), "around": (3.0, 3.0), "around.inner": (2.0, 2.0)}
    assert times.total_s == {"": (12.0, 12.0), "twice": (2.0, 2.0), "around": (5.0, 5.0), "around.inner": (2.0, 2.0)}
    assert times.launches["twice"] == 2
    assert "uncalled" not in times.own_s


def test_own_times_add_up_to_the_pass():
    model = make_timed(Tree)
    times = model.time_modules(repeats=1)
    assert sum(samples[0] for samples in times.own_s.values()) == times.total_s[""][0] == model.time_passes(1)[0]


def test_timing_leaves_the_process_and_the_model_as_they_were():
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


def test_settings_say_how_many_threads_were_used_and_on_what():
    model = make_timed(lambda clock: Takes(clock, 1.0), TimingSettings(device="cpu", threads=3))
    assert model.settings == TimingSettings(device="cpu", threads=3)
    assert model.machine.device.startswith("CPU (")
    assert model.machine.torch == str(torch.__version__)


@pytest.mark.parametrize(("dtype", "expected"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_an_autocast_is_around_each_pass(dtype, expected):
    seen = []

    class Looks(nn.Linear):
        def forward(self, x):
            seen.append(super().forward(x).dtype)
            return x

    make_timed(lambda clock: Looks(3, 3), TimingSettings(device="cpu", dtype=dtype, threads=1)).time_passes(2)
    assert seen == [expected] * 2
    assert not torch.is_autocast_enabled("cpu")


def test_images_and_weights_are_laid_out_as_asked():
    seen = []

    class Looks(nn.Conv2d):
        def forward(self, x):
            seen.append((x.is_contiguous(memory_format=torch.channels_last), self.weight.is_contiguous(memory_format=torch.channels_last)))
            return super().forward(x)

    recipe = Recipe(name="toy", reference="toy", build=lambda: Looks(3, 4, 3), inputs=(InputSpec(shape=(1, 3, 8, 8)),))
    TimedModel(recipe, TimingSettings(device="cpu", channels_last=True, threads=1)).time_passes(1)
    assert seen == [(True, True)]


def test_what_a_device_does_not_have_is_a_message():
    with pytest.raises(MeasureError, match="TF32"):
        make_timed(lambda clock: Takes(clock, 1.0), TimingSettings(device="cpu", dtype="tf32"))
    if not torch.cuda.is_available():
        with pytest.raises(MeasureError, match="no CUDA device"):
            make_timed(lambda clock: Takes(clock, 1.0), TimingSettings(device="cuda"))


def test_a_model_that_does_not_run_is_a_message():
    class Refuses(nn.Module):
        def forward(self, x):
            raise RuntimeError("not implemented for 'Half'\nand more")

    with pytest.raises(MeasureError, match=r"^toy does not run on cpu in float32: RuntimeError: not implemented for 'Half'"):
        make_timed(lambda clock: Refuses()).prepare(1)

    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            raise KeyError("a setting")

    with pytest.raises(MeasureError, match=r"^toy cannot be built to be timed on cpu in float32: KeyError: 'a setting'"):
        make_timed(lambda clock: Asks())


def test_a_model_that_cannot_be_compiled_is_a_note(monkeypatch):
    def refuse(model):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", refuse)
    model = make_timed(lambda clock: Takes(clock, 1.0), TimingSettings(device="cpu", compiled=True, threads=1))
    model.prepare(1)
    assert model.forms == ("eager",)
    assert model.notes == ("the model could not be compiled: RuntimeError: no compiler",)


def test_a_compiled_model_is_a_form_of_its_own(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(torch, "compile", lambda model: Takes(clock, 0.25))
    recipe = Recipe(name="toy", reference="toy", build=lambda: Takes(clock, 1.0), inputs=(InputSpec(shape=(1, 3)),))
    model = TimedModel(recipe, TimingSettings(device="cpu", compiled=True, threads=1), clock=clock)
    model.prepare(1)
    assert model.forms == ("eager", "compiled")
    assert model.time_passes(2, "compiled") == (0.25, 0.25)
    assert model.time_passes(1) == (1.0,)


def test_ceilings_are_raw_times_of_what_was_run():
    measured = measure_ceilings(TimingSettings(device="cpu"), clock=FakeClock(), synchronize=lambda: None)
    assert len(measured.copies_s) == len(measured.products_s) == len(measured.launches_s) == 5
    assert measured.product_flops == 2 * 1024**3
    assert measured.copied_bytes == 2 * 64 * 2**20


def test_another_batch_is_set_in_every_input():
    recipe = Recipe(name="toy", reference="toy", build=nn.Identity, inputs=(InputSpec(shape=(1, 3, 8)), InputSpec(shape=(), name="scale")))
    assert [spec.shape for spec in set_batch(recipe, 16).inputs] == [(16, 3, 8), ()]
    made = Recipe(
        name="toy", reference="toy", build=nn.Identity, example_inputs=lambda: ((torch.arange(3.0),), {"mask": [torch.ones(2, 2)]})
    )
    (first,), kwargs = set_batch(made, 5).example_inputs()
    assert first.tolist() == [0, 1, 2, 0, 1]
    assert kwargs["mask"][0].shape == (5, 2)
    assert any("batch size was set to 5" in text for text in set_batch(made, 5).assumptions)


# --- what belongs to CUDA, on fakes of its edge ---------------------------------------------------------------------


class FakeMoment:
    """A moment on a stream that is marked with the clock's time, in milliseconds."""

    def __init__(self, clock):
        self.clock, self.at = clock, None

    def record(self):
        self.at = self.clock.now

    def elapsed_time(self, later):
        return 1e3 * (later.at - self.at)


def test_cuda_events_give_each_module_what_it_spent_by_itself(monkeypatch):
    from archaudit.measure.module_tree import walk_tree
    from archaudit.measure.tape.module_calls import observe_calls

    clock = FakeClock()
    model = Tree(clock)
    monkeypatch.setattr(EventClock, "make_event", lambda self: FakeMoment(clock))
    tree, events = walk_tree(model), EventClock()
    with observe_calls(tree, events):
        model(torch.zeros(1))
    own = {tree.paths[position]: pytest.approx(spent) for position, spent in events.read_own().items()}
    assert own == {"": 5.0, "twice": 2.0, "around": 3.0, "around.inner": 2.0}
    assert events.counts[tree.paths.index("twice")] == 2


@pytest.fixture
def pretended_cuda(monkeypatch):
    """TimedModel as it runs on CUDA, its edge replaced: models stay on the CPU, and a graph's replay takes a tenth of a second."""
    from contextlib import nullcontext

    from archaudit.measure.latency import timed_model
    from archaudit.schema import Machine

    def build(build_model, **fields):
        clock = FakeClock()
        captured = []

        def capture(run):
            captured.append(run)
            return lambda: setattr(clock, "now", clock.now + 0.1), ""

        monkeypatch.setattr(timed_model, "resolve_device", lambda device: "cuda")
        monkeypatch.setattr(timed_model, "describe_machine", lambda device: Machine(device="Fake GPU", driver="1", torch="2"))
        monkeypatch.setattr(timed_model, "_move_to_device", lambda value, settings: value)
        monkeypatch.setattr(timed_model, "float32_precision", lambda dtype, device: nullcontext())
        monkeypatch.setattr(timed_model, "cast_passes", lambda dtype, device: nullcontext())
        monkeypatch.setattr(timed_model, "capture_graph", fields.pop("capture", capture))
        make_passes = fields.get("passes", lambda tree: [])
        monkeypatch.setattr(timed_model, "profile_kernels", lambda tree, run, probe, repeats: make_passes(tree))
        monkeypatch.setattr(EventClock, "make_event", lambda self: FakeMoment(clock))
        recipe = Recipe(name="toy", reference="toy", build=lambda: build_model(clock), inputs=(InputSpec(shape=(2, 3)),))
        return TimedModel(recipe, TimingSettings(device="cuda"), clock=clock, synchronize=lambda: None)

    return build


def test_threads_of_the_cpu_are_no_setting_of_a_device(pretended_cuda):
    assert pretended_cuda(lambda clock: Takes(clock, 1.0)).settings == TimingSettings(device="cuda")


def test_a_graph_is_a_form_of_its_own(pretended_cuda):
    model = pretended_cuda(lambda clock: Takes(clock, 1.0))
    model.prepare(1)
    assert model.forms == ("eager", "replay")
    assert model.time_passes(2, "replay") == pytest.approx((0.1, 0.1))
    assert model.time_passes(1) == (1.0,)


def test_a_pass_after_the_other_models_is_not_counted_on_a_shared_device(pretended_cuda):
    model = pretended_cuda(lambda clock: Takes(clock, 3.0, 1.0))
    assert model.time_passes(2) == (1.0, 1.0)
    slow = pretended_cuda(lambda clock: Takes(clock, 0.4, 0.4, 3.0, 1.0))
    assert slow.prepare(1).pass_s == pytest.approx(0.4)
    assert slow.time_passes(2) == pytest.approx((3.0, 1.0)), "a pass that takes long is not made for nothing"


def test_what_does_not_fit_is_a_message(pretended_cuda, monkeypatch):
    from archaudit.measure.latency import timed_model

    model = pretended_cuda(lambda clock: Takes(clock, 1.0))
    monkeypatch.setattr(model, "_model", None)

    def refuse(value, settings):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(MeasureError, match="does not run on cuda in float32: TypeError: 'NoneType' object is not callable"):
        model.time_passes(1)
    monkeypatch.setattr(timed_model, "resolve_device", lambda device: device)
    monkeypatch.setattr(timed_model, "_move_to_device", refuse)
    with pytest.raises(MeasureError, match="does not fit on cpu in float32: OutOfMemoryError: CUDA out of memory"):
        make_timed(lambda clock: Takes(clock, 1.0))


def test_a_model_that_cannot_be_captured_is_a_note(pretended_cuda):
    model = pretended_cuda(lambda clock: Takes(clock, 1.0), capture=lambda run: (None, "no CUDA graph could be captured: it waits"))
    model.prepare(1)
    assert model.forms == ("eager",)
    assert model.notes == ("no CUDA graph could be captured: it waits",)


def test_kernels_are_summed_up_the_tree_and_what_is_lost_is_a_note(pretended_cuda):
    from archaudit.measure.latency.kernels import PassKernels

    def join(tree):
        own = {tree.paths.index(path): spent for path, spent in (("twice", 2_000_000_000), ("around.inner", 1_000_000_000))}
        return [PassKernels(own, dict.fromkeys(own, 3), 500_000)] * 2

    times = pretended_cuda(Tree, passes=join).time_modules(2)
    assert times.own_s == {"twice": (2.0, 2.0), "around": (0.0, 0.0), "around.inner": (1.0, 1.0), "": (0.0, 0.0)}
    assert times.total_s[""] == (3.0, 3.0)
    assert times.total_s["around"] == (1.0, 1.0)
    assert times.launches == {"twice": 3, "around.inner": 3}
    assert "correlation id" in times.attribution
    assert times.notes == ("0.500 ms of kernels in a pass could not be joined to a module",)


def test_a_profiler_that_fails_is_told_and_events_stand_in(pretended_cuda):
    def fail(tree):
        raise RuntimeError("CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED")

    times = pretended_cuda(Tree, passes=fail).time_modules(1)
    assert times.attribution.startswith("CUDA events")
    assert times.notes == ("the profiler failed: CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED",)


def test_what_is_odd_about_sums_of_kernels_is_told(pretended_cuda):
    from archaudit.measure.latency.kernels import PassKernels

    times = pretended_cuda(Tree, passes=lambda tree: [PassKernels({0: 10_000_000}, {0: 4}, 0, 2_000_000)]).time_modules(3)
    assert times.notes == (
        "2.000 ms of kernels in a pass ran in parallel with others: the sum of the layers counts them twice",
        "2 of 3 instrumented passes were dropped: the profiler lost some of their kernels",
    )


def test_where_no_kernels_are_seen_events_stand_in_and_it_is_said(pretended_cuda):
    times = pretended_cuda(Tree).time_modules(1)
    assert times.own_s["around"] == pytest.approx((3.0,))
    assert times.total_s[""] == pytest.approx((12.0,))
    assert times.attribution.startswith("CUDA events")
    assert "CUPTI is not permitted" in times.notes[0]


def test_throttling_is_named_by_the_librarys_bits():
    assert name_throttles(0x1 | 0x2) == ()
    assert name_throttles(0x4 | 0x20) == ("power cap", "software thermal")


def test_the_cpu_is_asked_nothing():
    assert read_state("cpu", 2) == DeviceState()
    assert describe_machine("cpu").driver is None


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "tf32", "bfloat16", "float16"])
def test_on_a_cuda_device_kernels_add_up_to_the_graph_replay(dtype):
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
def test_on_a_cuda_device_the_layers_of_a_segmentation_model_come_to_its_graph_replay(dtype, off):
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
def test_on_a_cuda_device_a_models_own_ranges_are_not_counted():
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
def test_on_a_cuda_device_a_model_that_waits_is_timed_all_the_same():
    class Waits(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum().item() else x

    recipe = Recipe(name="toy", reference="toy", build=lambda: Waits(64, 64), inputs=(InputSpec(shape=(64, 64)),))
    model = TimedModel(recipe, TimingSettings(device="cuda"))
    model.prepare(5)
    check_the_device_survived(model)
    assert "synchronizing" in model.notes[0]


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
def test_on_a_cuda_device_a_capture_that_fails_leaves_the_process_usable():
    class Breaks(nn.Linear):
        def forward(self, x):
            if torch.cuda.is_current_stream_capturing():
                torch.cuda.synchronize()
            return super().forward(x)

    recipe = Recipe(name="toy", reference="toy", build=lambda: Breaks(64, 64), inputs=(InputSpec(shape=(64, 64)),))
    model = TimedModel(recipe, TimingSettings(device="cuda"))
    model.prepare(5)
    check_the_device_survived(model)


def check_the_device_survived(model):
    assert model.forms == ("eager",)
    assert "no CUDA graph" in model.notes[0]
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert torch.rand(8, device="cuda").isfinite().all(), "random numbers can still be made"
    assert min(model.time_passes(3)) > 0
    assert min(measure_ceilings(model.settings, model.clock, model.synchronize).copies_s) > 0
    assert model.time_modules(3).total_s[""]


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
def test_on_a_cuda_device_flags_are_put_back():
    before = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    recipe = Recipe(name="toy", reference="toy", build=lambda: nn.Linear(3, 3), inputs=(InputSpec(shape=(2, 3)),))
    TimedModel(recipe, TimingSettings(device="cuda", dtype="tf32")).time_passes(1)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
def test_on_a_cuda_device_ceilings_and_state_are_read():
    measured = measure_ceilings(TimingSettings(device="cuda"), clock=__import__("time").perf_counter, synchronize=torch.cuda.synchronize)
    assert min(measured.products_s) > 0
    assert isinstance(read_state("cuda", 1), DeviceState)


def read_switches():
    places = [torch.backends.cuda.matmul, torch.backends.cudnn]
    return [place.allow_tf32 for place in places], getattr(places[0], "fp32_precision", None)


@pytest.mark.parametrize(("dtype", "expected"), [("tf32", True), ("float32", False), ("bfloat16", False)])
def test_tf32_is_on_only_where_it_was_asked_for_and_is_put_back(dtype, expected):
    from archaudit.measure.latency.devices import float32_precision

    before = read_switches()
    with float32_precision(dtype, "cuda"):
        assert read_switches()[0] == [expected] * 2
    assert read_switches() == before
    with float32_precision(dtype, "cpu"):
        assert read_switches() == before


def test_a_users_newer_switch_is_respected_too():
    from archaudit.measure.latency.devices import float32_precision

    matmul = torch.backends.cuda.matmul
    if not hasattr(matmul, "fp32_precision"):
        pytest.skip("this torch has the older switches only")
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"  # from now on torch refuses to read allow_tf32
        with float32_precision("float32", "cuda"):
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before


def test_recurrent_layers_follow_a_users_newer_switch_too():
    from archaudit.measure.latency.devices import float32_precision

    cudnn = torch.backends.cudnn
    if not hasattr(cudnn, "rnn"):
        pytest.skip("this torch has the older switches only")
    before = [(place, place.fp32_precision) for place in (cudnn.conv, cudnn.rnn)]
    try:
        cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = "tf32", "ieee"  # which torch cannot tell as one `allow_tf32`
        with float32_precision("tf32", "cuda"):
            assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("tf32", "tf32")
        with float32_precision("float32", "cuda"):
            assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("ieee", "ieee")
        assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("tf32", "ieee")
    finally:
        for place, precision in before:
            place.fp32_precision = precision


class FakeNvml:
    """As much of nvidia-ml-py as is asked, for the device with one UUID."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        pass

    def __init__(self, processes=3, fails=False, uuid="GPU-1234"):
        self.processes, self.fails, self.open, self.uuid = processes, fails, 0, uuid

    def nvmlInit(self):
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if self.fails:
            raise self.NVMLError("no permission")
        if uuid != self.uuid:
            raise self.NVMLError("not found")
        return "handle"

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return 0x40 | 0x1

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return {1: 1980, 2: 2619}[kind]

    def nvmlDeviceGetTemperature(self, handle, kind):
        return 71

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return ["process"] * self.processes

    def nvmlSystemGetDriverVersion(self):
        return b"570.86"


@pytest.fixture
def nvml(monkeypatch):
    import sys
    from types import SimpleNamespace

    def install(**fields):
        fake = FakeNvml(**fields)
        monkeypatch.setitem(sys.modules, "pynvml", fake)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="1234"))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Fake GPU")
        return fake

    return install


def test_the_state_of_a_device_is_asked_of_its_library(nvml):
    fake = nvml()
    expected = DeviceState(clock_mhz=1980, memory_clock_mhz=2619, temperature_c=71, throttled=("hardware thermal",), other_processes=1)
    assert read_state("cuda", own_processes=2) == expected
    assert fake.open == 0, "the library is closed again"
    assert describe_machine("cuda").driver == "570.86"
    assert describe_machine("cuda").device == "Fake GPU"


def test_a_slice_of_a_device_is_found_by_its_own_kind_of_uuid(nvml):
    nvml(uuid="MIG-1234")
    assert read_state("cuda", 1).clock_mhz == 1980
    nvml(uuid="GPU-another")
    assert read_state("cuda", 1) == DeviceState()


def test_questions_that_a_slice_or_another_version_does_not_answer_stay_open(nvml):
    fake = nvml()
    fake.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: 0x08
    assert read_state("cuda", 1).throttled == ("hardware slowdown",), "the newer name of throttle reasons"

    def refuse(handle, *arguments):
        raise fake.NVMLError("not supported")

    fake.nvmlDeviceGetTemperature = fake.nvmlDeviceGetComputeRunningProcesses = refuse
    state = read_state("cuda", 1)
    assert (state.clock_mhz, state.temperature_c, state.other_processes) == (1980, None, None)


def test_a_library_that_does_not_answer_is_no_error(nvml, monkeypatch):
    fake = nvml(fails=True)
    assert read_state("cuda", 1) == DeviceState()
    assert fake.open == 0
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)  # as where it is not installed
    assert read_state("cuda", 1) == DeviceState()
    assert describe_machine("cuda").driver is None


def test_of_little_memory_little_is_copied(monkeypatch):
    from archaudit.measure.latency.ceilings import _choose_copy_bytes

    for free, expected in ((100 * 2**30, 2**30), (2**30, 2**27), (1000, 2**20)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free=free: (free, 2**40))
        assert _choose_copy_bytes("cuda") == expected


def test_no_memory_left_for_ceilings_is_a_message(monkeypatch):
    def refuse(*shape, **fields):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "arange", refuse)
    with pytest.raises(MeasureError, match="too little memory on cpu to measure its limits"):
        measure_ceilings(TimingSettings(device="cpu"), clock=FakeClock(), synchronize=lambda: None)


def test_a_product_that_takes_long_is_a_smaller_one():
    clock = FakeClock()

    def tick():
        clock.now += 0.02  # of every measured run, before and after it

    measured = measure_ceilings(TimingSettings(device="cpu"), clock=clock, synchronize=tick)
    assert measured.product_flops == 2 * 128**3
