"""`compare --checkpoint-map`: an entry is proven by a run with exactly this map, plausible with the reason, or absent."""

from __future__ import annotations

import json
import sys

import msgspec
import pytest
import torch

from archaudit.measure.weight_copying import copy_weights
from archaudit.schema import CheckpointMap, Pair

HEAD = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"


def write_net(setup: str, forward: str, extra: str = "") -> str:
    """A model `Net` with these lines in its constructor, whose forward returns an expression of x."""
    lines = "\n        ".join(["super().__init__()", *setup.split("\n")])
    constructor = f"    def __init__(self):\n        {lines}\n"
    return f"{HEAD}{extra}\n\nclass Net(nn.Module):\n{constructor}\n    def forward(self, x):\n        return {forward}\n"


@pytest.fixture
def map_keys(tmp_path, monkeypatch, archaudit):
    """The map and the exit status of a comparison of two texts. Each map with proven entries is loaded, and both models are run."""

    def run(before: str, after: str, given: str, *options: str) -> tuple[CheckpointMap, int]:
        (tmp_path / "old.py").write_text(before)
        (tmp_path / "new.py").write_text(after)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", list(sys.path))
        result = archaudit(
            *("compare", "old.py:Net", "new.py:Net", "--input", given, "--checkpoint-map", "map.json"),
            *("--no-other-counters", "--no-isolation", "--no-symbolic", *options),
        )
        mapping = msgspec.json.decode((tmp_path / "map.json").read_bytes(), type=CheckpointMap)
        assert not set(mapping.proven) & set(mapping.plausible)
        loading = [*mapping.same, *mapping.renamed.values(), *mapping.built, *mapping.tied]
        assert sorted(loading) == sorted([*mapping.proven, *mapping.plausible])
        if mapping.proven:
            assert is_reproduced(before, after, mapping, given)
        return mapping, result.status

    return run


def is_reproduced(before: str, after: str, mapping: CheckpointMap, given: str) -> bool:
    """Whether both models have equal outputs after the map's entries were loaded, with random weights of the test's own."""
    models = Pair(before, after).map(build)
    torch.manual_seed(7)
    for tensor in models.before.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.1)
    state = models.before.state_dict()
    filled = {key: state[key] for key in mapping.same} | {key: state[old] for old, key in mapping.renamed.items()}
    filled |= {key: state[old] for key, old in mapping.tied.items()}
    models.after.load_state_dict(filled, strict=False)
    copy_weights(models.after.state_dict(), state, mapping.built)
    name, _, text = given.rpartition("=")
    shape = [int(size) for size in text.removeprefix("int64[").removesuffix("]").replace(",", "x").split("x")]
    x = torch.randint(8, shape) if name else torch.randn(shape, dtype=torch.float64)
    with torch.no_grad():
        one, other = models.map(lambda model: model(x))
    return torch.allclose(one, other, rtol=1e-9, atol=1e-9)


def build(text: str) -> torch.nn.Module:
    scope: dict = {"__name__": "net"}
    exec(text, scope)
    return scope["Net"]().eval().double()


ROWS = """
class TransposedLayer(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias
"""
LINEAR = write_net(
    "self.fc = nn.Linear(8, 32)\nself.out = nn.Linear(32, 8)\nself.proj = nn.Linear(8, 8)", "self.proj(self.out(F.gelu(self.fc(x))))"
)
TRANSPOSED = write_net(
    "self.fc = TransposedLayer(8, 32)\nself.out = TransposedLayer(32, 8)\nself.proj = TransposedLayer(8, 8)",
    "self.proj(self.out(F.gelu(self.fc(x))))",
    ROWS,
)


@pytest.mark.parametrize("sides", [(LINEAR, TRANSPOSED), (TRANSPOSED, LINEAR)])
def test_a_square_weight_is_transposed_as_those_of_its_type_are(map_keys, sides):
    mapping, status = map_keys(*sides, "2x8")
    assert status == 0
    assert set(mapping.built) == {"fc.weight", "out.weight", "proj.weight"}
    assert set(mapping.same) == {"fc.bias", "out.bias", "proj.bias"}
    assert set(mapping.proven) == {*mapping.built, *mapping.same}


def test_a_square_weight_alone_is_tried_both_ways(map_keys):
    one = write_net("self.proj = nn.Linear(8, 8)", "self.proj(x)")
    other = write_net("self.proj = TransposedLayer(8, 8)", "self.proj(x)", ROWS)
    kept = write_net("self.proj = TransposedLayer(8, 8)", "self.proj(x)", ROWS.replace("@ self.weight", "@ self.weight.t()"))
    assert map_keys(one, other, "2x8")[0].built.keys() == {"proj.weight"}
    assert map_keys(one, kept, "2x8")[0].same == ("proj.weight", "proj.bias")


SEPARATE = write_net(
    "self.key, self.query, self.value, self.proj = (nn.Linear(8, 8) for _ in range(4))",
    "self.proj(F.scaled_dot_product_attention(self.query(x), self.key(x), self.value(x)))",
)
JOINED = write_net(
    "self.c_attn = TransposedLayer(8, 24)\nself.c_proj = TransposedLayer(8, 8)",
    "self.c_proj(F.scaled_dot_product_attention(*self.c_attn(x).chunk(3, -1)))",
    ROWS,
)


@pytest.mark.parametrize("sides", [(SEPARATE, JOINED), (JOINED, SEPARATE)])
def test_projections_are_joined_into_a_transposed_one_and_divided_from_it(map_keys, sides):
    mapping, status = map_keys(*sides, "2x4x8")
    assert status == 0
    assert mapping.missing == mapping.unused == mapping.reshaped == ()
    assert not mapping.plausible


PIXELS = {
    "columns first": "torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)",
    "rows first": "torch.cat([x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]], 1)",
    "by channel": "F.pixel_unshuffle(x, 2)",
}


@pytest.mark.parametrize("name", list(PIXELS))
@pytest.mark.parametrize("backward", [False, True])
def test_a_stem_on_the_pixels_of_each_square_is_one_with_a_larger_kernel(map_keys, name, backward):
    focus = write_net("self.stem = nn.Conv2d(12, 8, 3, padding=1)", f"self.stem({PIXELS[name]})")
    plain = write_net("self.stem = nn.Conv2d(3, 8, 6, 2, padding=2)", "self.stem(x)")
    mapping, status = map_keys(*((plain, focus) if backward else (focus, plain)), "1x3x8x8")
    assert status == 0
    assert set(mapping.proven) == {"stem.weight", "stem.bias"}
    assert mapping.built.keys() == {"stem.weight"}


@pytest.mark.parametrize("order", ["0, 2, 4, 3, 5, 1", "0, 2, 4, 1, 3, 5"])
def test_a_linear_layer_on_patches_is_a_convolution_over_them(map_keys, order):
    patches = write_net(
        "self.proj = nn.Linear(48, 8)", f"self.proj(x.unflatten(3, (2, 4)).unflatten(2, (2, 4)).permute({order}).reshape(1, 4, 48))"
    )
    convolved = write_net("self.proj = nn.Conv2d(3, 8, 4, 4)", "self.proj(x).flatten(2).transpose(1, 2)")
    assert set(map_keys(patches, convolved, "1x3x8x8")[0].proven) == {"proj.weight", "proj.bias"}
    assert set(map_keys(convolved, patches, "1x3x8x8")[0].proven) == {"proj.weight", "proj.bias"}


def test_a_merged_adapter_is_in_the_map_with_its_factor(map_keys):
    before = write_net(
        "self.base = nn.Linear(8, 6)\nself.a = nn.Linear(8, 2, bias=False)\nself.b = nn.Linear(2, 6, bias=False)\nself.scaling = 3.5",
        "self.base(x) + self.scaling * self.b(self.a(x))",
    )
    mapping, _ = map_keys(before, write_net("self.base = nn.Linear(8, 6)", "self.base(x)"), "2x8")
    assert mapping.built["base.weight"].scale == 3.5
    assert mapping.unused == ()
    assert set(mapping.proven) == {"base.weight", "base.bias"}


def test_entries_are_plausible_with_the_reason_where_the_outputs_differ(map_keys):
    mapping, status = map_keys(LINEAR, LINEAR.replace("F.gelu", "F.relu"), "2x8")
    assert status == 0  # only --equivalent judges
    assert mapping.proven == ()
    assert len(mapping.plausible) == 6
    assert all(reason.startswith("the outputs differ with this map: the outputs differ by") for reason in mapping.plausible.values())


def test_parameters_of_one_size_are_in_the_map_only_if_a_run_proves_it(map_keys):
    before = write_net("self.scale = nn.Parameter(torch.ones(1, 8))", "x * self.scale")
    after = write_net("self.gamma = nn.Parameter(torch.ones(8))", "x * self.gamma")
    mapping, _ = map_keys(before, after, "2x8")
    assert (mapping.proven, mapping.built.keys()) == (("gamma",), {"gamma"})
    mapping, _ = map_keys(before, after.replace("x *", "x +"), "2x8")
    assert (mapping.proven, mapping.plausible, mapping.missing, mapping.unused) == ((), {}, ("gamma",), ("scale",))


def test_a_map_without_code_to_run_has_only_plausible_entries(tmp_path, monkeypatch, archaudit):
    (tmp_path / "old.py").write_text(LINEAR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    options = ("--input", "2x8", "--no-other-counters", "--no-isolation")
    (tmp_path / "saved.json").write_text(archaudit("profile", "old.py:Net", *options, "--format", "json").out)
    result = archaudit("compare", "saved.json", "old.py:Net", "--checkpoint-map", "map.json", *options)
    assert result.status == 0
    mapping = json.loads((tmp_path / "map.json").read_text())
    assert mapping["proven"] == []
    assert "saved.json is a saved profile" in mapping["plausible"]["fc.weight"]
    assert "map.json: 0 entries proven by equal outputs; 6 entries only plausible" in result.out
