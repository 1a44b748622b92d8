"""The first measurement in a process gives the peak of every later one: what torch imports and caches in a first call keeps no memory.

Each layer runs in a process of its own that has run no operator before.
"""

import json
import subprocess
import sys

import pytest

CODE = """
import json, os, sys, warnings
import torch
from torch import nn
import archaudit
from archaudit.measure.recipe import measure_live

warnings.simplefilter("ignore")

class Run(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)

def measure_in_child(layer):
    reader, writer = os.pipe()
    if os.fork() == 0:
        inside = eval(layer)
        middle = inside if isinstance(inside, nn.Module) else Run(inside)
        model = nn.Sequential(nn.ReLU(), middle, Run(lambda x: (x if torch.is_tensor(x) else x[0]) * 2))
        shape = (1, 8, 12, 12) if "2d" in layer or "GroupNorm" in layer or "interpolate" in layer else (2, 8, 12)
        peaks = [measure_live(model, (torch.zeros(shape),)).peaks for _ in range(3)]
        os.write(writer, json.dumps([[each.activation_bytes, each.saved_bytes] for each in peaks]).encode())
        os._exit(0)
    os.wait()
    os.close(writer)
    return json.loads(os.read(reader, 1000) or b"null")

print(json.dumps({layer: measure_in_child(layer) for layer in json.loads(sys.argv[1])}))
"""

LAYERS = ["nn.GroupNorm(2, 8)", "nn.BatchNorm2d(8)"]
MORE_LAYERS = [
    *("nn.LayerNorm(12)", "lambda x: torch.nn.functional.interpolate(x, scale_factor=2)"),
    *("nn.BatchNorm1d(8)", "nn.InstanceNorm2d(8)", "nn.RMSNorm(12)", "nn.LocalResponseNorm(2)", "nn.Softmax(-1)", "nn.LogSoftmax(-1)"),
    *("nn.GELU()", "nn.SiLU()", "nn.Mish()", "nn.PReLU()", "nn.Softplus()", "nn.GLU()", "nn.Hardswish()", "nn.Dropout()", "nn.CELU()"),
    *(
        "nn.MaxPool2d(2)",
        "nn.AvgPool2d(2)",
        "nn.AdaptiveAvgPool2d(3)",
        "nn.AdaptiveMaxPool2d(3)",
        "nn.LPPool2d(2, 2)",
        "nn.Upsample(scale_factor=2)",
    ),
    *("nn.Conv2d(8, 8, 3)", "nn.ConvTranspose2d(8, 4, 2)", "nn.Unfold(3)", "nn.Linear(12, 3)", "nn.LSTM(12, 5)", "nn.GRU(12, 5)"),
    *("nn.TransformerEncoderLayer(12, 2, 16)", "nn.ReflectionPad2d(1)"),
    *("lambda x: torch.fft.rfft(x).abs()", "lambda x: x.cumsum(-1)", "lambda x: x.sort(-1)", "lambda x: x.topk(2)", "lambda x: x.std(-1)"),
    *(
        "lambda x: torch.cdist(x, x)",
        "lambda x: torch.einsum('bij,bkj->bik', x, x)",
        "lambda x: x.masked_fill(x > 0, 0)",
        "lambda x: x.roll(1, 1)",
    ),
    *(
        "lambda x: torch.where(x > 0, x, -x)",
        "lambda x: x.logsumexp(-1)",
        "lambda x: x.norm(dim=-1)",
        "lambda x: x.index_select(1, torch.tensor([0, 1]))",
    ),
    *(
        "lambda x: torch.nn.functional.scaled_dot_product_attention(x, x, x)",
        "lambda x: torch.nn.functional.grid_sample(x[None], torch.zeros(1, 3, 3, 2))",
    ),
    *(
        "lambda x: torch.nn.functional.pad(x, (1, 1), mode='circular')",
        "lambda x: torch.nn.functional.interpolate(x, size=5, mode='bicubic')",
    ),
    *(
        "lambda x: torch.linalg.svd(x)",
        "lambda x: torch.stft(x.flatten(1), 16, return_complex=True).abs()",
        "lambda x: x.to(torch.complex64).abs()",
    ),
]


def measure_each(layers):
    completed = subprocess.run([sys.executable, "-c", CODE, json.dumps(layers)], capture_output=True, text=True, check=True)
    return json.loads(completed.stdout.splitlines()[-1])


def assert_equal(measured):
    different = {layer: peaks for layer, peaks in measured.items() if peaks is None or any(each != peaks[0] for each in peaks)}
    assert not different
    assert all(peaks[0][0] > 0 for peaks in measured.values())


def test_the_first_measurement_equals_the_next():
    assert_equal(measure_each(LAYERS))


@pytest.mark.slow
def test_the_first_measurement_equals_the_next_for_many_operators():
    assert_equal(measure_each(LAYERS + MORE_LAYERS))
