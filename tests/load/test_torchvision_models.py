"""Models of torchvision by name."""

import pytest
import torch

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


def test_a_vit_runs_on_the_image_size_that_it_is_built_for():
    # its default weights are for larger images; built without weights it takes 224
    assert load("torchvision:vit_h_14").inputs == (InputSpec(shape=(1, 3, 224, 224)),)


def test_input_size_of_the_builder_is_the_input_size():
    assert load("torchvision:maxvit_t(input_size=(448, 448))").inputs[0].shape == (1, 3, 448, 448)


@pytest.mark.parametrize("name", ["googlenet", "quantized_inception_v3"])
def test_builders_with_an_init_weights_argument_build_without_a_warning(name):
    with torch.device("meta"):
        load(f"torchvision:{name}").build()  # a warning is an error in this test run
