"""A small version of the benchmark: operators of a step are bounded by those of the forward pass, so that its time is too."""

import pytest
import torch
from torch import nn

from archaudit import profile


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_operators_of_a_step_are_few_for_each_layer(optimizer):
    """A profile with a step must take at most three times as long: without values, time is the number of operators."""
    model = nn.Sequential(*(nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.GELU()) for _ in range(20)))
    measured = profile(model, torch.rand(2, 16), training=optimizer)
    forward = measured.ledger.counted + measured.ledger.zero
    of_step = sum(operator.count for operator in measured.training.operators if operator.phase in ("forward", "backward"))
    assert of_step <= 6 * forward
    of_optimizer = sum(operator.count for operator in measured.training.operators if operator.phase == "optimizer")
    assert of_optimizer <= 20 * len(list(model.parameters()))


@pytest.mark.slow
def test_the_largest_vision_transformer_is_measured_in_two_gigabytes():
    import subprocess
    import sys
    from pathlib import Path

    script = Path(__file__).parent / "training.py"
    printed = subprocess.run(
        [sys.executable, script, "--one", "torchvision:vit_h_14(image_size=518)", "1x3x518x518"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert float(printed[-2]) < 2
    assert float(printed[-3].removesuffix("x")) < 3
