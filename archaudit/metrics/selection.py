"""The modules of a profile that patterns match, and whether their numbers are complete.

A pattern is a path, which matches the module and everything below it: `*` is any text without dots, `**` any text, `?` one character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from typing import Literal

from msgspec import UNSET

from archaudit.index import parent_path
from archaudit.schema import HistoryStep, ModuleRecord, Profile, Variant


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


def match_named(paths: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The paths that a pattern matches, without those below them."""
    match = _compile(tuple(patterns), below=False).match
    return [path for path in paths if match(path)]


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


# --- numbers that are not whole ---


# What decides whether a number is the whole number: operators with formulas, countable weights, visible memory.
Completeness = Literal["flops", "params", "memory"]
# What is incomplete, and the usual reason.
_INCOMPLETE: dict[Completeness, tuple[str, str]] = {
    "flops": ("FLOPs", "an operator in it is unknown"),
    "params": ("parameters", "weights are packed in an object, or forward uses weights that no module registers"),
    "memory": ("memory", "it runs operators that hide what they allocate or read"),
}


def is_complete(record: Profile | ModuleRecord | HistoryStep | Variant, completeness: Completeness | None) -> bool:
    """Whether a number of that model or module is the whole number, not a lower bound."""
    return completeness is None or bool(getattr(record, f"{completeness}_complete"))


def find_incomplete(profile: Profile, patterns: Iterable[str], completeness: Completeness | None) -> str:
    """Why the number of the matched modules is only a lower bound; empty if it is complete.

    The FLOPs of a whole can be complete although those of its parts are not known (the modules inside a TorchScript module); then there is
    a reason for the parts.
    """
    wanted = tuple(patterns)
    if completeness is None:
        return ""
    incomplete = [module.path for module in select_modules(profile, wanted) if not is_complete(module, completeness)]
    whole = [*select_named(profile, wanted), *((profile,) if "" in wanted else ())]
    if all(is_complete(record, completeness) for record in whole):
        incomplete = [path for path in incomplete if completeness != "flops" or not _explain_incomplete(profile, path)]
        if not incomplete:
            return ""
    deepest = max(incomplete, key=lambda path: path.count(".") + bool(path), default="")
    noun, reason = _INCOMPLETE[completeness]
    explained = _explain_incomplete(profile, deepest) if completeness != "params" else ""
    return f"the {noun} of {deepest or 'the model'} {'is' if noun == 'memory' else 'are'} incomplete: {explained or reason}"


def _explain_incomplete(profile: Profile, path: str) -> str:
    """The recorded reason for a module or for one above it; empty if there is none."""
    reasons = {} if profile.incomplete is UNSET else profile.incomplete
    while path and path not in reasons:
        path = parent_path(path)
    return reasons.get(path, "")
