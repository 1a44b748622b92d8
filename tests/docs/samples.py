"""Sample outputs: whether what was printed is what the page shows, and the sample rewritten where it is not.

A line of three dots stands for any number of lines, and three dots within a line for any text.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_DOTS = "..."
# Below this a line of the sample and a printed one share little more than spaces and common words.
_LEAST_LIKENESS = 0.5


def fits(sample: str, printed: str) -> bool:
    """Whether the sample describes the printed text; white space at the ends of lines does not count."""
    pattern = "".join(_compile(line) for line in _split(sample))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _split(printed)), re.DOTALL) is not None


def rewrite(sample: str, printed: str) -> str:
    """The sample brought up to date: the printed lines, elided where the sample is.

    Each part between two lines of dots is found again by its first and its last line. Lines that still fit keep their dots.
    """
    lines = _split(printed)
    parts, dots = _divide(sample)
    if not dots:
        return _join(_keep_dots(_split(sample), lines))
    out: list[str] = []
    at = 0
    for number, part in enumerate(parts):
        if part:
            start = at if number == 0 else _find(part[0], lines, at)
            at_end = number == len(parts) - 1
            end = len(lines) if at_end else _find(part[-1], lines, start) + 1
            out += _keep_dots(part, lines[start:end])
            at = end
        if number < len(parts) - 1:
            out.append(dots[number])
    return _join(out)


def _split(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").split("\n")]


def _join(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _compile(line: str) -> str:
    if line.strip() == _DOTS:
        return r"(?:[^\n]*\n)*?"
    return r"[^\n]*?".join(re.escape(part) for part in line.split(_DOTS)) + r"\n"


def _divide(sample: str) -> tuple[list[list[str]], list[str]]:
    """The parts between lines of dots, of which the first and the last may be empty; and those lines."""
    parts: list[list[str]] = [[]]
    dots = []
    for line in _split(sample):
        if line.strip() == _DOTS:
            dots.append(line)
            parts.append([])
        else:
            parts[-1].append(line)
    return parts, dots


def _find(line: str, printed: list[str], start: int) -> int:
    """The printed line, from `start` on, that is most like a line of the sample; the first of equals."""
    likeness = [SequenceMatcher(None, line, other, autojunk=False).ratio() for other in printed[start:]]
    best = max(likeness, default=0)
    if best < _LEAST_LIKENESS:
        raise ValueError(f"nothing printed is like {line!r}: rewrite the sample by hand")
    return start + likeness.index(best)


def _keep_dots(sample: list[str], printed: list[str]) -> list[str]:
    """The printed lines, with the dots of the sample's lines that describe them."""
    dotted = [line for line in sample if _DOTS in line]
    kept = []
    for line in printed:
        fitting = next((each for each in dotted if re.fullmatch(_compile(each).removesuffix(r"\n"), line)), line)
        kept.append(fitting)
    return kept
