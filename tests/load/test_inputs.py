"""Inputs as users type them."""

import pytest

from archaudit.errors import InputError
from archaudit.load import parse_inputs
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


@pytest.mark.parametrize("text", ["", "abc", "1x", "1x-3", "1x3.5", "int65[1]", "a b=1x3", "1x3;rm", "9" * 40])
def test_a_text_that_is_not_an_input_is_refused(text):
    with pytest.raises(InputError) as caught:
        parse_inputs([text])
    assert repr(text)[1:-1][:10] in caught.value.message
    assert "1x3x224x224" in (caught.value.hint or "")


def test_a_name_that_is_given_twice_is_refused():
    with pytest.raises(InputError, match="twice"):
        parse_inputs(["a=1x2", "a=1x3"])
