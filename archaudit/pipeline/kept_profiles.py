"""Profiles of libraries' models that are kept for later commands, in the cache of profiles.

A library's version does not prove that its files are the same. So a profile is found again only if everything that measuring it read is
unchanged: the library's files and torch's, formulas, configurations and environment variables (`worker.dependencies` records them), the
source of archaudit, and the options. A model whose dependencies are not all known is measured each time.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

import archaudit
from archaudit.load.reference import LIBRARIES
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import Target
from archaudit.revisions import Cache, CacheKey, describe_environment, digest_settings
from archaudit.schema import Dependencies, Profile
from archaudit.versions import find_version

# Packages that are measured, or that count next to archaudit.
_PACKAGES = (*LIBRARIES, "fvcore", "torchinfo", "numpy")


def make_kept_key(target: Target, formulas: Sequence[str], options: Options) -> str | None:
    """The key of a target's profile with these options; None where it cannot be kept: only models of libraries are."""
    reference = target.reference
    if reference is None or reference.kind != "library" or reference.target not in LIBRARIES or reference.revision:
        return None
    if options.workers.pythons or not options.workers.isolated:
        return None
    settings = [
        "library",
        *describe_environment(),
        os.environ.get("PYTHONPATH"),
        sys.path,
        str(Path.cwd()),
        {name: find_version(name) for name in _PACKAGES},
        digest_own_source(),
        target.name,
        reference.format(),
        msgspec.to_builtins(target.inputs),
        target.arg_file,
        list(formulas),
        options.dtype,
        options.device,
        options.other_counters,
        options.symbolic,
        options.params_only,
        msgspec.to_builtins(options.training),
        options.timing.settings.batch,
    ]
    return digest_settings(settings)


def add_kept_key(target: Target, formulas: Sequence[str], options: Options) -> Target:
    """The target, with the key that its profile is kept under if it can be and is wanted."""
    return msgspec.structs.replace(target, kept_as=make_kept_key(target, formulas, options)) if options.cached else target


def find_profiles(keys: Sequence[str]) -> Mapping[str, Profile]:
    """The kept profiles that are still right, by their keys."""
    found = Cache().find_all(CacheKey(settings=key, entries={}) for key in keys)
    return {key.settings: profile for key, profile in found}


def keep_profile(key: str, profile: Profile, dependencies: Dependencies) -> None:
    """Keeps a profile that was just measured, if everything that it depends on is known."""
    Cache().keep(CacheKey(settings=key, entries={}), profile, dependencies)


@functools.cache
def digest_own_source() -> str:
    """A digest of archaudit's own files: in a work tree, they change without a new version."""
    folder = Path(archaudit.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".toml")):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
