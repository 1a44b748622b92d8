"""The versions of installed packages."""

from __future__ import annotations

from importlib import metadata


def find_version(package: str) -> str | None:
    """The version of a package; None for one that is not installed, or is imported from a folder without metadata."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
