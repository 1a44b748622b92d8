"""The bottleneck of a layer, worked out by hand for a device with 100 FLOP/s, 10 bytes/s and 1 s for each launch."""

import pytest

from archaudit.timing import Ceilings, Work, find_bottleneck

DEVICE = Ceilings(flops_per_s=100.0, bytes_per_s=10.0, launch_s=1.0)


@pytest.mark.parametrize(
    ("work", "bound", "share"),
    [
        (Work(flops=8000, moved_bytes=100, launches=1, seconds=100), "compute-bound", 0.8),
        (Work(flops=100, moved_bytes=710, launches=1, seconds=100), "memory-bound", 0.71),
        (Work(flops=0, moved_bytes=900, launches=1, seconds=100), "memory-bound", 0.9),
        (Work(flops=100, moved_bytes=10, launches=4, seconds=5), "launch-bound", 0.8),
        (Work(flops=100, moved_bytes=10, launches=9, seconds=5), "launch-bound", 1.0),
        (Work(flops=500, moved_bytes=10, launches=1, seconds=100), "neither", 0.05),
        (Work(flops=0, moved_bytes=2000, launches=1, seconds=100), "memory-bound", 2.0),
    ],
)
def test_a_layer_is_bound_by_the_ceiling_that_it_comes_closest_to(work, bound, share):
    found = find_bottleneck(work, DEVICE)
    assert found.bound == bound
    assert found.share == pytest.approx(share)


def test_a_layer_without_work_or_time_has_no_bottleneck():
    assert find_bottleneck(Work(0, 0, 1, 5.0), DEVICE) is None
    assert find_bottleneck(Work(10, 10, 1, 0.0), DEVICE) is None


def test_intensity_is_flops_per_byte():
    assert Work(30, 10, 1, 1.0).intensity == 3
    assert Work(30, 0, 1, 1.0).intensity is None
