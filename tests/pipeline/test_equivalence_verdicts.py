"""Verdicts of `--equivalent` on complex and integer models, merged adapters, dropped weights and outputs that are no tensors.

Every truth is worked out by hand.
"""

from __future__ import annotations

import random
import sys

import pytest

from archaudit.pipeline import compare
from archaudit.pipeline.options import Options
from archaudit.worker import WorkerOptions

HEAD = """
import torch
from torch import nn
"""
ROTARY = (
    HEAD
    + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(8, 8, bias=False)
        frequencies = 1.0 / (10000.0 ** (torch.arange(0, 8, 2).float() / 8))
        angles = torch.outer(torch.arange(6).float(), frequencies)
        self.register_buffer("table", torch.polar(torch.ones_like(angles), angles), persistent=PERSISTENT)

    def forward(self, x):
        turned = torch.view_as_complex(self.q(x).unflatten(-1, (-1, 2))) * self.table
        return torch.view_as_real(turned).flatten(-2)
"""
)
COMPLEX_LINEAR = (
    HEAD
    + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 4, dtype=torch.complex64))

    def forward(self, x):
        return x @ self.weight.t()
"""
)


def make_net(forward: str, setup: str = "pass") -> str:
    """A model with these lines in its constructor, whose forward returns an expression of x."""
    lines = "\n        ".join(setup.splitlines())
    constructor = f"    def __init__(self):\n        super().__init__()\n        {lines}\n"
    return f"{HEAD}\nclass Net(nn.Module):\n{constructor}\n    def forward(self, x):\n        return {forward}\n"


@pytest.fixture
def prove(tmp_path, monkeypatch):
    """The proof for two texts of a model."""

    def run(before: str, after: str, given: str):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", list(sys.path))
        (tmp_path / "old.py").write_text(before)
        (tmp_path / "new.py").write_text(after)
        workers = WorkerOptions(isolated=False)
        options = Options(inputs=(given,), equivalent=True, other_counters=False, symbolic=False, workers=workers)
        report = compare("old.py:Net", "new.py:Net", options)
        assert report.equivalence is not None
        return report.equivalence

    return run


# --- complex values ---


@pytest.mark.parametrize("persistent", [True, False])
def test_a_complex_rotary_table_keeps_its_imaginary_part(prove, persistent):
    rotary = ROTARY.replace("PERSISTENT", str(persistent))
    assert prove(rotary, rotary, "1x6x8").bitwise is True
    for changed in (".table.conj()", ".table.real"):  # the other direction, and a scale by the cosine alone
        found = prove(rotary, rotary.replace(".table\n", f"{changed}\n"), "1x6x8")
        assert found.outcome == "different"
        assert found.dtype == "float64"
        assert found.max_difference > 0.1


def test_the_same_rotation_with_real_numbers_is_equivalent(prove):
    real = ROTARY.replace("PERSISTENT", "True").replace(
        "        turned = torch.view_as_complex(self.q(x).unflatten(-1, (-1, 2))) * self.table\n"
        "        return torch.view_as_real(turned).flatten(-2)",
        "        a, b = self.q(x).unflatten(-1, (-1, 2)).unbind(-1)\n        c, s = self.table.real, self.table.imag\n"
        "        return torch.stack([a * c - b * s, a * s + b * c], -1).flatten(-2)",
    )
    assert "stack" in real
    assert prove(ROTARY.replace("PERSISTENT", "True"), real, "1x6x8").outcome == "equivalent"


def test_complex_weights_are_drawn_with_imaginary_parts(prove):
    # the constructor fills the weight with 1 + 0i, where a conjugation has no effect
    assert (
        prove(COMPLEX_LINEAR, COMPLEX_LINEAR.replace("x @ self.weight.t()", "(self.weight @ x.t()).t()"), "x=complex64[2,4]").outcome
        == "equivalent"
    )
    assert prove(COMPLEX_LINEAR, COMPLEX_LINEAR.replace("weight.t()", "weight.conj().t()"), "x=complex64[2,4]").outcome == "different"


def test_complex_weights_do_not_go_into_real_ones(prove):
    real = COMPLEX_LINEAR.replace("dtype=torch.complex64", "dtype=torch.float32").replace(
        "x @ self.weight.t()", "x @ self.weight.t().to(x.dtype)"
    )
    found = prove(COMPLEX_LINEAR, real, "x=complex64[2,4]")
    assert found.outcome == "not comparable"
    assert "would drop the imaginary parts" in found.reason


def test_complex_inputs_are_drawn_with_imaginary_parts(prove):
    doubled = make_net("x * 2.0")
    assert prove(doubled, make_net("x + x"), "x=complex64[2,3]").outcome == "equivalent"
    assert prove(doubled, make_net("x.conj() * 2.0"), "x=complex64[2,3]").outcome == "different"
    found = prove(doubled, make_net("x.real * 2.0"), "x=complex64[2,3]")
    assert found.outcome == "not comparable"
    assert found.reason == "an output is complex before and real after"


def test_precision_that_forward_requests_for_complex_values_makes_no_difference(prove):
    assert prove(make_net("x * 2.0"), make_net("x.to(torch.complex64) * 2.0"), "x=complex128[2,3]").outcome == "equivalent"


# --- integers, and outputs that prove nothing ---


def test_integer_models_are_compared_exactly(prove):
    # 2**60 + 1 and 2**60 are one number in float64
    large = make_net("x + 2**60")
    assert prove(large, make_net("2**59 + x + 2**59"), "x=int64[4]").outcome == "equivalent"
    assert prove(large, make_net("x + (2**60 + 1)"), "x=int64[4]").outcome == "different"


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "uint8"])
def test_integer_inputs_are_not_all_zero(prove, dtype):
    assert prove(make_net("x * 2"), make_net("x * 3"), f"x={dtype}[8]").outcome == "different"


def test_booleans_are_drawn(prove):
    assert prove(make_net("~x"), make_net("x | True"), "x=bool[16]").outcome == "different"
    assert prove(make_net("~x"), make_net("x ^ True"), "x=bool[16]").outcome == "equivalent"


def test_integer_indices_stay_below_the_rows_of_the_table_that_they_index(prove):
    table = "self.table = nn.Parameter(torch.randn(5, 3))"
    assert prove(make_net("self.table[x]", table), make_net("self.table.index_select(0, x)", table), "x=int64[6]").outcome == "equivalent"


def test_integers_made_from_rounded_values_prove_nothing(prove):
    found = prove(make_net("x.argmax(-1)"), make_net("(x + 1e-3).argmax(-1)"), "4x8")
    assert found.outcome == "not comparable"
    assert found.reason == "an output is torch.int64: integers made from rounded values can hide a difference"
    assert prove(make_net("(x, x.argmax(-1))"), make_net("(x + 1e-3, x.argmax(-1))"), "4x8").outcome == "different"


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        ("(x, float(x.sum()))", "the output[1] is of type float: only outputs that are tensors can be compared"),
        ("{'name': 'net', 'x': x}", "the output['name'] is of type str: only outputs that are tensors can be compared"),
        ("x.log()", "its outputs on random inputs are not finite, so they cannot be compared"),
        ("torch.complex(x, x.log())", "its outputs on random inputs are not finite, so they cannot be compared"),
        ("()", "the outputs have no elements to compare"),
        ("x[:0]", "the outputs have no elements to compare"),
    ],
)
def test_outputs_that_no_comparison_sees_are_not_comparable(prove, forward, reason):
    found = prove(make_net(forward), make_net(forward), "4x8")
    assert (found.outcome, found.reason) == ("not comparable", reason)


def test_outputs_that_only_one_model_makes_infinite_are_not_comparable(prove):
    found = prove(make_net("x"), make_net("x.exp().log() + 0 * x.log()"), "4x8")
    assert (found.outcome, found.reason) == ("not comparable", "the outputs of after are not finite where those of before are")


def test_random_numbers_in_forward_are_no_difference(prove):
    found = prove(make_net("x + torch.randn(8)"), make_net("torch.rand(1) + x"), "4x8")
    assert found.outcome == "not comparable"
    assert "random numbers" in found.reason


def test_a_limit_beyond_the_usual_values_is_seen(prove):
    assert prove(make_net("x.clamp(max=6.0)"), make_net("x.clamp(max=7.0)"), "4x64").outcome == "different"


# --- adapters that were merged, and weights that went nowhere ---

ADAPTED = """self.base = nn.Linear(8, 6)
self.down = nn.Linear(8, 2, bias=False)
self.up = nn.Linear(2, 6, bias=False)"""
MERGED = make_net("self.base(x)", "self.base = nn.Linear(8, 6)")


@pytest.mark.parametrize(
    ("factor", "attributes"),
    [
        ("1", ""),
        ("2", ""),  # only forward has it: common factors are tried
        ("self.scaling", "self.scaling = 3.7"),
        ("self.alpha / self.r", "self.alpha, self.r = 9, 2"),
        ("self.scaling['default']", "self.scaling = {'default': 1.3}"),
    ],
)
def test_a_merged_adapter_is_added_to_its_layer_with_its_factor(prove, factor, attributes):
    if "default" in factor:
        setup = ADAPTED.replace("self.down =", "self.down = nn.ModuleDict()\nself.down['default'] =").replace(
            "self.up =", "self.up = nn.ModuleDict()\nself.up['default'] ="
        )
        forward = f"self.base(x) + self.up['default'](self.down['default'](x)) * {factor}"
    else:
        setup, forward = ADAPTED, f"self.base(x) + self.up(self.down(x)) * ({factor})"
    found = prove(make_net(forward, f"{setup}\n{attributes}"), MERGED, "2x8")
    assert found.outcome == "equivalent", found.reason
    assert "base.weight for base.weight, down" in found.reason


def test_an_adapter_of_two_parameters_of_the_layer_is_folded(prove):
    setup = "self.base = nn.Linear(8, 6)\nself.a = nn.Parameter(torch.randn(8, 2))\nself.b = nn.Parameter(torch.zeros(2, 6))"
    assert prove(make_net("self.base(x) + x @ self.a @ self.b", setup), MERGED, "2x8").outcome == "equivalent"


def test_an_adapter_of_a_convolution_is_folded(prove):
    setup = """self.base = nn.Conv2d(3, 6, 3)
self.down = nn.Conv2d(3, 2, 3, bias=False)
self.up = nn.Conv2d(2, 6, 1, bias=False)"""
    merged = make_net("self.base(x)", "self.base = nn.Conv2d(3, 6, 3)")
    assert prove(make_net("self.base(x) + self.up(self.down(x))", setup), merged, "1x3x8x8").outcome == "equivalent"


def test_each_layer_takes_its_own_adapter(prove):
    adapter = """
class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.base_layer = nn.Linear(8, 8)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(8, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, 8, bias=False)})
        self.scaling = {"default": 1.7}

    def forward(self, x):
        return self.base_layer(x) + self.lora_B["default"](self.lora_A["default"](x)) * self.scaling["default"]
"""
    before = make_net("self.v(torch.tanh(self.plain(self.q(x))))", "self.q = Layer()\nself.plain = nn.Linear(8, 8)\nself.v = Layer()")
    before = before.replace("class Net", adapter.strip() + "\n\nclass Net")
    after = make_net(
        "self.v(torch.tanh(self.plain(self.q(x))))", "self.q = nn.Linear(8, 8)\nself.plain = nn.Linear(8, 8)\nself.v = nn.Linear(8, 8)"
    )
    assert prove(before, after, "2x8").outcome == "equivalent"
    assert prove(before, after.replace("tanh", "sigmoid"), "2x8").outcome == "not comparable"


def test_an_adapter_with_a_factor_that_no_attribute_has_is_not_comparable(prove):
    found = prove(make_net("self.base(x) + self.up(self.down(x)) * 0.3", ADAPTED), MERGED, "2x8")
    assert found.outcome == "not comparable"
    assert "down.weight" in found.reason


def test_weights_that_went_nowhere_never_give_different(prove):
    before = make_net("self.base(x) * self.gain", "self.base = nn.Linear(8, 6)\nself.gain = nn.Parameter(torch.ones(6))")
    found = prove(before, MERGED, "2x8")
    assert found.outcome == "not comparable"
    assert found.reason.startswith("weights of before have no counterpart after: gain; without them, the outputs differ by up to ")
    # weights without an effect are no reason to doubt
    assert prove(before.replace(" * self.gain", ""), MERGED, "2x8").outcome == "equivalent"


# --- no false verdict over random pairs ---

STEPS = {
    "2x8": [
        "x * {}",
        "x + {}",
        "torch.tanh(x * {})",
        "self.first(x) / {}",
        "x ** 2 + {}",
        "nn.functional.layer_norm(x, (8,), eps={})",
        "x.clamp(max={})",
    ],
    "x=complex64[2,8]": ["x * {}", "x + {}j", "x.conj() * {}j", "x * torch.exp(x.real / 100 * {}j)", "self.second.to(x.dtype) @ x * {}"],
    "x=int64[2,8]": ["x * {}", "x + {}", "x // {}", "x ^ {}", "(x - {}).abs()", "x % {}"],
}
SETUP = "self.first = nn.Linear(8, 8)\nself.second = nn.Parameter(torch.ones(2, 2))"


@pytest.mark.parametrize("seed", range(30))
def test_random_pairs_have_no_false_verdict(prove, seed):
    generator = random.Random(seed)
    given = generator.choice(list(STEPS))
    integers = "int64" in given
    setup = "pass" if integers else SETUP
    steps = [generator.choice(STEPS[given]) for _ in range(2)]
    constants = [generator.randint(2, 9) if integers else generator.choice([0.5, 1.5, 2.5]) for _ in steps]

    def write(values: list[float]) -> str:
        text = "x"
        for step, value in zip(steps, values, strict=True):
            text = step.format(value).replace("x", "\0").replace("e\0p", "exp").replace("ma\0", "max").replace("\0", f"({text})")
        return text

    before = make_net(write(constants), setup)
    # the same function: a sum with zero, and the module attribute named by a local name
    same = make_net(f"(lambda x: {write(constants)})(x + 0)", setup)
    assert prove(before, same, given).outcome == "equivalent"
    place = generator.randrange(len(steps))
    changed = [value * 2 if number == place else value for number, value in enumerate(constants)]
    found = prove(before, make_net(write(changed), setup), given)
    if is_same_function(write(constants), write(changed), given):
        assert found.outcome != "different"
    else:
        assert found.outcome == "different", (write(constants), write(changed), found.reason)


def is_same_function(before: str, after: str, given: str) -> bool:
    """Whether two expressions have one value on many more random inputs than a proof draws, with weights of their own."""
    import torch
    from torch import nn

    class Holder:
        first = nn.Linear(8, 8).double()
        second = torch.randn(2, 2, dtype=torch.float64)

    names = {"torch": torch, "nn": nn, "self": Holder}
    for size in (1, 10):
        for _ in range(20):
            if "int64" in given:
                x = torch.randint(1000, (2, 8))
            else:
                x = size * torch.randn(2, 8, dtype=torch.complex128 if "complex" in given else torch.float64)
            with torch.no_grad():
                values = [eval(text, {**names, "x": x}) for text in (before, after)]
            if not torch.allclose(*values, rtol=1e-7, atol=1e-9):
                return False
    return True


# --- the first computation that differs, and conditions ---


def test_the_first_computation_that_differs_is_named(prove):
    setup = "self.a, self.b, self.c = (nn.Linear(8, 8) for _ in range(3))"
    found = prove(
        make_net("self.c(self.b(self.a(x).relu()).tanh())", setup), make_net("self.c(self.b(self.a(x).relu()).sigmoid())", setup), "4x8"
    )
    assert (found.first_before.operator, found.first_after.operator) == ("tanh", "sigmoid")
    # a scale that is multiplied in another place has other values on the way to the same ones
    found = prove(
        make_net("self.c(self.a(x) * 2).relu()", setup.replace("3", "3")),
        make_net("self.c(2 * self.a(x)).clamp(min=-0.5)", setup),
        "4x8",
    )
    assert (found.first_before.operator, found.first_after.operator) == ("relu", "clamp(min=-0.5)")


def test_a_constant_of_an_operator_is_named(prove):
    found = prove(make_net("nn.functional.leaky_relu(x, 0.1)"), make_net("nn.functional.leaky_relu(x, 0.2)"), "4x8")
    assert found.first_before.operator == "leaky_relu(negative_slope=0.1)"
    assert found.reason.endswith(
        "the first computation that differs is leaky_relu(negative_slope=0.1) in the model itself before, "
        "leaky_relu(negative_slope=0.2) in the model itself after"
    )


def test_a_tie_that_would_make_the_outputs_equal_is_the_condition(prove):
    setup = "self.table = nn.Embedding(10, 8)\nself.head = nn.Linear(8, 10, bias=False)"
    tied = f"{setup}\nself.head.weight = self.table.weight"
    found = prove(make_net("self.head(self.table(x))", setup), make_net("self.head(self.table(x))", tied), "x=int64[2,4]")
    assert found.outcome == "not comparable"
    assert found.reason.endswith("the outputs are equal only if head.weight equals table.weight before")
    changed = prove(make_net("self.head(self.table(x))", setup), make_net("self.head(self.table(x).relu())", tied), "x=int64[2,4]")
    assert changed.outcome == "not comparable"
    assert "head.weight and table.weight" in changed.reason
    assert (
        prove(make_net("self.head(self.table(x))", tied), make_net("self.head(self.table(x))", setup), "x=int64[2,4]").outcome
        == "equivalent"
    )
