"""A process of its own for each side: it loads and measures a model, so that neither its globals nor its crashes reach the other.

The parent imports no torch. It starts one process, which imports torch once and forks a worker for each side, and talks to each over a
socket: one JSON request, any number of progress notes, one JSON reply. `LocalWorker` answers the same requests in this process: for
debugging, and on platforms that cannot fork.
"""

from __future__ import annotations

from archaudit.worker.client import Fork, Worker, WorkerOptions, share_pool, start_workers
from archaudit.worker.messages import (
    Exhibit,
    Exhibited,
    Explain,
    Explained,
    Failed,
    Imitate,
    Imitated,
    Load,
    Loaded,
    Measure,
    Measured,
    ModulesTimed,
    PrepareTiming,
    Request,
    Survey,
    Surveyed,
    TimeBlock,
    Timed,
    TimeModules,
    TimingReady,
)

__all__ = [
    "Exhibit",
    "Exhibited",
    "Explain",
    "Explained",
    "Failed",
    "Fork",
    "Imitate",
    "Imitated",
    "Load",
    "Loaded",
    "Measure",
    "Measured",
    "ModulesTimed",
    "PrepareTiming",
    "Request",
    "Survey",
    "Surveyed",
    "TimeBlock",
    "TimeModules",
    "Timed",
    "TimingReady",
    "Worker",
    "WorkerOptions",
    "share_pool",
    "start_workers",
]
