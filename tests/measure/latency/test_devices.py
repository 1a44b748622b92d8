"""The state of a device, read from a fake NVML, and the TF32 settings."""

import pytest
import torch

from archaudit.measure.latency.devices import describe_machine, name_throttles, read_state
from archaudit.schema import DeviceState


def read_tf32_settings():
    places = [torch.backends.cuda.matmul, torch.backends.cudnn]
    return [place.allow_tf32 for place in places], getattr(places[0], "fp32_precision", None)


@pytest.mark.parametrize(("dtype", "expected"), [("tf32", True), ("float32", False), ("bfloat16", False)])
def test_tf32_is_on_only_for_tf32_and_is_restored(dtype, expected):
    from archaudit.measure.latency.devices import float32_precision

    before = read_tf32_settings()
    with float32_precision(dtype, "cuda"):
        assert read_tf32_settings()[0] == [expected] * 2
    assert read_tf32_settings() == before
    with float32_precision(dtype, "cpu"):
        assert read_tf32_settings() == before


def test_fp32_precision_set_by_the_user_is_restored():
    from archaudit.measure.latency.devices import float32_precision

    matmul = torch.backends.cuda.matmul
    if not hasattr(matmul, "fp32_precision"):
        pytest.skip("this torch has only allow_tf32")
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"  # from now on torch does not let allow_tf32 be read
        with float32_precision("float32", "cuda"):
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before


def test_fp32_precision_of_recurrent_layers_is_set_and_restored():
    from archaudit.measure.latency.devices import float32_precision

    cudnn = torch.backends.cudnn
    if not hasattr(cudnn, "rnn"):
        pytest.skip("this torch has only allow_tf32")
    before = [(place, place.fp32_precision) for place in (cudnn.conv, cudnn.rnn)]
    try:
        cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = "tf32", "ieee"  # two values, which `allow_tf32` cannot express
        with float32_precision("tf32", "cuda"):
            assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("tf32", "tf32")
        with float32_precision("float32", "cuda"):
            assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("ieee", "ieee")
        assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("tf32", "ieee")
    finally:
        for place, precision in before:
            place.fp32_precision = precision


class FakeNvml:
    """The functions of nvidia-ml-py that archaudit calls, for one device."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        pass

    def __init__(self, processes=3, fails=False, uuid="GPU-1234"):
        self.processes, self.fails, self.open, self.uuid = processes, fails, 0, uuid

    def nvmlInit(self):
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if self.fails:
            raise self.NVMLError("no permission")
        if uuid != self.uuid:
            raise self.NVMLError("not found")
        return "handle"

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return 0x40 | 0x1

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return {1: 1980, 2: 2619}[kind]

    def nvmlDeviceGetTemperature(self, handle, kind):
        return 71

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return ["process"] * self.processes

    def nvmlSystemGetDriverVersion(self):
        return b"570.86"


@pytest.fixture
def nvml(monkeypatch):
    import sys
    from types import SimpleNamespace

    def install(**fields):
        fake = FakeNvml(**fields)
        monkeypatch.setitem(sys.modules, "pynvml", fake)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="1234"))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Fake GPU")
        return fake

    return install


def test_throttling_reasons_are_read_from_the_bits():
    assert name_throttles(0x1 | 0x2) == ()
    assert name_throttles(0x4 | 0x20) == ("power cap", "software thermal")


def test_the_cpu_has_no_state():
    assert read_state("cpu", 2) == DeviceState()
    assert describe_machine("cpu").driver is None


def test_the_state_of_a_device_is_read_from_nvml(nvml):
    fake = nvml()
    expected = DeviceState(clock_mhz=1980, memory_clock_mhz=2619, temperature_c=71, throttled=("hardware thermal",), other_processes=1)
    assert read_state("cuda", own_processes=2) == expected
    assert fake.open == 0, "the library is closed again"
    assert describe_machine("cuda").driver == "570.86"
    assert describe_machine("cuda").device == "Fake GPU"


def test_a_mig_slice_is_found_by_its_uuid(nvml):
    nvml(uuid="MIG-1234")
    assert read_state("cuda", 1).clock_mhz == 1980
    nvml(uuid="GPU-another")
    assert read_state("cuda", 1) == DeviceState()


def test_figures_that_nvml_does_not_support_are_none(nvml):
    fake = nvml()
    fake.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: 0x08
    assert read_state("cuda", 1).throttled == ("hardware slowdown",), "the newer name of the throttle reasons"

    def refuse(handle, *arguments):
        raise fake.NVMLError("not supported")

    fake.nvmlDeviceGetTemperature = fake.nvmlDeviceGetComputeRunningProcesses = refuse
    state = read_state("cuda", 1)
    assert (state.clock_mhz, state.temperature_c, state.other_processes) == (1980, None, None)


def test_a_failing_or_missing_nvml_is_no_error(nvml, monkeypatch):
    fake = nvml(fails=True)
    assert read_state("cuda", 1) == DeviceState()
    assert fake.open == 0
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)  # as if it were not installed
    assert read_state("cuda", 1) == DeviceState()
    assert describe_machine("cuda").driver is None
