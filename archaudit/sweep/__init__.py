"""Several models on several inputs, with several values of their arguments, measured side by side: here, or wherever an executor runs.

The result depends on what was asked alone: not on how many workers there were, where they ran, or whether one of them was lost.
"""

from __future__ import annotations

from archaudit.sweep.running import Plan, connect_dask, sweep
from archaudit.sweep.tasks import Task, expand_inputs, expand_settings, run_task

__all__ = ["Plan", "Task", "connect_dask", "expand_inputs", "expand_settings", "run_task", "sweep"]
