"""One supervisor for all tests of a file: torch is imported once."""

import signal

import pytest

from archaudit.worker import Load, Measure, WorkerOptions
from archaudit.worker.client import MEASURING_IMPORTS, ProcessWorker
from archaudit.worker.pool import Pool


@pytest.fixture(scope="module", autouse=True)
def _interruptible():
    """In the background of a shell this process ignores interrupts, and so would its workers."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def fork(_interruptible):
    """`fork("side", timeout_s=3)`: a worker."""
    with Pool(("torch", *MEASURING_IMPORTS), None) as pool:
        made = []

        def make(side="side", **options):
            made.append(ProcessWorker(side, pool, WorkerOptions(**options), lambda stage: None, 1))
            return made[-1]

        yield make
        for worker in made:
            worker.close()


@pytest.fixture
def ask(fork):
    """`ask(path, "Model(a=1)")`: the reply of a new worker to Measure, or to `request`."""

    def ask_worker(path, attribute, request=None, **options):
        worker = fork(**options)
        worker.send(Load(f"{path}:{attribute}", "side"))
        worker.receive()
        worker.send(request or Measure(other_counters=False))
        return worker.receive()

    return ask_worker
