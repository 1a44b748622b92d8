"""Git revisions: found, checked out into a temporary folder, and a cache of their profiles.

The user's work tree, index and stash are only read. No name from a user or a repository becomes an option of git or a path outside the
repository.
"""

from __future__ import annotations

from archaudit.revisions.cache import Cache, CacheKey, describe_environment, digest_settings
from archaudit.revisions.checkout import list_missing, open_checkout
from archaudit.revisions.git import Range, Repository, TreeEntry, find_repository, parse_range

__all__ = [
    "Cache",
    "CacheKey",
    "Range",
    "Repository",
    "TreeEntry",
    "describe_environment",
    "digest_settings",
    "find_repository",
    "list_missing",
    "open_checkout",
    "parse_range",
]
