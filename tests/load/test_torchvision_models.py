"""Models of torchvision by name."""

import pytest

from archaudit.errors import LoadError
from archaudit.load import load_recipe, parse_reference
from archaudit.schema import InputSpec


def load(text, inputs=()):
    return load_recipe(parse_reference(text), inputs)


def test_the_published_size_is_the_default_input():
    assert load("torchvision:resnet50").inputs == (InputSpec(shape=(1, 3, 224, 224)),)
    assert load("torchvision:inception_v3").inputs == (InputSpec(shape=(1, 3, 299, 299)),)
    assert load("torchvision:vit_b_16(image_size=384)").inputs == (InputSpec(shape=(1, 3, 384, 384)),)
    assert load("torchvision:r3d_18").inputs == (InputSpec(shape=(1, 3, 16, 112, 112)),)
    assert len(load("torchvision:raft_small").inputs) == 2
    assert "publishes" in load("torchvision:resnet50").assumptions[0]


def test_arguments_reach_the_builder():
    assert load("torchvision:resnet18(num_classes=7)").build().fc.out_features == 7


def test_an_unknown_name_suggests_similar_ones():
    with pytest.raises(LoadError, match="no model 'resnet5'") as caught:
        load("torchvision:resnet5")
    assert "resnet50" in (caught.value.hint or "")


def test_weights_are_never_downloaded():
    with pytest.raises(LoadError, match="would be downloaded"):
        load("torchvision:resnet50(weights='DEFAULT')")
