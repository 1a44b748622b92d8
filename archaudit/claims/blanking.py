"""Blanking: what stands in a line of prose but states nothing is replaced by spaces, so that columns stay.

Links' targets, addresses, tags, comments, and inline code. Each pattern is linear in the line: no quantifier can give back what it took.
"""

from __future__ import annotations

import re

_TARGETS = re.compile(
    r"""
      (?<=\])\((?:[^()\s]|\([^()\s]*+\))*+(?:\s++"[^"]*+")?+\s*+\)   # [text](target "title")
    | (?<=\])\[[^\[\]]*+\]                                        # [text][label]
    | ^\s{0,3}\[[^\[\]]++\]:.*+                                   # [label]: target
    | <(?:https?|ftp|mailto):[^\s<>]*+>                           # <address>
    | \b(?:https?|ftp)://\S++                                     # a bare address
    | \bwww\.\S++
    | <!--.*?-->                                                  # on one line
    | </?[A-Za-z][^<>]*+>                                         # a tag
    """,
    re.VERBOSE,
)
_QUOTE_MARKS = re.compile(r"^[\s>]*+")  # a quotation's marks, which are no "more than"
_INLINE_CODE = re.compile(r"(?<!`)(`++)([^`]*+)\1(?!`)")


def blank_prose(line: str) -> str:
    """A line of prose with only what states something left in it, as long as it was."""
    line = _TARGETS.sub(_blank, _QUOTE_MARKS.sub(_blank, line))
    return line if "`" not in line else _INLINE_CODE.sub(_keep_figures, line)


def _keep_figures(found: re.Match[str]) -> str:
    """Inline code states a figure where it is nothing but one: `2,516,853`, but not `Conv2d(16, 48)`. Its backticks are blanked."""
    inner = found[2]
    kept = inner if re.fullmatch(r"\s*[~≈<>≤≥=+−-]{0,3}\s*[\d.][\d.,_]*\s?[\w%×/ ]{0,12}", inner) or _is_shape(inner) else " " * len(inner)
    return " " * len(found[1]) + kept + " " * len(found[1])


def _is_shape(inner: str) -> bool:
    return len(inner) < 80 and re.fullmatch(r"\s*[\[(][\w\s,/*]+[\])]\s*", inner) is not None


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


def blank_long_comments(lines: list[str]) -> list[str]:
    """Lines with what stands in HTML comments of more than one line blanked; those on one line stay, they may be bindings."""
    blanked, inside = [], False
    for line in lines:
        kept, position = [], 0
        while position < len(line):
            if inside:
                end = line.find("-->", position)
                stop = len(line) if end < 0 else end + 3
                kept.append(" " * (stop - position))
                inside, position = end < 0, stop
                continue
            start = line.find("<!--", position)
            end = line.find("-->", start + 4) if start >= 0 else -1
            stop = len(line) if start < 0 else start if end < 0 else end + 3
            kept.append(line[position:stop])
            inside, position = start >= 0 and end < 0, stop
        blanked.append("".join(kept))
    return blanked
