"""Everything that can be wrong in what a user gives: a message of one to three lines with what to do, exit 2, nothing half-written."""

import json

import pytest

OTHERS = """
import torch
from torch import nn

number = 3


class Wants(nn.Module):
    def __init__(self, depth):
        super().__init__()


class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.block = nn.ModuleDict({"inner": Inner()})

    def forward(self, x):
        return self.block["inner"](self.stem(x))


class Inner(nn.Module):
    def forward(self, x):
        raise ValueError("no such mode")
"""


@pytest.fixture
def others(project):
    (project / "others.py").write_text(OTHERS)
    (project / "broken.py").write_text("import torch\nimport not_a_module_at_all\n")
    return project


def unwrapped(text):
    """Text whose lines were broken to fit, in one line again: a temporary folder's name may be of any length."""
    return " ".join(text.split())


INPUT = ("--input", "1x3x16x16", "--no-other-counters", "--no-isolation")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["compare", "befor", "after"], ["no model named 'befor'", "before"]),
        (["compare", "old.py:Net", "nwe.py:Net", *INPUT], ["no file nwe.py", "new.py"]),
        (["compare", "old.py:Nett", "new.py:Net", *INPUT], ["has no 'Nett'", "Net"]),
        (["profile", "torchvision:resnt50", "--no-isolation"], ["no model 'resnt50'", "resnet50"]),
        (["profile", "broken.py:Net", *INPUT], ["does not import", "not_a_module_at_all", "broken.py:2"]),
        (["profile", "others.py:number", *INPUT], ["is not a model but of type int", "Raises"]),
        (["profile", "others.py:Wants", *INPUT], ["requires arguments: depth", "Wants(depth=...)"]),
        (["profile", "others.py:Raises", *INPUT], ["block.inner (Inner) raised ValueError: no such mode", "others.py:25"]),
        (["profile", "old.py:Net", "--no-isolation", "--input", "1x4x16x16"], ["conv (Conv2d) raised", "1x4x16x16", "--input"]),
        (["profile", "old.py:Net", "--no-isolation"], ["does not say what input it takes", "--input 1x3x224x224"]),
        (["profile", "old.py:Net", "--input", "1x3xfoo"], ["'1x3xfoo' is not a shape", "1x3x224x224"]),
        (["profile", "old.py:Net(width=os.system('true'))"], ["has no 'os.system'"]),
        (["profile", "missing.json"], ["missing.json cannot be read"]),
        (["check"], ["no config here", "archaudit.toml"]),
        (["baseline"], ["no model to write"]),
        (["compare", "--config", "nowhere.toml", "before", "after"], ["nowhere.toml"]),
    ],
)
def test_the_message_says_what_is_wrong_and_what_to_do(archaudit, others, arguments, parts):
    result = archaudit(*arguments)
    assert result.status == 2
    assert result.out == ""
    for part in parts:
        assert part in result.err
    assert len(result.err.strip().splitlines()) <= 4
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["comapre", "before", "after"], "Did you mean compare?"),
        (["compare", "before"], "Missing argument 'AFTER'"),
        (["compare", "before", "after", "--format", "pdf"], "'pdf' is not one of"),
        (["--nope"], "No such option"),
    ],
)
def test_usage_errors_exit_with_2(archaudit, arguments, part):
    result = archaudit(*arguments)
    assert result.status == 2
    assert part in result.err


def test_all_errors_of_a_config_are_reported_together(archaudit, project):
    (project / "archaudit.toml").write_text(
        '[[budgets]]\nmetric = "parms"\nmax = "three"\n[[budgets]]\nmetric = "params"\nmax = "3 apples"\n[oops]\n'
    )
    result = archaudit("check")
    assert result.status == 2
    for part in ("budgets[0].metric", "params", "budgets[0].max", "budgets[1].max", "oops"):
        assert part in result.err


CONFIG = """
[models.net]
reference = "new.py:Net"
input = "1x3x16x16"
[[budgets]]
model = "net"
metric = "params"
max_increase = "1%"
"""


@pytest.fixture
def gated(project):
    (project / "archaudit.toml").write_text(CONFIG)
    return project


def test_a_gate_passes_then_fails_when_the_model_grows(archaudit, gated):
    assert archaudit("baseline", "--no-other-counters", "--no-isolation").status == 0
    assert archaudit("check", "--no-other-counters", "--no-isolation").status == 0
    grown = (gated / "new.py").read_text().replace("width=4", "width=5")
    (gated / "new.py").write_text(grown)
    result = archaudit("check", "--no-other-counters", "--no-isolation")
    assert result.status == 1
    assert "conv" in result.out


def test_a_missing_baseline_is_not_green(archaudit, gated):
    result = archaudit("check", "--no-other-counters", "--no-isolation")
    assert result.status == 2
    assert "archaudit baseline net" in unwrapped(result.out)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b'{"format_version": 1, "na', "not a saved profile"),
        (b'{"format_version": 99}', "format version 99"),
        (b"\xff\xfe", "not a saved profile"),
    ],
)
def test_a_baseline_that_cannot_be_read_is_not_green(archaudit, gated, content, part):
    (gated / "baselines").mkdir()
    (gated / "baselines" / "net.json").write_bytes(content)
    result = archaudit("check", "--no-other-counters", "--no-isolation")
    assert result.status == 2
    assert part in unwrapped(result.out)
    side = archaudit("compare", "baselines/net.json", "baselines/net.json")
    assert side.status == 2
    assert part in side.err


def test_a_scope_that_matches_nothing_is_not_green(archaudit, gated):
    (gated / "archaudit.toml").write_text(CONFIG.replace('max_increase = "1%"', 'max = "1K"\nscope = "decodr.*"'))
    result = archaudit("check", "--no-other-counters", "--no-isolation")
    assert result.status == 2
    assert "decodr" in result.out


def test_a_config_without_budgets_is_not_green(archaudit, gated):
    (gated / "archaudit.toml").write_text(CONFIG.partition("[[budgets]]")[0])
    assert archaudit("check").status == 2


def test_baselines_are_the_same_bytes_each_time(archaudit, gated):
    archaudit("baseline", "--no-other-counters", "--no-isolation")
    first = (gated / "baselines" / "net.json").read_bytes()
    archaudit("baseline", "--no-isolation")
    assert (gated / "baselines" / "net.json").read_bytes() == first
    assert "provenance" in json.loads(first)
    assert json.loads(first)["provenance"] is None


def test_an_unwritable_folder_is_an_error_and_no_file_is_partial(archaudit, project):
    (project / "taken").write_text("a file")
    result = archaudit("compare", "old.py:Net", "new.py:Net", *INPUT, "-o", "taken")
    assert result.status == 2
    assert "taken cannot be written" in result.err
    assert [path.name for path in project.iterdir() if path.name.startswith(".archaudit")] == []


@pytest.mark.parametrize("text", ["import torchvision", "from torchvision.models import resnet18"])
def test_incompatible_torch_and_torchvision_are_reported(archaudit, project, text):
    (project / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    (project / "uses.py").write_text(f"{text}\n")
    result = archaudit("profile", "uses.py:Net", "--input", "1x3x8x8", "--no-other-counters")
    assert result.status == 2
    assert "torch and torchvision do not match" in result.err
    assert "pip install" in result.err


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"name": ' + b"[" * 200_000, b"\x00" * 100, b""])
def test_a_saved_model_that_is_no_json_is_a_message(archaudit, project, content):
    (project / "saved.json").write_bytes(content)
    (project / "archaudit.toml").write_text('[models.net]\nreference = "saved.json"\n[[budgets]]\nmetric = "params"\nmax = "1M"\n')
    for command in (("check",), ("profile", "saved.json"), ("compare", "saved.json", "saved.json"), ("report", "saved.json")):
        result = archaudit(*command)
        assert result.status == 2
        assert "saved.json is not a saved" in result.err
