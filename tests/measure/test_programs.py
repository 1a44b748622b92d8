"""Programs: what each forward runs itself, with constants and the order of operands, in one form however it is written."""

import msgspec
import pytest
import torch
from modeling import measure, module
from torch import nn
from torch.nn import functional as F

from archaudit.schema import Profile, decode_profile, encode, encode_baseline


class Body(nn.Module):
    """Two layers and a function of their outputs."""

    def __init__(self, function):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self._function = function

    def forward(self, x):
        return self._function(self.a(x), self.b(x))


def read_program(function, shape=(2, 4, 6)):
    """The steps of the root, without the two calls before `function`."""
    profile = measure(lambda: Body(function), torch.zeros(shape))
    (number,) = module(profile, "").programs
    program = profile.programs[number]
    return [
        (step.op, *step.operands, *(f"{key}={value}" for key, value in step.arguments.items())) for step in program.steps[2:]
    ], program.returns


def test_the_order_of_operands_is_recorded():
    assert read_program(lambda a, b: a - b) == ([("sub", "0", "1")], ("2",))
    assert read_program(lambda a, b: b - a) == ([("sub", "1", "0")], ("2",))
    assert read_program(lambda a, b: torch.cat([b, a], dim=-1))[0] == [("cat", "1", "0", "dim=-1")]
    assert read_program(lambda a, b: (b, a)) == ([], ("1", "0"))


@pytest.mark.parametrize(
    ("function", "step"),
    [
        (lambda a, b: a * 3 + b, ("mul", "0", "other=3")),
        (lambda a, b: F.leaky_relu(a, 0.2) + b, ("leaky_relu", "0", "negative_slope=0.2")),
        (lambda a, b: F.leaky_relu(a) + b, ("leaky_relu", "0", "negative_slope=0.01")),
        (lambda a, b: a.softmax(1) + b, ("softmax", "0", "dim=1")),
        (lambda a, b: F.dropout(a, 0.1, training=False) + b, ("dropout", "0", "p=0.1")),
        (lambda a, b: F.dropout(a, 0.1) + b, ("dropout", "0", "p=0.1", "training=True")),
        (lambda a, b: a[:, [2, 0]] + b[:, :2], ("index", "0", "tensor", "indices=[[2, 0]]", "at=[1]")),
        (lambda a, b: a / torch.tensor(2.0) + b, ("div", "0", "value 2")),
        (lambda a, b: a.detach() + b, ("detach", "0")),
        (lambda a, b: F.gelu(a, approximate="tanh") + b, ("gelu", "0", "approximate=tanh")),
        (lambda a, b: a.clamp(-1, 6) + b, ("clamp", "0", "min=-1", "max=6")),
        (lambda a, b: a.masked_fill(a > 0, -torch.inf) + b, ("gt", "0", "other=0")),
        (
            lambda a, b: F.scaled_dot_product_attention(a, b, b, is_causal=True),
            ("scaled_dot_product_attention", "0", "1", "1", "is_causal=True"),
        ),
    ],
)
def test_constants_are_recorded(function, step):
    assert read_program(function)[0][0] == step


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda a, b: a + b, lambda a, b: torch.add(a, b, alpha=1)),
        (lambda a, b: F.relu(a) + b, lambda a, b: torch.relu(a).add_(b)),
        (lambda a, b: F.relu(a) + b, lambda a, b: F.relu(a, inplace=True) + b),
        (lambda a, b: a.softmax(-1) + b, lambda a, b: F.softmax(a, dim=2) + b),
        (lambda a, b: a.transpose(1, 2) @ b, lambda a, b: torch.matmul(a.permute(0, 2, 1), b)),
        (lambda a, b: a.mean((1, 2)) + b.mean((1, 2)), lambda a, b: a.mean([-1, 1]) + b.mean(dim=(2, 1))),
        (lambda a, b: torch.cat(a.chunk(2, -1), 1), lambda a, b: torch.cat((a[..., :3], a[:, :, 3:]), dim=1)),
        (lambda a, b: torch.cat(a.split(3, -1), 1), lambda a, b: torch.cat((a[..., :3], a.narrow(2, 3, 3)), dim=1)),
        (lambda a, b: a.flatten(1) * 2.0, lambda a, b: a.reshape(a.size(0), -1).contiguous() * 2),
        (lambda a, b: torch.stack(a.unbind(1)), lambda a, b: torch.stack([a[:, i] for i in range(4)], 0)),
        (lambda a, b: F.max_pool1d(a, 2), lambda a, b: F.max_pool1d(a, kernel_size=2, stride=2, padding=0)),
    ],
)
def test_equal_computations_have_equal_programs(one, other):
    assert read_program(one) == read_program(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda a, b: a[:, 1:] + b[:, 1:], lambda a, b: a[:, :-1] + b[:, :-1]),
        (lambda a, b: a[:, 0], lambda a, b: a[:, -1]),
        (lambda a, b: a.view(2, 4, 2, 3).transpose(2, 3), lambda a, b: a.view(2, 4, 3, 2).transpose(2, 3)),
        (lambda a, b: a.roll(1, 1) + b, lambda a, b: a.roll(2, 1) + b),
        (lambda a, b: F.pad(a, (0, 1)), lambda a, b: F.pad(a, (1, 0))),
    ],
)
def test_other_indices_and_sizes_are_seen(one, other):
    programs = [measure(lambda function=function: Body(function), torch.zeros(2, 4, 6)).programs for function in (one, other)]
    assert programs[0] != programs[1]


def test_sizes_of_the_input_are_no_constants():
    def positions(a, b):
        return a.view(a.size(0), -1, 2, 3).sum(2).sum(-1) + torch.arange(a.size(1))

    programs = [measure(lambda: Body(positions), torch.zeros(2, length, 6)).programs for length in (4, 9)]
    stripped = [[msgspec.structs.replace(step, sizes={}, shape=None) for step in found[0].steps] for found in programs]
    assert stripped[0] == stripped[1]


class Scale(nn.Module):
    """A module without children, of the user: its forward is recorded too."""

    def __init__(self, factor):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(6))
        self._factor = factor

    def forward(self, x, *, shift):
        return x * self.gain * self._factor + shift


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Scale(3) for _ in range(12))

    def forward(self, x):
        for block in self.blocks:
            x = block(x, shift=x)
        return x


def test_blocks_that_run_the_same_share_one_program():
    profile = measure(Blocks, torch.zeros(1, 6))
    assert len(profile.programs) == 2
    assert {module(profile, f"blocks.{number}").programs for number in range(12)} == {(0,)}
    steps = profile.programs[0].steps
    assert [(step.op, step.operands) for step in steps] == [("mul", ("in0", ".gain")), ("mul", ("0",)), ("add", ("1", "in0"))]
    assert steps[1].arguments == {"other": 3}
    assert module(profile, "").programs == (1,)
    assert [(step.module, step.operands) for step in profile.programs[1].steps[:2]] == [
        ("blocks.0", ("in0", "in0")),
        ("blocks.1", ("0", "0")),
    ]


def test_layers_of_torch_have_no_program():
    assert module(measure(Blocks, torch.zeros(1, 6)), "blocks").programs is msgspec.UNSET
    assert module(measure(lambda: Body(torch.add), torch.zeros(1, 6)), "a").programs is msgspec.UNSET


def test_an_argument_by_name_is_the_same_argument():
    class Named(nn.Module):
        def __init__(self, by_name):
            super().__init__()
            self.layer = Double()
            self._by_name = by_name

        def forward(self, x):
            return self.layer(value=x) if self._by_name else self.layer(x)

    class Double(nn.Module):
        def forward(self, value):
            return 2 * value

    assert len({str(measure(lambda by=by: Named(by), torch.zeros(1, 6)).programs) for by in (True, False)}) == 1


def test_writes_in_place_are_followed():
    def write(a, b):
        a[:, 0] = 1.0
        return a + b

    steps, _ = read_program(write)
    assert steps[-1] == ("add", f"0+{1 + len(steps) - 1}", "1")


def test_saved_profiles_keep_programs_and_older_ones_load_without():
    profile = measure(Blocks, torch.zeros(1, 6))
    assert decode_profile(encode_baseline(profile), "x").programs == profile.programs
    plain = msgspec.json.decode(encode(profile))
    del plain["programs"]
    for record in plain["modules"]:
        record.pop("programs", None)
    older = decode_profile(msgspec.json.encode(plain), "x")
    assert isinstance(older, Profile)
    assert older.programs is msgspec.UNSET
