"""Digits that state no number: parts of names, dates, versions, references to lines and sections, numbers of list items, hashes.

Only a few characters on both sides of a figure are read, so that the cost does not grow with the length of the line.
"""

from __future__ import annotations

import re

_MAX_DIGITS = 40  # a longer sequence is data, not a figure
_NEAR = 32  # characters that are read before and after a figure
_LONGEST_DATE = 12  # characters of a date, version or hash that are read on each side of a digit
_MAX_INDENT = 200  # characters before the number of a list item, in nested lists and quotations
_MAX_HEADING_DIGITS = 5  # a longer number at the start of a heading is not the number of a section

_LABEL_WORDS = (
    "line|lines|l|section|sections|sect|sec|chapter|page|pages|pp|figure|figures|fig|figs|table|tables|tab|equation|eq|eqs|step|steps|stage|"
    "phase|part|appendix|note|item|issue|issues|pr|pull|ticket|bug|exercise|example|listing|algorithm|theorem|experiment|run|epoch|day|week|"
    "option|case|level|version|revision|rev|release|release|python|pytorch|torch|torchvision|timm|cuda|cudnn|onnx|opset|numpy|ubuntu|gcc|"
    "jetpack|tensorrt|transformers|rfc|iso|ieee|pep|cve|port|seed"
)
_MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_LABEL_BEFORE = re.compile(
    rf"""(?:\b(?:{_LABEL_WORDS})\.?[ \u00a0]?(?:\#[ ]?)?        # Section 3, table #4
          | [§\#№]
          | \b(?:eqs?|equation|fig|figure|item)\.?[ ]?\()         # Eq. (5
        (?:[\d.]+\s?(?:[-–—,&]|and|to)\s?)?\Z                   # lines 26-49: the second of a pair
    """,
    re.IGNORECASE | re.VERBOSE,
)
_MONTH_BEFORE = re.compile(rf"\b(?:{_MONTHS})\.?[ ](?:\d{{1,2}}(?:st|nd|rd|th)?,?[ ])?\Z", re.IGNORECASE)
_MONTH_AFTER = re.compile(rf"(?:st|nd|rd|th)?[ ](?:of[ ])?(?:{_MONTHS})\b", re.IGNORECASE)
_YEAR_BEFORE = re.compile(
    r"""(?:(?:\b(?:in|since|until|by|of|from|year|arxiv:|copyright|[A-Z]{3,8})|\(c\)|©)[ ']{0,2}   # since 2017, CVPR 2018
          | ,[ ]
          | [-–][ ]?)\Z
      | \b[A-Z][a-z]+,?[ ]\(?\Z                                                           # Smith (2015
    """,
    re.VERBOSE,
)
_ORDERED_ITEM = re.compile(r"[\s>]*(?:[-*+#]+[ ]+)*\Z")
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b", re.IGNORECASE)
_NAMED_UNITS = re.compile(r"(?:ch|chan|channels?|layers?|blocks?|branches|heads?)\b|d[ ]?(?=\)|$)")
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}(?:[-/.]\d{1,2})?(?!\d)|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}(?!\d)|\d{1,2}:\d{2}(?::\d{2})?(?!\d)")
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+|\.x|\.\*)|\d+\.x\b")
_HEX = re.compile(r"(?<![\w])(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{6,64}(?!\w)")


# Why digits state no number. Digits that fit no rule are unreadable: `$80M` is an amount of money, or math that is not closed.
UNREADABLE = "unreadable"


def find_exclusion(text: str, match: re.Match[str], place: str) -> str:
    """The rule by which the digits that were found state no number; UNREADABLE if no rule says what they are; empty for a number."""
    start = match.start("digits")
    end = match.end("digits")
    if end - start > _MAX_DIGITS:
        return "long sequences of digits"
    before, after = text[max(0, start - _NEAR) : start], text[end : end + _NEAR]
    if match["digits"] == "3" and match["suffix"] is None and text[match.start() : start].strip() == "<" and not after[:2].strip(" .!,)"):
        return "hearts"
    if _is_in_a_name(before, after, match):
        return UNREADABLE if _BROKEN_BEFORE.search(before) else "parts of names"
    if _is_numbering(text, match, place):
        return "numbers of list items and headings"
    if place == "table" and match[0].strip() == text.strip():
        return ""  # a cell that is a number and nothing else
    if match["suffix"] is None and not match["prefix"] and _LABEL_BEFORE.search(before):
        return "numbers of sections, figures and references"
    return "dates and versions" if _is_date_or_version(text, match, before, after) else ""


_NAME_BEFORE = re.compile(
    r"""(?:[^\W\d]|[$@\\{])\Z            # Conv2d, v2, \\1
      | [^\W\d_]\w*[-/*]\Z                # ResNet-50, H/16, top-5
      | [^\W\d]\w*(?:\.\w+)*\.\Z           # decoder.0
      | \.[a-z]{1,5}:\Z                    # model.py:12
    """,
    re.VERBOSE,
)
_BROKEN_BEFORE = re.compile(r"(?:[$\\]|\\\w+\{)\Z")
_NAME_AFTER = re.compile(r"[^\W\d]|[(_{\\]|\.[^\W\d]|/[^\W\d]")
_RANGE_BEFORE = re.compile(r"(?<![\w-])\d[\d.,]*[KMGTB]-\Z")  # 25M-26M
_SIZE_BEFORE, _SIZE_AFTER = re.compile(r"\d[ ]?[x×]\Z"), re.compile(r"x[ ]?\d")


def _is_in_a_name(before: str, after: str, match: re.Match[str]) -> bool:
    """Part of an identifier, a path, an expression: `Conv2d`, `ResNet-50`, `H/16`, `decoder.0`, `2D`."""
    if match["digits"] == "0" and after[:1] in "xX" and after[1:2].isalnum():
        return True
    if match["suffix"] is None and _NAME_AFTER.match(after) and not _NAMED_UNITS.match(after) and not _SIZE_AFTER.match(after):
        return True
    if match["prefix"] or match["sign"] or _SIZE_BEFORE.search(before) or _RANGE_BEFORE.search(before):
        return False
    return _NAME_BEFORE.search(before) is not None


def _is_numbering(text: str, match: re.Match[str], place: str) -> bool:
    """The number of a list item or of a heading at the start of the text: `3.`, `2)` or `4.1 `."""
    start, end = match.start("digits"), match.end("digits")
    if match["prefix"] or match["suffix"] is not None or not _ORDERED_ITEM.fullmatch(text[max(0, start - _MAX_INDENT) : start]):
        return False
    if start > _MAX_INDENT:
        return False
    after = text[end : end + 2]
    return bool(re.match(r"[.)](?:\s|\Z)", after)) or (
        place == "heading" and (after[:1] in ("", " ") and len(match["digits"]) <= _MAX_HEADING_DIGITS)
    )


def _is_date_or_version(text: str, match: re.Match[str], before: str, after: str) -> bool:
    start, end = match.start("digits"), match.end("digits")
    window = text[max(0, start - _LONGEST_DATE) : end + _LONGEST_DATE]
    offset = start - max(0, start - _LONGEST_DATE)
    if match["suffix"] is not None and match["suffix"].strip() and not match["digits"].isdecimal():
        return False  # "1016.72 GFLOPs"
    for pattern in (_DATE, _VERSION, _HEX):
        if any(found.start() <= offset < found.end() for found in pattern.finditer(window)):
            return True
    if re.search(r"\b[vV]\.?\Z|==\s?\Z", before) or _ORDINAL.match(after) or _MONTH_BEFORE.search(before) or _MONTH_AFTER.match(after):
        return True
    digits = match["digits"]
    if re.fullmatch(r"(?:19|20)\d0", digits) and (match["suffix"] or after[:1]).strip() == "s":  # the 2020s
        return True
    is_year = len(digits) == 4 and digits.isdecimal() and 1950 <= int(digits) <= 2099 and match["suffix"] is None
    return is_year and _YEAR_BEFORE.search(before) is not None


# --- masking: what states no number is replaced by spaces, so that columns do not change ---


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
_QUOTE_MARKS = re.compile(r"^[\s>]*+")  # `>` at the start of a line is a quotation, not "more than"
_INLINE_CODE = re.compile(r"(?<!`)(`++)([^`]*+)\1(?!`)")


def mask_markup(line: str) -> str:
    """A line of text with links, tags and code masked."""
    line = _TARGETS.sub(_mask, _QUOTE_MARKS.sub(_mask, line))
    return line if "`" not in line else _INLINE_CODE.sub(_mask_inline_code, line)


def _mask_inline_code(found: re.Match[str]) -> str:
    """Inline code states a number only if it is nothing else: `2,516,853`, but not `Conv2d(16, 48)`. Its backticks are masked."""
    inner = found[2]
    kept = inner if re.fullmatch(r"\s*[~≈<>≤≥=+−-]{0,3}\s*[\d.][\d.,_]*\s?[\w%×/ ]{0,12}", inner) or _is_shape(inner) else " " * len(inner)
    return " " * len(found[1]) + kept + " " * len(found[1])


def _is_shape(inner: str) -> bool:
    return len(inner) < 80 and re.fullmatch(r"\s*[\[(][\w\s,/*]+[\])]\s*", inner) is not None


def _mask(found: re.Match[str]) -> str:
    return " " * len(found[0])


def mask_multiline_comments(lines: list[str]) -> list[str]:
    """The lines with HTML comments of several lines masked. A comment on one line can be a binding and stays."""
    masked, inside = [], False
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
        masked.append("".join(kept))
    return masked
