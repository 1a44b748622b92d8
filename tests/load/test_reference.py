"""Parsed references."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archaudit.errors import LoadError
from archaudit.load import parse_reference


@pytest.mark.parametrize(
    ("text", "kind", "target", "attribute", "arguments"),
    [
        ("before", "name", "before", "", {}),
        ("after(num_classes=4000)", "name", "after", "", {"num_classes": 4000}),
        ("pkg.mod:Net", "module", "pkg.mod", "Net", {}),
        ("models/seg.py:Net(width=0.5, name='a:b(c)')", "file", "models/seg.py", "Net", {"width": 0.5, "name": "a:b(c)"}),
        ("C:\\code\\net.py:Net", "file", "C:\\code\\net.py", "Net", {}),
        ("a (copy)/net.py:Net", "file", "a (copy)/net.py", "Net", {}),
        ("net.py:Net.small", "file", "net.py", "Net.small", {}),
        ("torchvision:resnet50", "library", "torchvision", "resnet50", {}),
        ("torchvision:vit_b_16(image_size=384)", "library", "torchvision", "vit_b_16", {"image_size": 384}),
        ("baselines/after.json", "saved", "baselines/after.json", "", {}),
    ],
)
def test_every_form_is_recognised(text, kind, target, attribute, arguments):
    reference = parse_reference(text)
    assert (reference.kind, reference.target, reference.attribute, reference.arguments) == (kind, target, attribute, arguments)
    if kind != "saved":
        again = parse_reference(reference.format())
        assert (again.kind, again.target, again.attribute, again.arguments) == (kind, target, attribute, arguments)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("net.py", "not the model in it"),
        ("net.py:", "not the name"),
        ("net.py:1Net", "not the name"),
        ("net.py:Net(", "not the name"),
        ("net.py:Net(3)", "must have names"),
        ("net.py:Net(a=__import__('os').system('true'))", "not a literal"),
        ("net.py:Net(**{})", "** is not allowed"),
        ("net.py:Net(a=)", "cannot be read"),
        ("two words", "not a reference"),
        ("saved.json(a=1)", "takes no arguments"),
    ],
)
def test_a_text_that_is_not_a_reference_is_refused(text, part):
    with pytest.raises(LoadError, match=part.replace("*", r"\*")) as caught:
        parse_reference(text)
    assert caught.value.hint


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_a_message(text):
    with suppress(LoadError):
        parse_reference(text)
