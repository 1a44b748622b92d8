"""Models whose names and settings are unusual are measured, in every format."""

import json

import pytest

SURROGATES = r"""
import torch
from torch import nn

ODD = "a\udc80b"

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module(ODD, nn.Linear(4, 4))
        self.register_parameter("w" + ODD, nn.Parameter(torch.zeros(4)))
        self.register_buffer("b" + ODD, torch.zeros(4))
        self.note = "\udc80"
        setattr(self, "set" + ODD, 3)

    def forward(self, **inputs):
        return getattr(self, ODD)(inputs["x" + ODD]) + getattr(self, "w" + ODD)

class Failing(nn.Module):
    def forward(self, **inputs):
        raise RuntimeError("no \udc80")

def example_inputs():
    return {"x" + ODD: torch.zeros(2, 4)}
"""

FOREIGN = """
import torch
from torch import nn

class Entry(tuple):
    def __len__(self):
        raise NotImplementedError

class Size(int):
    def __abs__(self):
        raise TypeError

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.entry, self.size, self.width = Entry((1, 2)), Size(3), 4

    def forward(self, x):
        return self.fc(x)
"""


@pytest.mark.parametrize("format", ["text", "json", "markdown", "html"])
def test_lone_surrogates_in_names_are_escaped(archaudit, tmp_path, format):
    (tmp_path / "odd.py").write_text(SURROGATES)
    result = archaudit("profile", f"{tmp_path}/odd.py:Net", "--format", format, "--no-other-counters")
    assert result.status == 0, result.err
    if format == "json":
        profile = json.loads(result.out)
        assert profile["totals"]["params"] == (4 * 4 + 4) + 4
        assert {module["path"] for module in profile["modules"]} == {"", "a\\udc80b"}


def test_lone_surrogates_in_an_error_of_the_model_are_escaped(archaudit, tmp_path):
    (tmp_path / "odd.py").write_text(SURROGATES)
    result = archaudit("profile", f"{tmp_path}/odd.py:Failing")
    assert result.status == 2
    assert "no \\udc80" in result.err


def test_settings_that_refuse_to_be_read_are_left_out(archaudit, tmp_path):
    (tmp_path / "foreign.py").write_text(FOREIGN)
    result = archaudit(
        "profile", f"{tmp_path}/foreign.py:Net", "--input", "2x4", "--format", "json", "--no-other-counters", "--no-isolation"
    )
    profile = json.loads(result.out)
    assert profile["totals"]["macs"] == 2 * 4 * 4
    assert profile["modules"][0]["settings"] == {"width": 4}


def test_a_warning_of_the_code_is_shown_once_with_the_models_that_gave_it(tmp_path, monkeypatch, archaudit):
    text = "import warnings\nfrom torch import nn\n\n\nclass Net(nn.Linear):\n    def __init__(self, width=4):\n"
    text += "        warnings.warn('too narrow', stacklevel=1)\n        super().__init__(8, width)\n"
    text += "        if width > 4:\n            warnings.warn('odd', stacklevel=1)\n"
    (tmp_path / "warns.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    result = archaudit("compare", "warns.py:Net", "warns.py:Net(width=5)", "--input", "2x8", "--no-other-counters", "--no-symbolic")
    assert result.status == 0
    assert result.err.splitlines() == [
        "warns.py:Net and warns.py:Net(width=5): UserWarning: too narrow (warns.py:7)",
        "warns.py:Net(width=5): UserWarning: odd (warns.py:10)",
    ]
