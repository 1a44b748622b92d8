"""The sentences of a document, across its line breaks: what belongs together when something is said of a number."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from typing import NamedTuple

from archaudit.claims.records import Document, Number

_END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)[.!?](?=\s|\Z)")
_FARTHEST = 400  # characters on either side of a number: what goes on for longer says nothing of it
_LINE = re.compile(r"\r\n|\n|\r")


class Sentence(NamedTuple):
    """A sentence, its line breaks blanked, and where in it a number begins and ends."""

    text: str
    start: int
    end: int

    @property
    def before(self) -> str:
        """What is said of it before the number."""
        return self.text[: self.start].rstrip()

    @property
    def behind(self) -> str:
        """What is said of it behind the number."""
        return self.text[self.end :]

    @property
    def clause(self) -> str:
        """What of it stands between the same semicolons as the number."""
        last = self.text.find(";", self.end)
        return self.text[self.text.rfind(";", 0, self.start) + 1 : last if last >= 0 else len(self.text)]


class Sentences:
    """Finds the sentences of a document's numbers: in prose those of the whole paragraph, elsewhere those of the line."""

    def __init__(self, document: Document) -> None:
        self.lines = _LINE.split(document.text)
        self._paragraphs: dict[int, tuple[str, int]] = {}  # by line: the paragraph's text, and where in it the line begins
        self._ends: dict[str, list[int]] = {}
        lines: dict[int, dict[int, str]] = defaultdict(dict)
        for run in document.runs:
            if run.place == "text":
                lines[run.block][run.line] = run.whole
        for paragraph in lines.values():
            text = " ".join(paragraph.values())
            position = 0
            for line, whole in paragraph.items():
                self._paragraphs[line] = text, position
                position += len(whole) + 1

    def find(self, number: Number) -> Sentence:
        """The sentence that a number stands in."""
        text, position = self._paragraphs.get(number.line, (self.lines[number.line - 1], 0))
        start = position + number.column - 1
        end = start + len(number.text)
        if text not in self._ends:
            self._ends[text] = [0, *(match.end() for match in _END.finditer(text))]
        ends = self._ends[text]
        first = max(ends[bisect_right(ends, start) - 1], start - _FARTHEST)
        following = bisect_right(ends, end - 1)
        last = min(ends[following] if following < len(ends) else len(text), end + _FARTHEST)
        return Sentence(text[first:last], start - first, end - first)
