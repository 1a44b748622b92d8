"""The measured limits of a device: raw times, and sizes that fit its memory and speed."""

import pytest
import torch
from measure.latency.fake_clock import FakeClock

from archaudit.errors import MeasureError
from archaudit.measure.latency.ceilings import measure_ceilings
from archaudit.schema import TimingSettings


def test_ceilings_have_raw_times_and_sizes():
    measured = measure_ceilings(TimingSettings(device="cpu"), clock=FakeClock(), synchronize=lambda: None)
    assert len(measured.copies_s) == len(measured.products_s) == len(measured.launches_s) == 5
    assert measured.product_flops == 2 * 1024**3
    assert measured.copied_bytes == 2 * 64 * 2**20


def test_the_copy_is_smaller_if_little_memory_is_free(monkeypatch):
    from archaudit.measure.latency.ceilings import _choose_copy_bytes

    for free, expected in ((100 * 2**30, 2**30), (2**30, 2**27), (1000, 2**20)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free=free: (free, 2**40))
        assert _choose_copy_bytes("cuda") == expected


def test_too_little_memory_for_ceilings_is_an_error_message(monkeypatch):
    def refuse(*shape, **fields):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "arange", refuse)
    with pytest.raises(MeasureError, match="too little memory on cpu to measure its limits"):
        measure_ceilings(TimingSettings(device="cpu"), clock=FakeClock(), synchronize=lambda: None)


def test_the_product_is_smaller_if_it_takes_long():
    clock = FakeClock()

    def tick():
        clock.now += 0.02  # before and after every measured run

    measured = measure_ceilings(TimingSettings(device="cpu"), clock=clock, synchronize=tick)
    assert measured.product_flops == 2 * 128**3
