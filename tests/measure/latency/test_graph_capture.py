"""The capture of a CUDA graph, on a fake of torch.cuda that fails like torch: the restored state, and the reported reason."""

import warnings
from contextlib import contextmanager

import pytest
import torch

from archaudit.measure.latency.graph_capture import capture_graph


class FakeGenerator:
    """Its state is an object that a failed capture makes unusable."""

    def __init__(self, state="the process's"):
        self.state = state

    def graphsafe_get_state(self):
        return FakeGenerator(self.state)

    def clone_state(self):
        return FakeGenerator(f"a clone of {self.state}")

    def graphsafe_set_state(self, other):
        self.state = other.state


class FakeStream:
    def wait_stream(self, other):
        pass


class FakeCuda:
    """The used part of torch.cuda. `graph` behaves as in torch 2.11: after a failed capture the current stream is the capture's."""

    def __init__(self):
        self.default = self.current = FakeStream()
        self.generator, self.debug_mode, self.capturing, self.stale = FakeGenerator(), 0, False, False
        self.broken_states, self.replays, self.calls = [], 0, []

    def install(self, monkeypatch):
        patched = {
            "Stream": FakeStream,
            "stream": self.stream,
            "current_stream": lambda: self.current,
            "current_device": lambda: 0,
            "synchronize": lambda: None,
            "CUDAGraph": lambda: self,
            "graph": self.graph,
            "graph_pool_handle": lambda: (0, 7),
            "default_generators": (self.generator,),
            "get_sync_debug_mode": lambda: self.debug_mode,
            "set_sync_debug_mode": self.set_debug_mode,
        }
        for name, value in patched.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch, "zeros", self.launch)
        monkeypatch.setattr(
            torch._C, "_cuda_endAllocateToPool", lambda device, pool: self.calls.append(("end", device, pool)), raising=False
        )
        monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda device, pool: self.calls.append(("release", device, pool)), raising=False)
        return self

    @contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def graph(self, graph, pool):
        self.current, before, self.capturing = FakeStream(), self.current, True
        try:
            yield
        except RuntimeError:
            self.capturing, self.stale = False, True
            self.broken_states.append(self.generator.state)
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")  # noqa: B904 - as torch does
        self.capturing, self.current = False, before

    def set_debug_mode(self, mode):
        warnings.warn("Synchronization debug mode is a prototype feature", UserWarning, stacklevel=2)
        self.debug_mode = {"error": 2}.get(mode, mode)

    def launch(self, *shape, device):
        if self.stale:
            self.stale = False
            raise RuntimeError("CUDA error: what went wrong in the capture")

    def wait(self):
        """What `.item()` does."""
        if self.debug_mode == 2:
            raise RuntimeError("called a synchronizing CUDA operation")
        if self.capturing:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    def replay(self):
        self.replays += 1


@pytest.fixture
def cuda(monkeypatch):
    return FakeCuda().install(monkeypatch)


def is_restored(cuda):
    return (cuda.current, cuda.generator.state, cuda.debug_mode, cuda.stale) == (cuda.default, "the process's", 0, False)


def test_a_pass_is_captured_after_the_warm_up(cuda):
    ran = []
    replay, why = capture_graph(lambda: ran.append(cuda.capturing))
    assert why == ""
    assert ran == [False] * 4 + [True]
    replay()
    assert cuda.replays == 1
    assert is_restored(cuda)
    assert not cuda.calls, "a pool in use is not released"


def test_a_pass_that_waits_for_the_device_is_not_captured(cuda):
    ran = []

    def run():
        ran.append(cuda.capturing)
        cuda.wait()

    assert capture_graph(run) == (None, "no CUDA graph could be captured: called a synchronizing CUDA operation")
    assert not any(ran)
    assert is_restored(cuda)


def test_a_failed_capture_restores_the_state_and_reports_its_cause(cuda):
    def run():
        if cuda.capturing:
            raise RuntimeError("CUDA error: operation would make the legacy stream depend on a capturing blocking stream\nand more")

    replay, why = capture_graph(run)
    assert replay is None
    assert why.endswith(": CUDA error: operation would make the legacy stream depend on a capturing blocking stream")
    assert is_restored(cuda)
    assert cuda.broken_states == ["a clone of the process's"], "the process can still generate random numbers"
    assert cuda.calls == [("end", 0, (0, 7)), ("release", 0, (0, 7))]


def test_a_pool_that_torch_has_ended_is_not_released_twice(cuda, monkeypatch):
    def refuse(device, pool):
        raise RuntimeError("endAllocatePool: not currently recording to mempool_id")

    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", refuse, raising=False)

    def run():
        if cuda.capturing:
            raise RuntimeError("refused")

    assert capture_graph(run)[1].endswith(": refused")
    assert is_restored(cuda)
    assert cuda.calls == []


def test_any_error_of_the_model_is_reported(cuda):
    def run():
        assert not cuda.debug_mode, "the model checks the mode"

    assert capture_graph(run)[1] == "no CUDA graph could be captured: the model checks the mode"
    assert is_restored(cuda)


def test_torch_has_the_functions_that_run_after_a_failed_capture():
    """The functions are private to torch, so they may disappear. This needs no device."""
    from archaudit.measure.latency.graph_capture import _END_ALLOCATION_NAMES

    if not torch.backends.cuda.is_built():
        pytest.skip("a torch without CUDA")
    assert any(hasattr(torch._C, name) for name in _END_ALLOCATION_NAMES)
    assert hasattr(torch._C, "_cuda_releasePool")
    assert all(hasattr(torch.Generator, name) for name in ("clone_state", "graphsafe_get_state", "graphsafe_set_state"))
