"""`archaudit compare`, as a user runs it: real workers, real models."""

import json

import pytest

BEFORE = {
    "": 6_831_509,
    "backbone": 927_008,
    "aspp": 4_606_976,
    "low_level_project": 864,
    "decoder": 1_291_264,
    "classifier": 5_397,
}
AFTER = {
    "": 2_516_853,
    "backbone": 927_008,
    "aspp": 1_541_376,
    "low_level_project": 576,
    "mid_level_project": 832,
    "decoder_stage1": 22_176,
    "decoder_stage2": 22_176,
    "classifier": 2_709,
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The example compared once, by the real command in a process of its own, with files written."""
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("reports")
    command = [sys.executable, "-m", "archaudit", "compare", "before", "after", "--format", "json", "-o", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout), folder


def test_the_documents_figures_come_out_exactly(report):
    content, _ = report
    for side, expected in (("before", BEFORE), ("after", AFTER)):
        found = {module["path"]: module["total"]["params"] for module in content[side]["modules"]}
        assert {path: found[path] for path in expected} == expected
    assert content["before"]["totals"]["macs"] == 26_349_592_576
    assert content["after"]["totals"]["macs"] == 2_552_217_600


def test_the_report_fulfils_the_contract(report):
    content, _ = report
    assert {"format_version", "before", "after", "delta", "modules", "groups", "checks", "outcome"} <= set(content)
    costs = {"params", "trainable_params", "buffers", "param_bytes", "flops", "macs", "activation_bytes", "moved_bytes"}
    for metric in costs:
        assert sum(row["own_delta"][metric] for row in content["modules"]) == content["delta"][metric]
        for side in ("before", "after"):
            assert sum(module["own"][metric] for module in content[side]["modules"]) == content[side]["totals"][metric]
        assert sum(group["delta"][metric] for group in content["groups"]) == content["delta"][metric]
    for side in ("before", "after"):
        paths = [row[f"{side}_path"] for row in content["modules"] if row[f"{side}_path"] is not None]
        assert sorted(paths) == sorted(module["path"] for module in content[side]["modules"])
        keys = {
            "format_version",
            "name",
            "reference",
            "inputs",
            "totals",
            "peaks",
            "flops_complete",
            "modules",
            "ledger",
            "ties",
            "witnesses",
        }
        assert keys | {"flow", "latency", "provenance"} <= set(content[side])
    row = {"before_path", "after_path", "changes", "change_id", "confidence", "reason", "settings_changed", "own_delta", "total_delta"}
    assert all(row <= set(entry) for entry in content["modules"])
    check = {"id", "origin", "metric", "scope", "comparison", "expected", "actual", "deviation", "outcome", "reason"}
    assert all(check <= set(entry) for entry in content["checks"])
    assert content["outcome"] == "passed"


def test_the_breakdown_is_the_documents(report):
    content, _ = report
    rows = {group["name"]: (group["before"]["params"], group["after"]["params"]) for group in content["groups"]}
    assert rows == {
        "Backbone": (927_008, 927_008),
        "Feature projections": (864, 1_408),
        "ASPP": (4_606_976, 1_541_376),
        "Decoder stage 1": (700_928, 22_176),
        "Decoder stage 2": (590_336, 22_176),
        "Classifier": (5_397, 2_709),
        "everything else": (0, 0),
    }


def test_both_other_counters_have_numbers(report):
    content, _ = report
    for side in ("before", "after"):
        assert set(content[side]["witnesses"]) == {"torchinfo", "fvcore"}
        for counter in content[side]["witnesses"].values():
            assert counter["reason"] is None
            assert counter["totals"]["params"] == content[side]["totals"]["params"]


def test_the_written_files_hold_nothing_of_the_machine(report):
    _, folder = report
    assert sorted(path.name for path in folder.iterdir()) == ["before-after.html", "before-after.json", "before-after.md"]
    written = json.loads((folder / "before-after.json").read_text())
    assert written["before"]["provenance"] is None
    assert written["before"]["ledger"]["operators"] == []
    assert written["before"]["ledger"]["counted"] > 0
    for path in folder.iterdir():
        text = path.read_text()
        assert str(folder.parent) not in text
        assert "884,736" in text
        assert "700,416" in text or path.suffix == ".json"


def test_a_budget_that_is_exceeded_fails_and_names_the_layer(archaudit):
    result = archaudit("compare", "before", "after(num_classes=4000)", "--no-other-counters")
    assert result.status == 1
    assert "params-under-3m" in result.out
    assert "classifier" in result.out
    assert "FAILED" in result.out


def test_a_users_own_files_are_compared_from_any_folder(archaudit, project):
    result = archaudit(
        "compare", "old.py:Net", "new.py:Net", "--input", "1x3x64x64", "--no-other-counters", "--no-isolation", "--format", "json"
    )
    assert result.status == 0
    content = json.loads(result.out)
    # 3x3 convolution from 3 to 8, or 4, channels; 1x1 to 2 classes with bias
    assert content["before"]["totals"]["params"] == 3 * 8 * 9 + 8 * 2 + 2
    assert content["after"]["totals"]["macs"] == 64 * 64 * (4 * 27 + 2 * 4)
    assert content["outcome"] == "inconclusive"
    assert content["checks"] == []


def test_a_saved_profile_can_be_either_side_without_torch(archaudit, project):
    assert archaudit("profile", "new.py:Net", "--input", "1x3x64x64", "-o", "saved", "--no-other-counters", "--no-isolation").status == 0
    import subprocess
    import sys

    script = (
        "import sys; sys.argv = ['archaudit', 'compare', 'saved/new.py-Net.json', 'saved/new.py-Net.json', '--format', 'json']\n"
        "from archaudit.cli import run\n"
        "try:\n    run()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["delta"]["params"] == 0


def test_latency_is_measured_with_the_option(archaudit, project):
    result = archaudit(
        "compare",
        "old.py:Net",
        "new.py:Net",
        "--input",
        "1x3x32x32",
        "--no-other-counters",
        "--no-isolation",
        "--latency",
        "cpu",
        "--format",
        "json",
    )
    assert result.status == 0
    latency = json.loads(result.out)["after"]["latency"]
    assert latency["device"].startswith("CPU")
    assert len(latency["samples_s"]) >= 5
    assert set(latency["modules_s"]) == {"", "conv", "head"}


def test_color_is_off_in_a_pipe(archaudit, project):
    assert "\x1b" not in archaudit("compare", "old.py:Net", "new.py:Net", "--input", "1x3x8x8", "--no-other-counters", "--no-isolation").out
