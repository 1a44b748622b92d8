"""Ranges of revisions as git writes them: `main..HEAD`, and `main...HEAD` from where the two parted."""

from __future__ import annotations

import re

from archaudit.revisions.git import Repository
from archaudit.schema import Record

# Three dots before two; a revision holds no colon but in braces (`main@{12:00}`), where a reference has one.
_RANGE = re.compile(r"^(?P<start>(?:[^:{}]|\{[^{}]*\})*?)(?P<dots>\.\.\.?)(?P<end>(?:[^:{}.]|\{[^{}]*\}|\.(?!\.))*)$")


class Range(Record, frozen=True, kw_only=True):
    """Two revisions; an end left out is HEAD. `parted` asks for the commit where `end` left `start` instead of `start` itself."""

    start: str
    end: str
    parted: bool

    def find_ends(self, repository: Repository) -> tuple[str, str]:
        """The commits before and after, by full name."""
        start, end = repository.find_commit(self.start), repository.find_commit(self.end)
        return (repository.find_merge_base(start, end) if self.parted else start), end


def parse_range(text: str) -> Range | None:
    """The range, or None for a text that is none: a path (`../a.json`) or a reference (it has a colon)."""
    found = _RANGE.match(text.strip())
    if found is None or text.endswith(".json") or text.startswith(("../", "./", "/")) or "/../" in text or text.strip() in ("..", "..."):
        return None
    return Range(start=found["start"] or "HEAD", end=found["end"] or "HEAD", parted=found["dots"] == "...")
