"""A worker process for each side loads and measures its model, so that neither its globals nor a crash affects the other side.

The parent does not import torch. It starts one process (`supervise`), which imports torch once and forks a worker for each side. The parent
(`client`, `pool`) talks to each worker (`session`) over a socket: one JSON request, any number of progress messages, one JSON reply
(`messages`). `process_guard` stops a model from changing its process, `status_file` says which module runs, and `dependencies` records the
files that measuring reads. `LocalWorker` answers the same requests in this process, for debugging and on platforms without fork.
"""

from __future__ import annotations

from archaudit.worker.client import Fork, Worker, WorkerOptions, can_isolate, share_pool, start_workers
from archaudit.worker.messages import (
    CompareOutputs,
    DeviceInspected,
    Explain,
    Explained,
    Failed,
    FindLaws,
    FixesProven,
    InspectDevice,
    LawsFound,
    Load,
    Loaded,
    Measure,
    Measured,
    ModulesTimed,
    OutputsCompared,
    OutputsRecorded,
    PrepareTiming,
    ProveFixes,
    RecordOutputs,
    Request,
    TimeBlock,
    Timed,
    TimeModules,
    TimingReady,
)

__all__ = [
    "CompareOutputs",
    "DeviceInspected",
    "Explain",
    "Explained",
    "Failed",
    "FindLaws",
    "FixesProven",
    "Fork",
    "InspectDevice",
    "LawsFound",
    "Load",
    "Loaded",
    "Measure",
    "Measured",
    "ModulesTimed",
    "OutputsCompared",
    "OutputsRecorded",
    "PrepareTiming",
    "ProveFixes",
    "RecordOutputs",
    "Request",
    "TimeBlock",
    "TimeModules",
    "Timed",
    "TimingReady",
    "Worker",
    "WorkerOptions",
    "can_isolate",
    "share_pool",
    "start_workers",
]
