"""One forking process for all tests of a file: torch is imported once."""

import signal

import pytest

from archaudit.worker import Load, Measure, WorkerOptions
from archaudit.worker.client import IMPORTED_ANYWAY, ProcessWorker
from archaudit.worker.pool import Pool


@pytest.fixture(scope="module", autouse=True)
def _interruptible():
    """What runs in the background of a shell ignores interrupts, and so would every worker of it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def fork(_interruptible):
    """`fork("side", timeout_s=3)`: a worker."""
    with Pool(("torch", *IMPORTED_ANYWAY), None) as pool:
        made = []

        def make(side="side", **options):
            made.append(ProcessWorker(side, pool, WorkerOptions(**options), lambda stage: None, 1))
            return made[-1]

        yield make
        for worker in made:
            worker.close()


@pytest.fixture
def ask(fork):
    """`ask(path, "Model(a=1)")`: what a fresh worker answers when it measures that, or is asked `request`."""

    def ask_worker(path, attribute, request=None, **options):
        worker = fork(**options)
        worker.send(Load(f"{path}:{attribute}", "side"))
        worker.receive()
        worker.send(request or Measure(witnesses=False))
        return worker.receive()

    return ask_worker
