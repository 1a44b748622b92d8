"""Timing on CUDA, with the calls to the device replaced: graph replay, kernels, CUDA events, and their notes."""

import pytest
import torch
from measure.latency.fake_clock import FakeClock, FakeEvent, Takes, Tree, make_timed

from archaudit.errors import MeasureError
from archaudit.measure.latency import TimedModel
from archaudit.measure.latency.clocks import EventClock
from archaudit.schema import InputSpec, Recipe, TimingSettings


def test_cuda_events_give_the_own_time_of_each_module(monkeypatch):
    from archaudit.measure.module_tree import walk_tree
    from archaudit.measure.tape.module_calls import observe_calls

    clock = FakeClock()
    model = Tree(clock)
    monkeypatch.setattr(EventClock, "make_event", lambda self: FakeEvent(clock))
    tree, events = walk_tree(model), EventClock()
    with observe_calls(tree, events):
        model(torch.zeros(1))
    own = {tree.paths[position]: pytest.approx(spent) for position, spent in events.read_own().items()}
    assert own == {"": 5.0, "twice": 2.0, "outer": 3.0, "outer.inner": 2.0}
    assert events.counts[tree.paths.index("twice")] == 2


@pytest.fixture
def fake_cuda(monkeypatch):
    """TimedModel with a replaced device: models stay on the CPU, and the replay of a graph takes a tenth of a second."""
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
        monkeypatch.setattr(EventClock, "make_event", lambda self: FakeEvent(clock))
        recipe = Recipe(name="toy", reference="toy", build=lambda: build_model(clock), inputs=(InputSpec(shape=(2, 3)),))
        return TimedModel(recipe, TimingSettings(device="cuda"), clock=clock, synchronize=lambda: None)

    return build


def test_cpu_threads_are_no_setting_on_cuda(fake_cuda):
    assert fake_cuda(lambda clock: Takes(clock, 1.0)).settings == TimingSettings(device="cuda")


def test_the_graph_replay_is_a_further_form(fake_cuda):
    model = fake_cuda(lambda clock: Takes(clock, 1.0))
    model.prepare(1)
    assert model.forms == ("eager", "replay")
    assert model.time_passes(2, "replay") == pytest.approx((0.1, 0.1))
    assert model.time_passes(1) == (1.0,)


def test_the_first_pass_after_another_model_is_not_counted(fake_cuda):
    model = fake_cuda(lambda clock: Takes(clock, 3.0, 1.0))
    assert model.time_passes(2) == (1.0, 1.0)
    slow = fake_cuda(lambda clock: Takes(clock, 0.4, 0.4, 3.0, 1.0))
    assert slow.prepare(1).pass_s == pytest.approx(0.4)
    assert slow.time_passes(2) == pytest.approx((3.0, 1.0)), "no extra pass if a pass takes long"


def test_too_little_memory_is_an_error_message(fake_cuda, monkeypatch):
    from archaudit.measure.latency import timed_model

    model = fake_cuda(lambda clock: Takes(clock, 1.0))
    monkeypatch.setattr(model, "_model", None)

    def refuse(value, settings):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(MeasureError, match="does not run on cuda in float32: TypeError: 'NoneType' object is not callable"):
        model.time_passes(1)
    monkeypatch.setattr(timed_model, "resolve_device", lambda device: device)
    monkeypatch.setattr(timed_model, "_move_to_device", refuse)
    with pytest.raises(MeasureError, match="does not fit on cpu in float32: OutOfMemoryError: CUDA out of memory"):
        make_timed(lambda clock: Takes(clock, 1.0))


def test_a_model_that_cannot_be_captured_is_a_note(fake_cuda):
    model = fake_cuda(lambda clock: Takes(clock, 1.0), capture=lambda run: (None, "no CUDA graph could be captured: it waits"))
    model.prepare(1)
    assert model.forms == ("eager",)
    assert model.notes == ("no CUDA graph could be captured: it waits",)


def test_kernel_times_are_summed_up_the_tree_and_lost_ones_are_a_note(fake_cuda):
    from archaudit.measure.latency.kernels import PassKernels

    def join(tree):
        own = {tree.paths.index(path): spent for path, spent in (("twice", 2_000_000_000), ("outer.inner", 1_000_000_000))}
        return [PassKernels(own, dict.fromkeys(own, 3), 500_000)] * 2

    times = fake_cuda(Tree, passes=join).time_modules(2)
    assert times.own_s == {"twice": (2.0, 2.0), "outer": (0.0, 0.0), "outer.inner": (1.0, 1.0), "": (0.0, 0.0)}
    assert times.total_s[""] == (3.0, 3.0)
    assert times.total_s["outer"] == (1.0, 1.0)
    assert times.launches == {"twice": 3, "outer.inner": 3}
    assert "correlation id" in times.attribution
    assert times.notes == ("0.500 ms of kernels in a pass could not be joined to a module",)


def test_cuda_events_replace_a_profiler_that_fails(fake_cuda):
    def fail(tree):
        raise RuntimeError("CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED")

    times = fake_cuda(Tree, passes=fail).time_modules(1)
    assert times.attribution.startswith("CUDA events")
    assert times.notes == ("the profiler failed: CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED",)


def test_overlapping_kernels_and_dropped_passes_are_notes(fake_cuda):
    from archaudit.measure.latency.kernels import PassKernels

    times = fake_cuda(Tree, passes=lambda tree: [PassKernels({0: 10_000_000}, {0: 4}, 0, 2_000_000)]).time_modules(3)
    assert times.notes == (
        "2.000 ms of kernels in a pass ran in parallel with others: the sum of the layers counts them twice",
        "2 of 3 instrumented passes were dropped: the profiler lost some of their kernels",
    )


def test_cuda_events_replace_a_profiler_that_sees_no_kernels(fake_cuda):
    times = fake_cuda(Tree).time_modules(1)
    assert times.own_s["outer"] == pytest.approx((3.0,))
    assert times.total_s[""] == pytest.approx((12.0,))
    assert times.attribution.startswith("CUDA events")
    assert "CUPTI is not permitted" in times.notes[0]
