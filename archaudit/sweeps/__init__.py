"""Several models, inputs and argument values in one run, measured by local processes or by an executor.

The result depends only on the plan: not on the number of workers, on where they run, or on whether one of them was lost.
"""

from __future__ import annotations

from archaudit.sweeps.running import Plan, connect_dask, measure_variants
from archaudit.sweeps.tasks import Task, expand_inputs, expand_settings, run_task

__all__ = ["Plan", "Task", "connect_dask", "expand_inputs", "expand_settings", "measure_variants", "run_task"]
