"""`archaudit profile`: one model, in every format, and one number explained."""

import json

import pytest

NET = ("--input", "1x3x16x16", "--no-other-counters", "--no-isolation")


def test_published_figures_of_resnet50(archaudit):
    result = archaudit(
        "profile", "torchvision:resnet50", "--input", "1x3x224x224", "--format", "json", "--no-isolation", "--no-other-counters"
    )
    totals = json.loads(result.out)["totals"]
    assert totals["params"] == 25_557_032
    assert round(totals["macs"] / 1e9, 3) == 4.089
    assert totals["flops"] == 2 * totals["macs"]


def test_one_number_is_explained_down_to_the_product(archaudit):
    result = archaudit("profile", "after", "--explain", "decoder_stage1", "--no-isolation")
    assert result.status == 0
    # depthwise: 64x64 positions, 160 channels, 1 input channel each, 3x3; pointwise: 160 to 128 channels
    assert "89,784,320 MACs" in result.out
    assert "1x64x64" in result.out.replace("×", "x") or "1*64*64" in result.out
    assert f"= {64 * 64 * 160 * 9:,}" in result.out
    assert f"= {64 * 64 * 160 * 128:,}" in result.out
    assert "Counted as zero by convention" in result.out


def test_an_explanation_is_json_too(archaudit):
    content = json.loads(archaudit("profile", "after", "--explain", "classifier", "--format", "json", "--no-isolation").out)
    assert content["macs"] == 128 * 128 * 128 * 21
    assert content["macs"] == sum(run["macs"] for run in content["operators"])


def test_a_path_that_is_not_there_has_near_ones(archaudit):
    result = archaudit("profile", "after", "--explain", "decoder_stage", "--no-isolation")
    assert result.status == 2
    assert "decoder_stage1" in result.err


@pytest.mark.parametrize("form", ["text", "json", "markdown", "html"])
def test_every_format_shows_the_layers(archaudit, project, form):
    result = archaudit("profile", "new.py:Net", *NET, "--format", form)
    assert result.status == 0
    assert "conv" in result.out
    assert "108" in result.out  # 3*4*9 parameters


CUSTOM = """
import torch
from torch import nn


@torch.library.custom_op("archaudit_test::twice", mutates_args=())
def twice(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return x @ w


@twice.register_fake
def _(x, w):
    return x.new_empty(x.shape[0], w.shape[1])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 5))

    def forward(self, x):
        return twice(x, self.weight)
"""

FORMULA = """
from archaudit import register_formula

register_formula("archaudit_test::twice", lambda x, w, *, out: ((x.shape[0], x.shape[1], w.shape[1]),))
"""


def test_a_custom_operator_is_unknown_until_the_config_brings_its_formula(archaudit, project):
    (project / "custom.py").write_text(CUSTOM)
    (project / "formulas.py").write_text(FORMULA)
    given = ("profile", "custom.py:Net", "--input", "3x4", "--no-other-counters", "--format", "json")
    before = json.loads(archaudit(*given).out)
    assert before["flops_complete"] is False
    (project / "archaudit.toml").write_text('formulas = ["formulas.py"]\n')
    after = json.loads(archaudit(*given).out)
    assert after["flops_complete"] is True
    assert after["totals"]["macs"] == 3 * 4 * 5


def test_the_earlier_name_of_an_option_works(archaudit):
    given = ("profile", "torchvision:resnet18", "--no-isolation", "--format", "json")
    assert json.loads(archaudit(*given, "--no-witnesses").out)["witnesses"] == {}
    assert set(json.loads(archaudit(*given).out)["witnesses"]) == {"fvcore", "torchinfo"}
