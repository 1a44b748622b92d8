"""Revisions of a git repository: found, checked out aside, and what of them was measured before.

The user's tree, index and stash are only read. Nothing that a user or a repository names becomes an option of git or a path outside.
"""

from __future__ import annotations

from archaudit.revisions.cache import Cache, CacheKey, describe_question, describe_surroundings
from archaudit.revisions.checkout import list_missing, open_checkout
from archaudit.revisions.git import Range, Repository, TreeEntry, find_repository, parse_range

__all__ = [
    "Cache",
    "CacheKey",
    "Range",
    "Repository",
    "TreeEntry",
    "describe_question",
    "describe_surroundings",
    "find_repository",
    "list_missing",
    "open_checkout",
    "parse_range",
]
