"""What the commands do: `steps` has profile, compare and check as lists of steps; the other files are what the steps use.

Nothing is printed or written here, and only worker processes import torch.
"""

from __future__ import annotations

from archaudit.pipeline.auditing import audit
from archaudit.pipeline.baselines import Tightening, list_needed, list_worse, tighten
from archaudit.pipeline.checks import Run, list_baselined
from archaudit.pipeline.options import Options, TimingOptions
from archaudit.pipeline.profile_diff import diff_profiles
from archaudit.pipeline.steps import check, compare, compare_profiles, explain, find_laws, profile, profile_runs
from archaudit.pipeline.targets import Target, find_baseline_folder, read_profile, resolve
from archaudit.schema import Judgement

__all__ = [
    "Judgement",
    "Options",
    "Run",
    "Target",
    "Tightening",
    "TimingOptions",
    "audit",
    "check",
    "compare",
    "compare_profiles",
    "diff_profiles",
    "explain",
    "find_baseline_folder",
    "find_laws",
    "list_baselined",
    "list_needed",
    "list_worse",
    "profile",
    "profile_runs",
    "read_profile",
    "resolve",
    "tighten",
]
