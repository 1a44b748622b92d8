"""The machine and the versions that a profile is made with."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

import torch

import archaudit
from archaudit.schema import Environment

_PACKAGES = ("torchvision", "torchinfo", "fvcore", "timm", "transformers")


def read_environment() -> Environment:
    """Versions of what is imported; nothing is imported for it."""
    packages = {name: metadata.version(name) for name in _PACKAGES if name in sys.modules}
    return Environment(
        archaudit=archaudit.__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        platform=f"{platform.system()} {platform.machine()}",
        packages=packages,
    )


def limit_threads(count: int) -> None:
    """Lets torch use `count` threads: two workers with all of the machine's each would slow each other down tenfold."""
    torch.set_num_threads(count)
