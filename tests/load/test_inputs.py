"""Inputs as users type them."""

from pathlib import Path

import numpy
import pytest
import torch

from archaudit.errors import ArchauditError, InputError
from archaudit.load import load_recipe, parse_inputs, parse_reference
from archaudit.measure.building import make_inputs
from archaudit.measure.recipe import measure_recipe
from archaudit.schema import InputSpec


def test_every_form_is_read():
    assert parse_inputs(["1x3x64x64", "int64[1,128]", "ids=long[1,128]", "mask=bool[]", "x=2x3", "1×3×8×8"]) == (
        InputSpec(shape=(1, 3, 64, 64)),
        InputSpec(shape=(1, 128), dtype="int64"),
        InputSpec(shape=(1, 128), dtype="int64", name="ids"),
        InputSpec(shape=(), dtype="bool", name="mask"),
        InputSpec(shape=(2, 3), name="x"),
        InputSpec(shape=(1, 3, 8, 8)),
    )


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("ids=int64[1,128]:randint(0,32000)", "randint(0,32000)"),
        ("int64[4] : randint( -3 , 7 )", "randint(-3,7)"),
        ("mask=bool[1,4]:ones", "ones"),
        ("t=float32[1]:full(0.5)", "full(0.5)"),
        ("1x3x8x8:randn", "randn"),
        ("p=int64[1,8]:arange", "arange"),
    ],
)
def test_an_input_says_how_its_values_are_made(text, values):
    assert parse_inputs([text])[0].values == values


@pytest.mark.parametrize(
    "text",
    ["1x3:", "1x3:nope", "int64[2]:randint(4)", "int64[2]:randint(4,4)", "int64[2]:rand", "1x3:full", "1x3:ones(2)", "1x3:randint(0.5,2)"],
)
def test_values_that_cannot_be_made_are_refused(text):
    with pytest.raises(InputError):
        parse_inputs([text])


@pytest.mark.parametrize("text", ["", "abc", "1x", "1x-3", "1x3.5", "int65[1]", "a b=1x3", "1x3;rm", "9" * 40])
def test_a_text_that_is_not_an_input_is_refused(text):
    with pytest.raises(InputError) as caught:
        parse_inputs([text])
    assert repr(text)[1:-1][:10] in caught.value.message
    assert "1x3x224x224" in (caught.value.hint or "")


def test_a_name_that_is_given_twice_is_refused():
    with pytest.raises(InputError, match="twice"):
        parse_inputs(["a=1x2", "a=1x3"])


# --- values


NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(1000, 4)
        self.types = nn.Embedding(2, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, ids, token_type_ids=None, mask=None):
        return self.head(self.tokens(ids))

def make_inputs():
    return {"ids": torch.full((2, 5), 7)}

def make_pair():
    return (torch.full((2, 5), 7),), {"mask": torch.ones(2, 5)}
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def make(net: Path, *texts: str, **options: str) -> tuple[tuple, dict]:
    recipe = load_recipe(parse_reference(f"{net}:Net"), parse_inputs(texts), **options)
    return make_inputs(recipe, recipe.build())


def test_tokens_are_random_below_the_rows_of_the_largest_table_and_the_same_each_time(net):
    (_, first), (_, second) = (make(net, "ids=int64[1,128]") for _ in range(2))
    assert torch.equal(first["ids"], second["ids"])
    assert len(first["ids"].unique()) > 100
    assert 0 <= first["ids"].min() <= first["ids"].max() < 1000


def test_types_are_zeros_and_an_integer_mask_is_ones(net):
    _, given = make(net, "ids=int64[1,8]", "token_type_ids=int64[1,8]", "mask=int64[1,8]")
    assert not given["token_type_ids"].any()
    assert given["mask"].all()


def test_values_are_those_that_the_input_names(net):
    (given,), _ = make(net, "int64[2,64]:randint(3,9)")
    assert set(given.flatten().tolist()) == {3, 4, 5, 6, 7, 8}
    assert make(net, "float32[2]:full(0.5)")[0][0].tolist() == [0.5, 0.5]
    assert make(net, "int64[2,2]:arange")[0][0].tolist() == [[0, 1], [2, 3]]


def test_inputs_come_from_a_file_of_arrays_and_from_a_function(net, tmp_path):
    numpy.savez(tmp_path / "inputs.npz", ids=numpy.arange(6).reshape(2, 3), mask=numpy.ones((2, 3)))
    numpy.save(tmp_path / "ids.npy", numpy.arange(4).reshape(1, 4))
    assert {name: tuple(each.shape) for name, each in make(net, f"@{tmp_path}/inputs.npz")[1].items()} == {"ids": (2, 3), "mask": (2, 3)}
    assert make(net, f"ids=@{tmp_path}/ids.npy")[1]["ids"].tolist() == [[0, 1, 2, 3]]
    assert make(net, f"@{tmp_path}/ids.npy", "mask=float32[1,4]:ones")[1]["mask"].tolist() == [[1.0] * 4]
    assert make(net, f"{net}:make_inputs")[1]["ids"].tolist() == [[7] * 5] * 2
    args, kwargs = make(net, f"{net}:make_pair")
    assert (len(args), list(kwargs)) == (1, ["mask"])


def test_inputs_of_a_function_are_measured_and_named_in_the_profile(net):
    profile = measure_recipe(load_recipe(parse_reference(f"{net}:Net"), parse_inputs([f"{net}:make_inputs"])), other_counters=False)
    assert profile.totals.macs == 2 * 5 * 4 * 3
    assert "inputs are from net.py:make_inputs" in profile.ledger.assumptions


@pytest.mark.parametrize(
    ("text", "message"), [("@none.npz", "cannot be read"), ("net.py:nothing", "no function 'nothing'"), ("@net.py", "no file of arrays")]
)
def test_a_source_without_inputs_is_named(net, monkeypatch, text, message):
    monkeypatch.chdir(net.parent)
    with pytest.raises(ArchauditError, match=message):
        make(net, text)


def test_a_dtype_casts_the_model_and_its_floating_point_inputs(net):
    recipe = load_recipe(parse_reference(f"{net}:Net"), parse_inputs(["ids=int64[1,8]", "mask=1x8"]), dtype="bfloat16")
    profile = measure_recipe(recipe, other_counters=False)
    assert profile.totals.param_bytes == 2 * profile.totals.params
    assert {each.name: each.dtype for each in profile.inputs} == {"ids": "int64", "mask": "bfloat16"}
    assert any("in bfloat16" in text for text in profile.ledger.assumptions)


def test_a_profile_of_parameters_only_needs_no_input(net):
    profile = measure_recipe(load_recipe(parse_reference(f"{net}:Net")), params_only=True)
    assert profile.totals.params == 1000 * 4 + 2 * 4 + 4 * 3 + 3
    assert not profile.flops_complete
    assert "macs" in profile.unknown
