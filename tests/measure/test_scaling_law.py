"""The laws of small models, worked out by hand."""

import pytest
import torch
from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.recipe import measure_recipe
from archaudit.measure.scaling_law import find_laws
from archaudit.scaling import parse_expression
from archaudit.schema import InputSpec, Recipe


def find(build, *shapes, dtype="float32", checks=3):
    """The laws of a model, found without an error at the sizes that they were checked at."""
    inputs = tuple(InputSpec(shape=shape, dtype=dtype) for shape in shapes)
    laws = find_laws(Recipe(name="toy", reference="toy", build=build, inputs=inputs), checks=checks)
    assert laws.wrong == ()
    assert len(laws.checked) == checks
    return laws


def macs_of(laws, path=""):
    """The expression of the multiply-accumulates of a module."""
    (module,) = [module for module in laws.modules if module.path == path]
    return module.laws["macs"].expression


def test_a_chain_of_strided_convolutions_rounds_as_the_layers_do():
    # padded: (H + 2 - 3)//2 + 1 = (H + 1)//2; then without padding: ((H + 1)//2 - 3)//2 + 1 = (H - 1)//4
    laws = find(lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2)), (1, 3, 31, 30))
    assert macs_of(laws, "0") == "108*B*((H + 1)//2)*((W + 1)//2)"  # 4 * 3 * 9
    assert macs_of(laws, "1") == "180*B*((H - 1)//4)*((W - 1)//4)"  # 5 * 4 * 9
    assert laws.laws["macs"].expression == "108*B*((H + 1)//2)*((W + 1)//2) + 180*B*((H - 1)//4)*((W - 1)//4)"
    # floats of four channels and of five
    assert laws.laws["activation_bytes"].expression == "16*B*((H + 1)//2)*((W + 1)//2) + 20*B*((H - 1)//4)*((W - 1)//4)"


class Attention(nn.Module):
    """Attention with `heads` heads of 8, of which groups share the keys and values of `shared` heads."""

    def __init__(self, heads=4, shared=4):
        super().__init__()
        self.heads, self.shared = heads, shared
        self.q, self.k, self.v = nn.Linear(32, 8 * heads), nn.Linear(32, 8 * shared), nn.Linear(32, 8 * shared)
        self.o = nn.Linear(8 * heads, 32)

    def forward(self, x):
        batch, length, _ = x.shape
        q = self.q(x).view(batch, length, self.heads, 8).transpose(1, 2)
        k, v = (layer(x).view(batch, length, self.shared, 8).transpose(1, 2) for layer in (self.k, self.v))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.shared != self.heads)
        return self.o(mixed.transpose(1, 2).reshape(batch, length, -1))


def test_attention_is_quadratic_in_the_length_and_its_projections_are_not():
    laws = find(Attention, (1, 16, 32))
    assert macs_of(laws) == "64*B*T**2 + 4096*B*T"  # 2 * 32 * T * T, and four projections of 32 x 32
    assert [(each.name, each.meaning) for each in laws.variables] == [("B", "batch"), ("T", "length")]


def test_grouped_heads_save_projections_and_no_attention():
    laws = find(lambda: Attention(4, 2), (1, 16, 32))
    assert macs_of(laws) == "64*B*T**2 + 3072*B*T"  # keys and values have 16 columns: 2 * 1024 + 2 * 512


class Windows(nn.Module):
    """Attention in windows of 7 x 7, with padding to whole windows."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x):
        batch, channels, height, width = x.shape
        x = nn.functional.pad(x, (0, -width % 7, 0, -height % 7)).permute(0, 2, 3, 1)
        rows, columns = x.shape[1] // 7, x.shape[2] // 7
        x = x.reshape(batch, rows, 7, columns, 7, channels).transpose(2, 3).reshape(batch * rows * columns, 49, channels)
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return (q @ k.transpose(1, 2)).softmax(-1) @ v


def test_windows_round_up_to_whole_ones():
    laws = find(Windows, (1, 8, 21, 24))
    # 49 * 8 * 24 for the projection, and twice 49 * 49 * 8, in each window
    assert macs_of(laws) == f"{49 * 8 * 24 + 2 * 49 * 49 * 8}*B*((H + 6)//7)*((W + 6)//7)"


def test_an_lstm_is_linear_in_the_length():
    laws = find(lambda: nn.LSTM(8, 16, batch_first=True), (1, 10, 8))
    assert macs_of(laws) == f"{4 * 16 * (8 + 16)}*B*T"


class Loop(nn.Module):
    """A cell that runs once for each token."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(8, 16)

    def forward(self, x):
        state = x.new_zeros(x.shape[0], 16)
        for token in x.unbind(1):
            state = self.cell(token, state)
        return state


def test_a_loop_over_tokens_is_summed_up():
    assert macs_of(find(Loop, (1, 10, 8))) == f"{3 * 16 * (8 + 16)}*B*T"


class UNet(nn.Module):
    """One level down with pooling, and up again to the size of the input."""

    def __init__(self):
        super().__init__()
        self.down, self.inner, self.out = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(12, 2, 1)

    def forward(self, x):
        skip = self.down(x)
        inner = self.inner(nn.functional.max_pool2d(skip, 2))
        return self.out(torch.cat([skip, nn.functional.interpolate(inner, skip.shape[2:])], dim=1))


def test_a_u_net_has_terms_of_both_resolutions():
    laws = find(UNet, (1, 3, 32, 48))
    assert laws.laws["macs"].expression == "132*B*H*W + 288*B*(H//2)*(W//2)"  # 3 * 4 * 9 + 12 * 2, and 4 * 8 * 9


class Vit(nn.Module):
    """Patches of 4 x 4, a class token, one attention."""

    def __init__(self):
        super().__init__()
        self.patch, self.token, self.attend = nn.Conv2d(3, 32, 4, 4), nn.Parameter(torch.zeros(1, 1, 32)), Attention()

    def forward(self, x):
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        return self.attend(torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1))


def test_a_class_token_is_one_more_token_than_there_are_patches():
    laws = find(Vit, (1, 3, 16, 24))
    patches, tokens = "(H//4)*(W//4)", "((H//4)*(W//4) + 1)"
    assert parse_expression(laws.laws["macs"].expression) == parse_expression(
        f"{3 * 32 * 16}*B*{patches} + 64*B*{tokens}**2 + 4096*B*{tokens}"
    )


def test_the_laws_give_what_a_profile_of_another_input_counts():
    laws = find(UNet, (1, 3, 32, 48))
    sizes = {"B": 3, "H": 57, "W": 43}
    profile = measure_recipe(
        Recipe(name="toy", reference="toy", build=UNet, inputs=(InputSpec(shape=(3, 3, 57, 43)),)), other_counters=False
    )
    counted = {
        "macs": profile.totals.macs,
        "flops": profile.totals.flops,
        "activation_bytes": profile.totals.activation_bytes,
        "peak_activation_bytes": profile.peaks.activation_bytes,
        "saved_bytes": profile.peaks.saved_bytes,
    }
    assert {name: parse_expression(law.expression).evaluate(sizes) for name, law in laws.laws.items()} == counted


class Fixed(nn.Module):
    """A head for exactly 8 x 8 pixels."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3 * 8 * 8, 10)

    def forward(self, x):
        return self.head(x.flatten(1))


def test_sizes_that_the_model_does_not_accept_are_fixed():
    laws = find(Fixed, (1, 3, 8, 8))
    assert laws.fixed == ("H", "W")
    assert macs_of(laws) == "1920*B"


class Multiples(nn.Module):
    """Accepts heights that are multiples of 8 only."""

    def forward(self, x):
        assert x.shape[2] % 8 == 0
        return nn.functional.linear(x.view(len(x), -1, 8), x.new_zeros(2, 8))


def test_a_size_in_steps_has_a_law_for_these():
    laws = find(Multiples, (1, 1, 16, 4))
    assert {each.name: each.step for each in laws.variables}["H"] == 8
    assert macs_of(laws) == "2*B*H*W"  # H * W / 8 rows of 8, two columns


class Skipping(nn.Module):
    """A further product for images of several rows only."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        y = self.layer(x)
        return y @ y.transpose(1, 2) if len(x) > 1 else y


def test_another_path_for_a_batch_of_one_is_a_case_of_its_own():
    laws = find(Skipping, (1, 10, 4), checks=6)
    assert parse_expression(laws.laws["macs"].expression) == parse_expression("16*B*T + 4*B*T**2*(B >= 2)")


class DataDependent(nn.Module):
    def forward(self, x):
        return x[x > 0.5] @ x[x > 0.5]


def test_a_model_that_only_runs_with_values_has_no_law():
    with pytest.raises(MeasureError, match="depend"):
        find(DataDependent, (1, 16))
