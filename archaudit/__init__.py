"""archaudit: the diff and audit tool for PyTorch architectures.

What changed between two models, what each change cost, whether the documents about it are right, and whether it may be merged.
Importing this package is fast and does not import torch: the names below are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from archaudit.api import Profile, Report, Sweep, compare, load_profile, profile, sweep
    from archaudit.errors import (
        ArchauditError,
        ConfigError,
        InputError,
        LoadError,
        MeasureError,
        OutputError,
        RevisionError,
        SavedFileError,
        WorkerError,
    )
    from archaudit.measure.formulas import register_formula

_MODULES = {
    "archaudit.api": ("Profile", "Report", "Sweep", "compare", "load_profile", "profile", "sweep"),
    "archaudit.measure.formulas": ("register_formula",),
    "archaudit.errors": (
        "ArchauditError",
        "ConfigError",
        "InputError",
        "LoadError",
        "MeasureError",
        "OutputError",
        "RevisionError",
        "SavedFileError",
        "WorkerError",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ArchauditError",
    "ConfigError",
    "InputError",
    "LoadError",
    "MeasureError",
    "OutputError",
    "Profile",
    "Report",
    "RevisionError",
    "SavedFileError",
    "Sweep",
    "WorkerError",
    "__version__",
    "compare",
    "load_profile",
    "profile",
    "register_formula",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
