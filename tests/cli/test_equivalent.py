"""`archaudit compare --equivalent` and `--checkpoint-map`: real weights, and real workers where those matter."""

import json
import sys

import pytest

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        return self.head(torch.relu(self.bn(self.conv(x))))
"""
REWRITTEN = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8, eps=1e-5), nn.ReLU())
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        return self.out(self.body(x))
"""


@pytest.fixture
def prove(tmp_path, monkeypatch, archaudit):
    """Compares two texts of a model, with `--equivalent`: the result, and the proof where JSON was asked for."""

    def run(before, after, *options):
        (tmp_path / "old.py").write_text(before)
        (tmp_path / "new.py").write_text(after)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", list(sys.path))
        sides = ("old.py:Net", "new.py:Net")
        return archaudit(
            "compare", *sides, "--input", "1x3x16x16", "--equivalent", "--no-other-counters", "--no-isolation", "--format", "json", *options
        )

    return run


def test_a_refactored_model_is_equivalent_to_the_last_bit(prove):
    result = prove(NET, REWRITTEN, "--isolation")
    assert result.status == 0, result.err
    proof = json.loads(result.out)["equivalence"]
    assert proof["outcome"] == "equivalent"
    assert proof["bitwise"] is True
    assert proof["max_difference"] == 0
    assert proof["dtype"] == "float64"


def test_another_order_of_the_same_sums_is_equivalent_within_the_tolerance(prove):
    result = prove(NET, NET.replace("self.head(torch.relu(", "sum([self.head(torch.relu(").replace("(x))))", "(x)))) / 3] * 3)"))
    proof = json.loads(result.out)["equivalence"]
    assert result.status == 0
    assert proof["outcome"] == "equivalent"
    assert proof["bitwise"] is False
    assert 0 < proof["max_difference"] < proof["tolerance"]


def test_the_first_module_that_gives_something_else_is_named(prove):
    result = prove(NET, REWRITTEN.replace("1e-5", "1e-4"))
    assert result.status == 1
    proof = json.loads(result.out)["equivalence"]
    assert proof["outcome"] == "different"
    assert proof["first_difference"]["before_path"] == "bn"
    assert proof["first_difference"]["after_path"] == "body.1"
    assert proof["first_difference"]["max_difference"] > 1e-6
    assert "body.1" in proof["reason"]


def test_a_change_that_only_other_weights_show_is_found(prove):
    # a norm starts at scale 1 and shift 0, where leaving its shift out makes no difference
    shiftless = NET.replace("self.bn(self.conv(x))", "self.bn(self.conv(x)) - self.bn.bias.view(1, 8, 1, 1)")
    assert json.loads(prove(NET, shiftless).out)["equivalence"]["outcome"] == "different"


@pytest.mark.parametrize(("persistent", "outcome"), [(False, "different"), (True, "equivalent")])
def test_a_constant_is_as_it_was_built_unless_a_checkpoint_holds_it(prove, persistent, outcome):
    line = f"self.register_buffer('gain', torch.full((1,), 2.0), persistent={persistent})"
    scaled = NET.replace("self.head = ", f"{line}\n        self.head = ").replace("torch.relu(", "self.gain * torch.relu(")
    assert json.loads(prove(scaled, scaled.replace("2.0", "3.0")).out)["equivalence"]["outcome"] == outcome


def test_models_whose_weights_have_other_shapes_are_not_comparable(prove):
    result = prove(NET, NET.replace("8", "4"))
    assert result.status == 2
    proof = json.loads(result.out)["equivalence"]
    assert proof["outcome"] == "not comparable"
    assert "conv.weight is 4x3x3x3, before 8x3x3x3" in proof["reason"]


def test_new_parameters_cannot_be_compared(prove):
    grown = NET.replace("self.head = ", "self.scale = nn.Parameter(torch.ones(1))\n        self.head = ").replace(
        "torch.relu(", "self.scale * ("
    )
    result = prove(NET, grown)
    assert result.status == 2
    proof = json.loads(result.out)["equivalence"]
    assert proof["outcome"] == "not comparable"
    assert "scale" in proof["reason"]


def test_a_model_that_insists_on_floats_is_compared_in_floats(prove):
    floats = NET.replace("    def forward(self, x):\n", "    def forward(self, x):\n        assert x.dtype == torch.float32\n")
    proof = json.loads(prove(floats, floats).out)["equivalence"]
    assert proof["outcome"] == "equivalent"
    assert proof["dtype"] == "float32"


def test_what_is_computed_in_less_is_no_difference(prove):
    rounded = NET.replace("self.bn(self.conv(x))", "self.bn(self.conv(x).float()).half().to(x.dtype)")
    proof = json.loads(prove(NET, rounded).out)["equivalence"]
    assert proof["outcome"] == "equivalent"
    assert proof["dtype"] == "float64"


SEPARATE = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(16, 16)
        self.k = nn.Linear(16, 16)
        self.v = nn.Linear(16, 16)
        self.out = nn.Linear(16, 16)

    def forward(self, x):
        x = x.flatten(1, 2)
        q, k, v = self.q(x), self.k(x), self.v(x)
        return self.out((q @ k.transpose(1, 2)).softmax(-1) @ v)
"""
FUSED = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)

    def forward(self, x):
        x = x.flatten(1, 2)
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.out((q @ k.transpose(1, 2)).softmax(-1) @ v)
"""


@pytest.mark.parametrize("order", ["q, k, v", "v, q, k"])
def test_layers_that_were_joined_take_their_rows_in_the_order_that_fits(prove, order):
    result = prove(SEPARATE, FUSED.replace("q, k, v = ", f"{order} = "), "--isolation")
    proof = json.loads(result.out)["equivalence"]
    assert result.status == 0, proof
    assert proof["outcome"] == "equivalent"
    assert proof["reason"].endswith(f"in float64, with the weights of qkv for {order}")


def test_rows_that_lie_by_heads_are_found(prove):
    by_heads = (
        FUSED.replace("self.qkv(x).chunk(3, -1)", "self.qkv(x).unflatten(-1, (4, 3, 4)).unbind(-2)")
        .replace("        q, k, v = ", "        q, k, v = (each.flatten(-2) for each in ")
        .replace(".unbind(-2)", ".unbind(-2))")
        .replace("        self.out =", "        self.num_heads = 4\n        self.out =")
    )
    proof = json.loads(prove(SEPARATE, by_heads).out)["equivalence"]
    assert proof["outcome"] == "equivalent"
    assert proof["reason"].endswith("with the weights of qkv for q, k, v, in each of 4 groups of rows")


def test_joined_layers_that_fit_in_no_order_are_no_proof_of_a_difference(prove):
    by_heads = FUSED.replace("self.qkv(x).chunk(3, -1)", "self.qkv(x).unflatten(-1, (16, 3)).unbind(-1)")
    result = prove(SEPARATE, by_heads)
    proof = json.loads(result.out)["equivalence"]
    assert result.status == 2
    assert proof["outcome"] == "not comparable"
    assert "tried with the weights of qkv for q, k, v, in 6 arrangements, where another one may give equal outputs" in proof["reason"]
    assert proof["first_difference"]["after_path"] == "out"


FOLDED = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        return self.head(torch.relu(self.conv(x)))
"""


def test_a_norm_folded_into_its_convolution_is_equivalent(prove):
    result = prove(NET.replace("padding=1)", "padding=1, bias=False)"), FOLDED)
    assert result.status == 0, result.out
    assert json.loads(result.out)["equivalence"]["outcome"] == "equivalent"


def test_what_differs_beside_a_folded_norm_is_named(prove):
    result = prove(NET, FOLDED.replace("torch.relu(self.conv(x))", "torch.tanh(self.conv(x))"))
    proof = json.loads(result.out)["equivalence"]
    assert result.status == 1
    assert proof["outcome"] == "different"
    assert proof["first_difference"]["after_path"] == "head"


SCALED = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.act = nn.ReLU()
        self.norm = nn.GroupNorm(2, 8)
        self.side = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return self.norm(self.act(self.conv(x)) * 2) + self.side(x)
"""


def test_what_none_of_its_readers_differs_by_is_only_written_otherwise(prove):
    # a scale goes through a ReLU: what that gives is something else, and nothing after it
    moved = SCALED.replace("self.act(self.conv(x)) * 2", "self.act(self.conv(x) * 2)")
    assert json.loads(prove(SCALED, moved).out)["equivalence"]["outcome"] == "equivalent"
    proof = json.loads(prove(SCALED, moved.replace("self.side(x)", "self.side(x * 2)")).out)["equivalence"]
    assert proof["first_difference"]["after_path"] == "side"
    assert json.loads(prove(SCALED, moved.replace("(2, 8)", "(2, 8, eps=1e-3)")).out)["equivalence"]["outcome"] == "different"


BOUNDED = """
from torch import nn


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return self.conv(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = Stem()
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        return self.norm(self.stem(x).flatten(2).transpose(1, 2))
"""


def test_a_container_of_another_shape_whose_parts_agree_is_cut_otherwise(prove):
    elsewhere = BOUNDED.replace("self.conv(x)", "self.conv(x).flatten(2).transpose(1, 2)").replace(
        "stem(x).flatten(2).transpose(1, 2)", "stem(x)"
    )
    assert json.loads(prove(BOUNDED, elsewhere).out)["equivalence"]["outcome"] == "equivalent"
    proof = json.loads(prove(BOUNDED, elsewhere.replace("LayerNorm(8)", "LayerNorm(8, eps=1e-3)")).out)["equivalence"]
    assert proof["first_difference"]["after_path"] == "norm"


def test_the_text_has_the_answer(prove):
    result = prove(NET, REWRITTEN, "--format", "text")
    assert "\nEquivalent: the outputs on 3 random inputs are bitwise equal" in result.out


def test_a_saved_profile_has_no_code_to_run(tmp_path, monkeypatch, archaudit):
    (tmp_path / "old.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    common = ("--input", "1x3x16x16", "--no-other-counters", "--no-isolation")
    saved = archaudit("profile", "old.py:Net", *common, "--format", "json").out
    (tmp_path / "saved.json").write_text(saved)
    result = archaudit("compare", "saved.json", "old.py:Net", "--equivalent", *common)
    assert result.status == 2
    assert "saved.json is a saved profile" in result.out


def test_two_packages_of_one_name_are_not_taken_for_each_other(tmp_path, monkeypatch, archaudit):
    for folder, text in (("one", NET), ("two", NET.replace("torch.relu", "torch.tanh"))):
        package = tmp_path / folder / "pkg"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "net.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    result = archaudit("compare", "one/pkg/net.py:Net", "two/pkg/net.py:Net", "--input", "1x3x16x16", "--equivalent", "--no-other-counters")
    assert result.status == 1
    assert "Different" in result.out


def test_the_mapping_of_a_checkpoint_is_written_and_loads(prove, tmp_path):
    import torch

    prove(NET, REWRITTEN, "--checkpoint-map", str(tmp_path / "maps" / "keys.json"))
    mapping = json.loads((tmp_path / "maps" / "keys.json").read_text())
    assert mapping["format_version"] == 1
    assert mapping["renamed"]["conv.weight"] == "body.0.weight"
    assert mapping["missing"] == mapping["unused"] == mapping["reshaped"] == []
    models = {}
    for name, text in (("old", NET), ("new", REWRITTEN)):
        scope: dict = {"__name__": name}
        exec(text, scope)
        models[name] = scope["Net"]().eval()
    state = models["old"].state_dict()
    models["new"].load_state_dict({mapping["renamed"].get(key, key): value for key, value in state.items()}, strict=True)
    x = torch.randn(1, 3, 16, 16)
    assert torch.equal(models["old"](x), models["new"](x))


def test_the_report_has_forward_pass_classes_initialisation_and_checkpoint(archaudit):
    report = json.loads(archaudit("compare", "before", "after", "--no-other-counters", "--format", "json").out)
    assert "mid_level_project is added: input from backbone [B, 24, H/8, W/8], output to decoder_stage1" in report["flow"]["sentences"]
    assert [use["name"] for use in report["classes_added"]] == ["DepthwiseSeparableConv"]
    assert report["classes_removed"] == []
    new = {change["after_path"] for change in report["initialisation"] if change["before_path"] is None}
    assert {"mid_level_project.0.weight", "decoder_stage1.pointwise.weight", "decoder_stage2.pointwise.weight"} <= new
    assert "backbone.features.0.0.weight" in report["checkpoint"]["same"]
    assert report["equivalence"] is None
    plain = json.loads(archaudit("compare", "before", "after", "--no-other-counters", "--no-symbolic", "--format", "json").out)
    assert all(node["symbolic"] is None for node in plain["after"]["flow"])
    assert plain["flow"]["symbolic"] is False
