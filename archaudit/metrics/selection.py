"""The modules of a profile that patterns match, and whether their FLOPs are complete.

A pattern is a path, which matches the module and everything below it: `*` is any text without dots, `**` any text, `?` one character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

from msgspec import UNSET

from archaudit.index import parent_path
from archaudit.schema import ModuleRecord, Profile


def select_modules(profile: Profile, patterns: Iterable[str]) -> list[ModuleRecord]:
    """Every module that a pattern matches, and everything below it; each once, in the profile's order."""
    wanted = tuple(patterns)
    if "" in wanted:
        return list(profile.modules)
    match = _compile(wanted).match
    return [module for module in profile.modules if match(module.path)]


def select_named(profile: Profile, patterns: Iterable[str]) -> list[ModuleRecord]:
    """The modules that a pattern matches, without what is below them; the empty pattern matches the root."""
    wanted = tuple(patterns)
    match = _compile(wanted, below=False).match
    return [module for module in profile.modules if match(module.path) or (not module.path and "" in wanted)]


def find_nearest_paths(profile: Profile, pattern: str) -> list[str]:
    """The paths that are most similar to a pattern, the most similar first: suggestions for one that matches nothing."""
    return get_close_matches(pattern, [module.path for module in profile.modules if module.path], n=3, cutoff=0.4)


@lru_cache(maxsize=512)
def _compile(patterns: tuple[str, ...], below: bool = True) -> re.Pattern[str]:
    """Patterns as one regular expression; with `below` it matches everything below a match. It never matches the root's empty path."""
    choices = []
    for pattern in filter(None, patterns):
        parts = re.split(r"(\*\*\.|\*\*|\*|\?)", pattern)
        choices.append("".join({"**.": r"(?:.*\.)?", "**": ".*", "*": "[^.]*", "?": "[^.]"}.get(part, re.escape(part)) for part in parts))
    end = r"(?:\.|\Z)" if below else r"\Z"
    return re.compile(f"(?=.)(?:{'|'.join(choices)}){end}" if choices else r"(?!)", re.DOTALL)


# --- FLOPs that are not known ---


def find_incomplete(profile: Profile, patterns: Iterable[str]) -> str:
    """Why the FLOPs of the matched modules are incomplete; empty if they are complete.

    Those of a whole can be complete although those of its parts are not known (the modules inside a TorchScript module); then there is a
    reason for the parts.
    """
    incomplete = {
        module.path: _explain_incomplete(profile, module.path) for module in select_modules(profile, patterns) if not module.flops_complete
    }
    if all(module.flops_complete for module in select_named(profile, patterns)):
        incomplete = {path: reason for path, reason in incomplete.items() if not reason}
    if not incomplete:
        return ""
    deepest = max(incomplete, key=lambda path: path.count(".") + bool(path))
    return f"the FLOPs of {deepest or 'the model'} are incomplete: {incomplete[deepest] or 'an operator in it is unknown'}"


def _explain_incomplete(profile: Profile, path: str) -> str:
    """The recorded reason for a module or for one above it; empty if there is none."""
    reasons = {} if profile.incomplete is UNSET else profile.incomplete
    while path and path not in reasons:
        path = parent_path(path)
    return reasons.get(path, "")
