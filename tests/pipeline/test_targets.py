"""What the two sides of a comparison are run on."""

from __future__ import annotations

import pytest

from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import resolve_pair
from archaudit.schema import InputSpec


@pytest.mark.parametrize("text", ["transformers:llama/config.json", "torchvision:resnet18", "nets.py:Net", "package.nets:Net"])
def test_the_input_option_applies_to_both_sides(text):
    targets = resolve_pair(text, text, Options(inputs=("1x3x64x64",)))
    assert [target.inputs for target in targets] == [(InputSpec(shape=(1, 3, 64, 64)),)] * 2
