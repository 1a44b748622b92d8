"""Two models timed by fake workers: the order, the second measurement, and that the two never run at the same time."""

import numpy as np
import pytest

from archaudit.judge.latency import judge_latency
from archaudit.pipeline.options import TimingOptions
from archaudit.pipeline.timing import time_models
from archaudit.schema import DeviceState, LatencyBudget, Machine, MeasuredCeilings, TimingSettings
from archaudit.timing import are_interleaved, compare_latencies, find_problems
from archaudit.worker import DeviceInspected, InspectDevice, ModulesTimed, PrepareTiming, TimeBlock, Timed, TimeModules, TimingReady

CEILINGS = MeasuredCeilings(copied_bytes=1000, copies_s=(1e-6,), product_flops=10**6, products_s=(1e-6,), launches_s=(1e-6,))


class FakeWorker:
    """A model that takes `pass_s` with `noise`, and `later_s` when it is built again; `log` records its requests."""

    def __init__(self, name, log, pass_s, noise=0.003, later_s=None, forms=("eager",), state=DeviceState()):  # noqa: B008
        self.name, self.log, self.lives, self.forms, self.state = name, log, [pass_s, later_s or pass_s], forms, state
        self.noise, self.draw, self.life = noise, np.random.default_rng(sum(map(ord, name))), -1
        self.request = None

    def send(self, request):
        assert self.request is None, "a request before the reply to the last one"
        assert not any(other.request for other in self.log.workers), "two sides at once"
        self.request = request

    def receive(self):
        request, self.request = self.request, None
        self.log.requests.append((self.name, request))
        if isinstance(request, PrepareTiming):
            self.life += 1
            return TimingReady(request.settings, Machine(device="Fake", torch="2"), self.forms, (self.pass_s,) * 6, True)
        if isinstance(request, TimeModules):
            return ModulesTimed({"": (self.pass_s,) * request.repeats}, {"": (self.pass_s,) * request.repeats}, {"": 1}, "by hand")
        if isinstance(request, InspectDevice):
            return DeviceInspected(self.state, CEILINGS if request.ceilings else None)
        assert isinstance(request, TimeBlock)
        scale = {"eager": 1.0, "replay": 0.5}[request.form]
        return Timed(tuple(scale * self.pass_s * (1 + self.noise * self.draw.standard_normal(request.repeats))))

    @property
    def pass_s(self):
        return self.lives[min(self.life, 1)]


class Log:
    def __init__(self):
        self.requests, self.workers = [], []

    def count_preparations(self):
        return sum(isinstance(request, PrepareTiming) for _, request in self.requests)


def time_two(before_s, after_s, budget=None, **fields):
    log = Log()
    log.workers += [FakeWorker("before", log, before_s), FakeWorker("after", log, after_s, **fields)]
    options = TimingOptions(settings=TimingSettings(device="cpu"), seed=7, budget=budget)
    return time_models(log.workers, ["f1", "f2"], options), log


def judge_default(timed, **fields):
    return judge_latency("after", *timed, LatencyBudget(**fields))


def test_blocks_are_interleaved_in_palindromes():
    (before, after), log = time_two(0.1, 0.1)
    pairing = after.pairing
    assert pairing.seed == 7
    assert pairing.before == "f1"
    assert len(set(pairing.order)) > 1, "every round in the same order is no random order"
    for blocks in pairing.order:
        assert blocks == blocks[::-1]
        assert sorted(blocks) == ["after", "after", "again", "again", "before", "before"]
    timed = [name for name, request in log.requests if isinstance(request, TimeBlock)]
    assert timed == ["after" if side == "after" else "before" for blocks in pairing.order for side in blocks]
    assert len(before.samples_s) == len(after.samples_s) == len(pairing.again_s) == 2 * pairing.passes * sum(pairing.rounds)


def test_instrumented_passes_come_last():
    (before, after), log = time_two(0.01, 0.011)
    kinds = [type(request) for _, request in log.requests]
    assert kinds[-2:] == [TimeModules, TimeModules]
    assert kinds.count(TimeModules) == 2
    assert before.own_s[""] == (0.01,) * 11
    assert after.own_s[""] == (0.011,) * 11
    assert before.attribution == "by hand"


def test_the_same_seed_gives_the_same_order():
    assert time_two(0.1, 0.1)[0][1].pairing.order == time_two(0.1, 0.1)[0][1].pairing.order


def test_an_unchanged_model_passes_after_one_measurement():
    timed, log = time_two(0.01, 0.01)
    assert judge_default(timed).outcome == "passed"
    assert log.count_preparations() == 2


def test_a_slowdown_fails_after_two_measurements_of_rebuilt_models():
    timed, log = time_two(0.01, 0.011)
    verdict = judge_default(timed)
    assert verdict.outcome == "failed"
    assert "a second measurement agrees" in verdict.reason
    assert verdict.actual == pytest.approx(1.1, rel=0.01)
    assert log.count_preparations() == 4
    assert len(timed[1].pairing.rounds) == len(compare_latencies(*timed)) == 2


def test_a_slowdown_that_a_second_measurement_does_not_find_is_not_judged():
    verdict = judge_default(time_two(0.01, 0.011, later_s=0.01)[0])
    assert verdict.outcome == "inconclusive"
    assert "does not agree" in verdict.reason


def test_a_slowdown_within_a_looser_budget_needs_no_second_measurement():
    budget = LatencyBudget(max_ratio=1.25)
    timed, log = time_two(0.01, 0.011, budget=budget)
    assert judge_latency("after", *timed, budget).outcome == "passed"
    assert log.count_preparations() == 2


def test_a_change_below_the_absolute_floor_does_not_fail():
    verdict = judge_default(time_two(100e-6, 111e-6)[0])
    assert verdict.outcome == "inconclusive"
    assert "below the minimum of 20 µs" in verdict.reason


def test_noise_is_named_as_the_reason():
    verdict = judge_default(time_two(0.01, 0.0102, noise=0.2)[0])
    assert verdict.outcome == "inconclusive"
    assert verdict.reason.startswith("noise")


def test_a_budget_may_require_a_speedup():
    timed, _ = time_two(0.01, 0.004)
    assert judge_default(timed, max_ratio=0.5).outcome == "passed"
    budget = LatencyBudget(max_ratio=0.3)
    assert judge_latency("after", *time_two(0.01, 0.004, budget=budget)[0], budget).outcome == "failed"


def test_both_forms_are_timed_where_both_sides_have_them():
    log = Log()
    log.workers += [FakeWorker(name, log, 0.1, forms=("eager", "replay")) for name in ("before", "after")]
    before, after = time_models(log.workers, ["f1", "f2"], TimingOptions(seed=1))
    assert len(after.replays_s) == len(before.replays_s) == len(before.samples_s)
    assert after.replays_s[0] == pytest.approx(0.05, rel=0.1)


def test_a_hot_device_is_not_judged():
    hot = DeviceState(throttled=("hardware thermal",))
    log = Log()
    log.workers += [FakeWorker(name, log, seconds, state=hot) for name, seconds in (("before", 0.01), ("after", 0.02))]
    timed = time_models(log.workers, ["f1", "f2"], TimingOptions(seed=1))
    verdict = judge_default(timed)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "throttled: hardware thermal")


def test_a_power_cap_applies_to_both_sides_and_is_no_problem():
    assert find_problems(*[make_apart("a", state=DeviceState(throttled=("power cap",))) for _ in range(2)]) == ()


def test_one_model_alone_has_no_pairing():
    log = Log()
    log.workers.append(FakeWorker("before", log, 0.05))
    (latency,) = time_models(log.workers, ["f1"], TimingOptions())
    assert latency.pairing is None
    assert len(latency.samples_s) >= 12
    assert latency.ceilings.copies_s == 2 * CEILINGS.copies_s, "measured at the beginning and at the end"


# --- against recorded times -----------------------------------------------------------------------------------------


def make_apart(device, seconds=0.01, state=None, **settings):
    import msgspec

    log = Log()
    log.workers.append(FakeWorker(device, log, seconds, state=state or DeviceState()))
    (latency,) = time_models(log.workers, ["f1"], TimingOptions(settings=TimingSettings(device="cpu", **settings)))
    machine = Machine(device=device, driver="1", torch="2")
    return msgspec.structs.replace(latency, device=device, machine=machine)


def test_recorded_times_of_the_same_machine_are_compared():
    stored, now = make_apart("a"), make_apart("a", seconds=0.012)
    assert not are_interleaved(stored, now)
    assert judge_latency("m", stored, stored, LatencyBudget()).outcome == "passed"
    verdict = judge_latency("m", stored, now, LatencyBudget())
    assert (verdict.outcome, verdict.actual) == ("failed", pytest.approx(1.2, rel=0.01))
    assert verdict.deviation == verdict.actual - verdict.limit


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"device": "b"}, "different device: a before, b after"),
        ({"machine": Machine(device="a", driver="2", torch="2")}, "different driver: 1 before, 2 after"),
        ({"machine": Machine(device="a", driver="1", torch="3")}, "different torch: 2 before, 3 after"),
        ({"settings": TimingSettings(device="cpu", dtype="bfloat16")}, "different dtype: float32 before, bfloat16 after"),
        ({"settings": TimingSettings(device="cpu", batch=16)}, "different batch: None before, 16 after"),
    ],
)
def test_recorded_times_of_another_machine_or_settings_are_not_judged(other, reason):
    import msgspec

    verdict = judge_latency("m", make_apart("a"), msgspec.structs.replace(make_apart("a", seconds=0.5), **other), LatencyBudget())
    assert (verdict.outcome, verdict.reason) == ("inconclusive", reason)


def test_a_latency_that_was_not_measured_does_not_pass():
    verdict = judge_latency("m", None, make_apart("a"), LatencyBudget())
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "latency was not measured")
    assert (verdict.actual, verdict.deviation) == (None, None)
