"""`profile --training` and its options: which of them imply a step, and which combinations are refused."""

import json
import subprocess
import sys

import pytest

from archaudit.cli.training_options import take_training
from archaudit.schema import TrainingSettings

NOTHING = {"training": False, "optimizer": None, "amp": None, "checkpoint": False, "checkpoint_modules": None, "reentrant": False}


def take(**given):
    return take_training({**NOTHING, **given})


def test_no_option_means_no_step():
    arguments = {**NOTHING, "memory": 5}
    assert take_training(arguments) is None
    assert arguments == {"memory": 5}  # the limit of the process


def test_each_option_implies_a_step():
    assert take(training=True) == TrainingSettings()
    assert take(optimizer="sgd").optimizer == "sgd"
    assert take(amp="bfloat16").amp == "bfloat16"
    assert take(checkpoint=True).checkpoint == "model"
    assert take(checkpoint_modules="layers.*", reentrant=True) == TrainingSettings(checkpoint="layers.*", reentrant=True)
    assert take(training=True, memory=2**30).memory_bytes == 2**30


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"amp": "float64"}, "takes bf16 or fp16"),
        ({"checkpoint": True, "checkpoint_modules": "a"}, "not both"),
        ({"reentrant": True}, "needs --checkpoint"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given, message):
    with pytest.raises(Exception, match=message):
        take(**given)


def test_the_json_has_the_step(tmp_path):
    (tmp_path / "net.py").write_text("from torch import nn\n\ndef make():\n    return nn.Linear(4, 5)\n")
    arguments = ["profile", "net.py:make", "--input", "2x4", "--optimizer", "sgd", "--format", "json"]
    done = subprocess.run([sys.executable, "-m", "archaudit", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
    step = json.loads(done.stdout)["training"]
    assert step["settings"]["optimizer"] == "sgd"
    assert step["totals"]["forward_flops"] == step["totals"]["backward_flops"] == 2 * 2 * 4 * 5
