"""`check --self-test`: it accepts a `check` that finds every regression, and rejects one that does not."""

import msgspec
import pytest

from archaudit.pipeline import Options, check
from archaudit.pipeline.self_test import run_self_test
from archaudit.schema import Judgement, Verdict
from archaudit.worker import WorkerOptions

EVERY = {
    "unchanged": "passed",
    "more params": "failed",
    "more flops": "failed",
    "no more params": "passed",
    "dropped flops": "inconclusive",
    "dropped baseline": "inconclusive",
    "a sleep": "failed",
    "a sleep taken out": "passed",
    "dropped latency": "inconclusive",
}


@pytest.fixture
def options(monkeypatch):
    monkeypatch.setattr("archaudit.timing.schedule._MAX_ROUNDS", 7)
    monkeypatch.setattr("archaudit.measure.latency.ceilings._MOST_SIZE", {"cpu": 128})
    monkeypatch.setattr("archaudit.measure.latency.ceilings._COPY_BYTES", {"cpu": 2**20})
    return Options(workers=WorkerOptions(isolated=False))


def test_every_planted_case_has_its_expected_outcome(options):
    found = run_self_test(check, options)
    assert {case.id: case.outcome for case in found} == EVERY, [case.reason for case in found if not case.holds]
    assert all(case.holds for case in found)


def test_a_check_that_passes_everything_is_rejected(options):
    def pass_everything(names, options):
        verdicts = tuple(make_verdict(check.id) for check in options.config.checks)
        return Judgement(outcome="passed", checks=verdicts)

    found = {case.id: case for case in run_self_test(pass_everything, options)}
    assert set(found) == set(EVERY)
    assert [name for name, case in found.items() if case.holds] == ["unchanged", "no more params"]
    assert found["a sleep"].reason == "there is no verdict on this check"


def test_the_users_own_options_do_not_reach_the_planted_models(options, tmp_path):
    calls = []

    def note(names, options):
        calls.append((names, options.inputs, options.baselines, options.latency))
        return Judgement(outcome="passed", checks=())

    run_self_test(note, msgspec.structs.replace(options, inputs=("1x9",), baselines=tmp_path, latency="cuda"))
    assert set(calls) == {((), (), None, "off")}


def make_verdict(name):
    return Verdict(
        id=name, origin="budget", model="", metric="", scope="", comparison="max", expected="", outcome="passed", reason="looks fine"
    )
