"""The largest batch that fits: proved by a step that fits and one that does not, against a search that tries every batch."""

import pytest
import torch
from torch import nn

from archaudit import profile


def make():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))


def measure_peak(batch):
    return profile(make(), torch.rand(batch, 3, 8, 8), training="adamw").training.memory.peak.total


def find_limit(memory, batch=2):
    return profile(make(), torch.rand(batch, 3, 8, 8), training={"memory_bytes": memory}).training.limit


@pytest.mark.parametrize("memory", [60_000, 100_000, 250_000])
def test_the_limit_is_the_last_batch_that_fits(memory):
    limit = find_limit(memory)
    tried = 1
    while measure_peak(tried + 1) <= memory:
        tried += 1
    assert limit.batch == tried
    assert limit.peak_bytes == measure_peak(tried) <= memory < limit.next_peak_bytes == measure_peak(tried + 1)


def test_the_given_batch_does_not_matter():
    assert find_limit(10**6, batch=1).batch == find_limit(10**6, batch=33).batch


def test_no_batch_fits_where_the_parameters_do_not():
    limit = find_limit(1_000)
    assert limit.batch == 0
    assert limit.next_peak_bytes > 1_000


def test_a_model_with_a_fixed_batch_has_no_limit():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x.view(3, 4))

    limit = profile(Fixed(), torch.rand(3, 4), training={"memory_bytes": 10**6}).training.limit
    assert limit.batch is None
    assert "does not run with another batch size" in limit.reason
