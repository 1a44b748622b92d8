"""Kernels joined to modules, on traces written by hand."""

import pytest

from archaudit.measure.latency.kernels import MODULE_RANGE, PASS_RANGE, PassKernels, TraceEvent, join_kernels, keep_complete


def cpu(name, start, end, correlation=0, linked=0):
    return TraceEvent(name, False, start, end, correlation, linked)


def kernel(start, end, correlation=0, linked=0, name="sgemm"):
    return TraceEvent(name, True, start, end, correlation, linked)


def module(position, start, end):
    return cpu(f"{MODULE_RANGE}{position}", start, end, correlation=1000 + position)


ONE_PASS = cpu(f"{PASS_RANGE}0", 0, 1000)
# Module 0 contains 1 and 2; operators 7 and 8 run in 1 and 2, their launches are 70 and 80.
TRACE = [
    ONE_PASS,
    module(0, 10, 900),
    module(1, 100, 300),
    module(2, 400, 600),
    cpu("aten::conv2d", 110, 290, correlation=7),
    cpu("cudaLaunchKernel", 120, 125, correlation=70, linked=7),
    cpu("aten::relu", 410, 590, correlation=8),
    cpu("cudaLaunchKernel", 420, 425, correlation=80, linked=8),
]


def test_a_kernel_belongs_to_the_innermost_module_that_launched_it():
    joined = join_kernels([*TRACE, kernel(700, 750, 70, 7), kernel(750, 753, 80, 8)])
    assert joined == [PassKernels({1: 50, 2: 3}, {1: 1, 2: 1}, 0)]


def test_a_kernel_launched_between_children_belongs_to_the_parent():
    events = [*TRACE, cpu("cuLaunchKernelEx", 350, 355, correlation=90), kernel(800, 808, 90)]
    assert join_kernels(events)[0].own_ns == {0: 8}


def test_ids_of_operators_are_not_confused_with_ids_of_launches():
    # the operator in module 2 and the launch in module 1 have the same id
    events = [*TRACE[:-2], cpu("aten::relu", 410, 590, correlation=70), kernel(700, 750, 70, 7)]
    assert join_kernels(events)[0].own_ns == {1: 50}


def test_a_kernel_without_a_launch_is_joined_by_its_operator():
    assert join_kernels([*TRACE, kernel(700, 750, 71, 8)])[0].own_ns == {2: 50}


@pytest.mark.parametrize("late_ns", [-30, 200])
def test_a_shifted_runtime_clock_moves_no_kernel_to_another_module(late_ns):
    moved = [e._replace(start_ns=e.start_ns + late_ns, end_ns=e.end_ns + late_ns) if e.name.startswith("cuda") else e for e in TRACE]
    assert join_kernels([*moved, kernel(700, 750, 70, 7), kernel(750, 753, 80, 8)])[0].own_ns == {1: 50, 2: 3}


@pytest.mark.parametrize("call", ["cudaLaunchKernelExC", "cuLaunchKernelEx", "cuMemsetD8Async", "cuLaunchKernel"])
def test_a_kernel_launched_outside_of_operators_is_joined_by_its_call(call):
    assert join_kernels([*TRACE, cpu(call, 150, 155, correlation=90), kernel(800, 808, 90)])[0].own_ns == {1: 8}


def test_the_overlap_of_parallel_kernels_is_measured():
    (joined,) = join_kernels([*TRACE, kernel(700, 750, 70, 7), kernel(740, 760, 80, 8), kernel(745, 755, 80, 8)])
    assert joined.own_ns == {1: 50, 2: 30}
    assert joined.overlap_ns == 80 - 60


def test_passes_with_lost_kernels_are_dropped():
    full, poor = PassKernels({1: 50}, {1: 2}, 0), PassKernels({1: 20}, {1: 1}, 0)
    assert keep_complete([poor, full, full]) == [full, full]
    assert keep_complete([full, poor, poor]) == [full, poor, poor], "a model whose passes launch different numbers of kernels"
    assert keep_complete([]) == []


def test_a_kernel_without_launch_and_operator_is_lost():
    assert join_kernels([*TRACE, kernel(700, 750, 71, 99)]) == [PassKernels({}, {}, 50)]


def test_a_kernel_launched_outside_of_all_modules_is_lost():
    events = [*TRACE, cpu("cudaMemcpyAsync", 950, 955, correlation=90), kernel(960, 970, 90)]
    assert join_kernels(events) == [PassKernels({}, {}, 10)]


def test_each_pass_has_its_own_sums():
    later = [event._replace(start_ns=event.start_ns + 2000, end_ns=event.end_ns + 2000) for event in TRACE]
    later = [event._replace(correlation=event.correlation + 500, linked=event.linked and event.linked + 500) for event in later]
    later[0] = later[0]._replace(name=f"{PASS_RANGE}1")
    joined = join_kernels([*later, *TRACE, kernel(700, 750, 70, 7), kernel(2700, 2770, 570, 507)])
    assert [each.own_ns for each in joined] == [{1: 50}, {1: 70}]


def test_ranges_that_kineto_repeats_on_the_device_are_no_kernels():
    events = [*TRACE, kernel(100, 900, 0, 0, name=f"{MODULE_RANGE}1"), kernel(700, 750, 70, 7)]
    assert join_kernels(events) == [PassKernels({1: 50}, {1: 1}, 0)]


def test_copies_count_as_kernels():
    events = [*TRACE, cpu("cudaMemsetAsync", 130, 131, correlation=91, linked=7), kernel(700, 705, 91, 7, name="Memset (Device)")]
    assert join_kernels(events)[0].own_ns == {1: 5}


def test_a_trace_without_passes_has_none():
    assert join_kernels([kernel(0, 1, 1)]) == []


@pytest.mark.filterwarnings("ignore")
def test_the_profilers_own_events_are_read():
    import torch

    from archaudit.measure.latency.kernels import ModuleRanges, read_events

    ranges = ModuleRanges()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        ranges.enter_call(3, (), {})
        torch.ones(2) + 1
        ranges.leave_call(3, (), {}, None)
    events = read_events(profiler.profiler.kineto_results.events())
    (opened,) = (event for event in events if event.name == f"{MODULE_RANGE}3")
    inside = [event for event in events if event.name == "aten::add"]
    assert inside
    assert all(opened.start_ns <= event.start_ns <= event.end_ns <= opened.end_ns for event in inside)
    assert not any(event.on_device for event in events)


@pytest.mark.filterwarnings("ignore")
def test_a_profile_without_kernels_is_empty():
    import torch
    from torch import nn

    from archaudit.measure.latency.kernels import profile_kernels
    from archaudit.measure.module_tree import walk_tree

    if torch.cuda.is_available():
        pytest.skip("the profiler sees kernels here")
    model = nn.Linear(3, 3)
    assert profile_kernels(walk_tree(model), lambda: model(torch.zeros(1, 3)), lambda: torch.zeros(1), 2) == []


@pytest.mark.filterwarnings("ignore")
def test_kernels_of_a_real_trace_are_joined_to_their_modules(monkeypatch):
    """The profiler's trace of a model on the CPU, with added kernels of a device: one of 100 ns for each product."""
    import torch
    from torch import nn

    from archaudit.measure.latency import kernels
    from archaudit.measure.module_tree import walk_tree

    read = kernels.read_events

    def add_kernels(events):
        found = [event for event in read(events) if not event.on_device]
        products = [event for event in found if event.name == "aten::addmm"]
        return found + [kernel(event.end_ns + 10_000, event.end_ns + 10_100, 0, event.correlation) for event in products]

    monkeypatch.setattr(kernels, "read_events", add_kernels)
    model = nn.Sequential(nn.Linear(3, 3), nn.Identity(), nn.Sequential(nn.Linear(3, 3)))
    model.append(model[0])
    tree = walk_tree(model)
    passes = kernels.profile_kernels(tree, lambda: model(torch.zeros(1, 3)), lambda: torch.zeros(1), 2)
    assert len(passes) == 2
    for each in passes:
        own = {tree.paths[position]: spent for position, spent in each.own_ns.items()}
        assert own == {"": 0, "0": 200, "1": 0, "2": 0, "2.0": 100}
        assert each.lost_ns == 0


@pytest.mark.filterwarnings("ignore")
def test_a_model_without_kernels_takes_no_time_if_the_probe_is_seen(monkeypatch):
    import torch
    from torch import nn

    from archaudit.measure.latency import kernels
    from archaudit.measure.module_tree import walk_tree

    read = kernels.read_events

    def add_kernel(events):
        found = [event for event in read(events) if not event.on_device]
        return found + [kernel(event.end_ns + 10, event.end_ns + 110, 0, event.correlation) for event in found if event.name == "aten::eye"]

    monkeypatch.setattr(kernels, "read_events", add_kernel)
    model = nn.Sequential(nn.Identity())
    passes = kernels.profile_kernels(walk_tree(model), lambda: model(torch.zeros(1)), lambda: torch.eye(2), 3)
    assert [(each.own_ns, each.launches, each.lost_ns) for each in passes] == [({0: 0, 1: 0}, {}, 0)] * 3


class FakeEvent:
    """An event with the methods of kineto's events."""

    def __init__(self, name, device, start, duration, correlation=0, linked=0, annotation=False):
        self.fields = (name, device, start, duration, correlation, linked, annotation)

    def name(self):
        return self.fields[0]

    def device_type(self):
        from types import SimpleNamespace

        return SimpleNamespace(name=self.fields[1])

    def start_ns(self):
        return self.fields[2]

    def duration_ns(self):
        return self.fields[3]

    def correlation_id(self):
        return self.fields[4]

    def linked_correlation_id(self):
        return self.fields[5]

    def is_user_annotation(self):
        return self.fields[6]


def test_only_kernels_copies_and_fills_count_on_the_device():
    from archaudit.measure.latency.kernels import read_events

    base = 1_795_396_030_013_000_000  # Unix time, as in kineto's events
    recorded = [
        FakeEvent(f"{PASS_RANGE}0", "CPU", base, 900, 1, annotation=True),
        FakeEvent(f"{MODULE_RANGE}0", "CPU", base + 10, 800, 2, annotation=True),
        FakeEvent("a range of the model", "CPU", base + 20, 700, 3, annotation=True),
        FakeEvent("aten::cudnn_convolution", "CPU", base + 30, 100, 4),
        FakeEvent("cudaLaunchKernelExC", "CPU", base + 40, 5, 711, linked=4),
        FakeEvent("cudaMemsetAsync", "CPU", base + 50, 5, 712, linked=4),
        FakeEvent("cudaDeviceSynchronize", "CPU", base + 200, 600, 713),
        FakeEvent("sm90_xmma_fprop_implicit_gemm", "CUDA", base + 300, 400, 711, linked=4),
        FakeEvent("Memset (Device)", "CUDA", base + 700, 2, 712, linked=4),
        FakeEvent(f"{PASS_RANGE}0", "CUDA", base + 300, 402, 1, annotation=True),
        FakeEvent(f"{MODULE_RANGE}0", "CUDA", base + 300, 402, 2, annotation=True),
        FakeEvent("a range of the model", "CUDA", base + 300, 402, 3, annotation=True),
        FakeEvent("Context Sync", "CUDA", base + 200, 600, 713),
    ]
    assert join_kernels(read_events(recorded)) == [PassKernels({0: 402}, {0: 2}, 0)]


@pytest.mark.filterwarnings("ignore")
def test_the_first_pass_under_the_profiler_is_not_counted(monkeypatch):
    from torch import nn

    from archaudit.measure.latency import kernels
    from archaudit.measure.module_tree import walk_tree

    made = []
    monkeypatch.setattr(kernels, "read_events", lambda events: made.append(list(events)) or [])
    ran = []
    model = nn.Identity()
    kernels.profile_kernels(walk_tree(model), lambda: ran.append(model(1)), lambda: ran.append("probe"), 3)
    assert ran == [1, 1, "probe", 1, 1, 1, "probe"]
    names = [event.name() for event in made[0]]
    assert [name for name in names if name.startswith(PASS_RANGE)] == [f"{PASS_RANGE}{number}" for number in range(3)]
