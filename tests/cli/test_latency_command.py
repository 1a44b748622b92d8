"""`archaudit latency`, and times in `compare` and `check`. Models are tiny: what is tested is the way, not the time."""

import json

import pytest

FAST = ("--no-isolation", "--no-other-counters", "--input", "1x3x16x16")
SLOW = """
import time
from old import Net as Plain


class Net(Plain):
    def forward(self, x):
        time.sleep(0.004)
        return super().forward(x)
"""
CONFIG = """
[models.old]
reference = "old.py:Net"
input = "1x3x16x16"
[models.new]
reference = "slow.py:Net"
input = "1x3x16x16"
[latency]
before = "{before}"
after = "new"
device = "cpu"
"""


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr("archaudit.timing.schedule._MAX_ROUNDS", 7)
    monkeypatch.setattr("archaudit.measure.latency.ceilings._MOST_SIZE", {"cpu": 128})
    monkeypatch.setattr("archaudit.measure.latency.ceilings._COPY_BYTES", {"cpu": 2**20})


@pytest.fixture
def slow(project):
    (project / "slow.py").write_text(SLOW)
    return project


def test_two_models_are_timed_layer_by_layer_with_a_verdict(archaudit, project):
    result = archaudit("latency", "old.py:Net", "new.py:Net", "--device", "cpu", "--seconds", "1", "--seed", "5", *FAST)
    assert result.status == 0, result.err
    for told in (
        "conv",
        "head",
        "sum of the layers",
        "end to end minus layers",
        "A/A",
        "smallest regression that this run can detect",
        "seed 5",
        "CPU (",
    ):
        assert told in " ".join(result.out.split()), result.out  # where lines break depends on the figures
    assert "GPU" not in result.out.replace("CPU", "")


def test_one_model_is_timed_alone(archaudit, project):
    result = archaudit("latency", "old.py:Net", "--device", "cpu", "--format", "json", *FAST)
    assert result.status == 0
    latency = json.loads(result.out)["latency"]
    assert set(latency["own_s"]) == {"", "conv", "head"}
    assert latency["settings"]["device"] == "cpu"
    assert latency["ceilings"]["products_s"]


def test_a_slowdown_beyond_what_is_allowed_fails(archaudit, slow):
    result = archaudit("latency", "old.py:Net", "slow.py:Net", "--device", "cpu", "--seconds", "1", "--max-increase", "5", *FAST)
    assert result.status == 1, result.out
    assert "a second measurement agrees" in result.out


def test_an_increase_needs_two_models(archaudit, project):
    result = archaudit("latency", "old.py:Net", "--device", "cpu", "--max-increase", "5", *FAST)
    assert result.status == 2
    assert "needs two models: BEFORE and AFTER" in result.err


def test_what_is_recorded_is_shown_later_and_says_where_it_is_from(archaudit, project):
    done = archaudit("latency", "old.py:Net", "new.py:Net", "--device", "cpu", "--seconds", "1", "--record", *FAST)
    (path,) = (project / "baselines" / "latency").glob("CPU*.json")
    assert f"wrote baselines/latency/{path.name}" in done.out
    shown = archaudit("compare", "old.py:Net", "new.py:Net", *FAST)
    assert f"recorded in {path.name}" in " ".join(shown.out.split())
    other = archaudit("compare", "old.py:Net", "new.py:Net", "--no-isolation", "--no-other-counters", "--input", "1x3x8x8")
    assert "recorded in" not in other.out
    assert "recorded in" not in archaudit("compare", "old.py:Net", "new.py:Net", "--latency", "off", *FAST).out


def test_a_config_with_latency_gates_what_compare_compares(archaudit, slow):
    (slow / "archaudit.toml").write_text(CONFIG.format(before="old"))
    result = archaudit("compare", "old", "new", "--no-isolation", "--no-other-counters")
    assert result.status == 1, result.out
    assert "✗ latency" in result.out
    unjudged = archaudit("compare", "old", "new", "--no-isolation", "--no-other-counters", "--latency", "off")
    assert unjudged.status == 2
    assert "latency was not measured" in unjudged.out
    assert archaudit("compare", "new", "old", "--no-isolation", "--no-other-counters").status == 0


def test_check_times_both_models_in_one_run(archaudit, slow):
    (slow / "archaudit.toml").write_text(CONFIG.format(before="old"))
    assert archaudit("check", "new", "--no-isolation").status == 1
    unknown = archaudit("check", "old", "--no-isolation")
    assert unknown.status == 2
    assert "no budget is about 'old'" in unknown.err


def test_check_does_not_pass_where_no_time_was_stored(archaudit, slow):
    (slow / "archaudit.toml").write_text(CONFIG.format(before="baseline"))
    result = archaudit("check", "--no-isolation")
    assert result.status == 2
    assert "latency was not measured" in result.out


def test_a_device_that_is_not_there_is_a_message(archaudit, project):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    result = archaudit("latency", "old.py:Net", "new.py:Net", "--device", "cuda", *FAST)
    assert result.status == 2
    assert "this machine has no CUDA device" in result.err


def test_the_self_test_reports_its_cases(archaudit, project, monkeypatch):
    from archaudit.pipeline import self_test

    holds = self_test.Planted(id="a sleep", expected="failed", outcome="failed", reason="seen twice")
    missed = self_test.Planted(id="more params", expected="failed", outcome=None, reason="not judged at all")
    monkeypatch.setattr(self_test, "run_self_test", lambda check, options: (holds,))
    closes = archaudit("check", "--self-test")
    assert closes.status == 0
    assert "Self-test passed: 1 of 1" in closes.out
    monkeypatch.setattr(self_test, "run_self_test", lambda check, options: (holds, missed))
    open_gate = archaudit("check", "--self-test")
    assert open_gate.status == 1
    assert "✗ more params: not judged, but should be failed" in open_gate.out


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "tf32", "float16", "bfloat16"])
def test_on_a_cuda_device_two_models_are_timed_in_turn_and_recorded(archaudit, project, dtype):
    asked = ("--device", "cuda", "--dtype", dtype, "--channels-last", "--batch", "16", "--input", "1x3x64x64", "--seconds", "1")
    result = archaudit("latency", "old.py:Net", "new.py:Net", *asked, "--record", "--format", "json")
    assert result.status == 0, result.err
    (path,) = (project / "baselines" / "latency").glob("*.json")
    (entry,) = json.loads(path.read_bytes())["entries"]
    for side in (entry["before"], entry["after"]):
        assert len(side["replays_s"]) == len(side["samples_s"]) > 0, side["notes"]
        assert set(side["own_s"]) == {"", "conv", "head"}
        assert side["attribution"].startswith("kernels"), side["notes"]
        assert side["settings"]["dtype"] == dtype
        assert side["ceilings"]["product_flops"] > 0
    assert entry["after"]["pairing"]["again_s"]


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")
def test_on_a_cuda_device_a_compiled_model_is_timed_too(archaudit, project):
    result = archaudit("latency", "old.py:Net", "--device", "cuda", "--compile", "--input", "4x3x64x64", "--format", "json")
    assert result.status == 0, result.err
    latency = json.loads(result.out)["latency"]
    assert latency["compiled_s"], latency["notes"]
