"""Rewrites the spellings of numbers that documents use to the one form that `parse_quantity` reads.

`25 557 032`, `25.557.032` and `25'557'032` become `25,557,032`; `$4.1\\times10^{9}$` and `4.1 × 10⁹` become `4.1e9`; `**25.6**M`,
`25.6&nbsp;M` and `25.6\\,M` become `25.6M` or `25.6 M`; `between 25M and 26M` becomes `25M-26M`; `eighty million` becomes `80 million`.
Every character of the result keeps its place in the source, so that a number can be located and replaced there.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import NamedTuple


class Spelling(NamedTuple):
    """A text in one form. Character `i` comes from `starts[i]` to `ends[i]` of the source."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """The span in the source of a non-empty span of `text`."""
        return self.starts[start], self.ends[end - 1]


def normalize_spelling(text: str, *, decimal_comma: bool = False) -> Spelling:
    """The text with every number in the form that `parse_quantity` reads. Text without a digit or number word does not change.

    `decimal_comma`: a comma between digits is a decimal point, also before three digits.
    """
    spelling = Spelling(text, tuple(range(len(text))), tuple(range(1, len(text) + 1)))
    if decimal_comma:
        spelling = _rewrite(spelling, _ANY_DECIMAL_COMMA, lambda found: f"{found[1]}.{found[2]}")
    for pattern, replace in _RULES:
        if pattern.search(spelling.text):
            spelling = _rewrite(spelling, pattern, replace)
    return spelling


def normalize_number(text: str) -> str:
    """The text of one figure in the form that `parse_quantity` reads."""
    return " ".join(normalize_spelling(text).text.split())


def _rewrite(spelling: Spelling, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str | None]) -> Spelling:
    """Each match replaced. All characters of a replacement come from the whole match; `None` leaves the match as it is."""
    texts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    for found in pattern.finditer(spelling.text):
        new = replace(found)
        if new is None or found.start() == found.end():
            continue
        texts += [spelling.text[position : found.start()], new]
        starts += [*spelling.starts[position : found.start()], *[spelling.starts[found.start()]] * len(new)]
        ends += [*spelling.ends[position : found.start()], *[spelling.ends[found.end() - 1]] * len(new)]
        position = found.end()
    texts.append(spelling.text[position:])
    return Spelling("".join(texts), (*starts, *spelling.starts[position:]), (*ends, *spelling.ends[position:]))


# --- the rules, in order ---


_SPACES = re.compile("[\u00a0\u2002-\u200a\u202f\u205f]")
_INVISIBLE = re.compile("[\u200b\u200c\u200d\u2060\ufeff\u00ad]")
_ENTITY = re.compile(r"&(?:nbsp|thinsp|ensp|emsp|times|plusmn|approx|asymp|sim|lt|gt|le|ge|minus|ndash|mdash|#\d{1,6}|#x[0-9a-fA-F]{1,5});")

_SYMBOLS = {
    "times": "×",
    "cdot": "×",
    "pm": "±",
    "approx": "≈",
    "sim": "~",
    "simeq": "≈",
    "leq": "≤",
    "le": "≤",
    "geq": "≥",
    "ge": "≥",
    "rightarrow": "→",
    "to": "→",
    "lt": "<",
    "gt": ">",
}
_SYMBOL = re.compile(r"\\(" + "|".join(sorted(_SYMBOLS, key=len, reverse=True)) + r")(?![A-Za-z])")
_LATEX_SPACE = re.compile(r"\\[,;: ]|(?<=\d)~(?=[A-Za-z\\])")
_LATEX_NOTHING = re.compile(r"\\[!/]|(?<=\d)\{,\}(?=\d)")
# `\textbf{25.6}`: the command and its braces state nothing. Nested at most three times, from the inside to the outside.
_STYLE = (
    r"\\(?:text(?:bf|it|rm|sf|tt|sc|up|md|normal)?|math(?:bf|it|rm|sf|tt|bb|cal)?"
    r"|emph|underline|uline|bm|boldsymbol|mbox|num|best|second)"
)
_STYLED = re.compile(_STYLE + r"\s?\{([^{}]{0,80})\}")
_OLD_STYLE = re.compile(r"\{\\(?:bf|it|rm|em|bfseries|itshape)(?:\s+|(?=[^A-Za-z]))([^{}]{0,80})\}")
_ESCAPED = re.compile(r"\\([%#&$_])")
_MATH = re.compile(r"(?<![\\$A-Za-z_])\$([^$\n]{1,80}?)\$(?!\$)")
_EMPHASIS = re.compile(
    r"(?<=[\d%])(?:\*{1,3}|__)(?=[\s|,.;:)\]]|[A-Za-z%]|$)|(?<![\w*])(?:\*{1,3}|__)(?=[~≈<>≤≥+−-]?\s?[\d.])|(?<=[A-Za-z%])\*{2,3}(?!\w)"
)

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_TEN = r"(?:(?<=[\d.])\s?[x×*·]\s?|(?<=[(\s])[x×*·]?\s?)10"
_POWER = re.compile(
    _TEN + r"(?:\^(?:\{\s?(-?\d{1,2})\s?\}|(-?\d{1,2}))|<sup>\s?(-?\d{1,2})\s?</sup>|([⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2})|\*\*(\d{1,2}))(?!\d)"
)
_FOOTNOTE = re.compile(r"<sup>[^<>]{0,12}</sup>|(?<=[\dA-Za-z%])[†‡§¶*]+(?=[\s|,.;:)]|$)|(?<=[\dKMGB%])[¹²³](?!\d)|\[\^[^\[\]]{1,12}\]")
_TAG = re.compile(r"</?sup>")

_UNIT_AHEAD = r"(?=\s?(?:[KMGTB](?![\w])|[KMGTB]i?B\b|[KMG]?(?:params?|parameters?|MACs?|FLOPs?)\b|million|billion|thousand|Mio\b|Mrd\b|%))"
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d{1,3}),(\d{1,2})(?![\d,])" + _UNIT_AHEAD)
_ANY_DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d+),(\d+)(?![\d,])")
_GROUPS = re.compile(
    r"(?<![\d.,'’])(?:\d{1,3}(?:['’]\d{3})+|\d{1,3}(?:\.\d{3}){2,}|\d{1,3}(?: \d{3}){2,}"
    r"|\d{1,3} \d{3}(?= (?:params?|parameters?|weights|MACs?|FLOPs?)\b))(?![\d]|[.,'’]\d)"
)
_VERSION_BEFORE = re.compile(r"(?:\bv|==|version)\s?\Z", re.IGNORECASE)

_TEN_NAMES = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ONE_NAMES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_ONES = {name: value for value, name in enumerate(_ONE_NAMES)}
_TENS = {name: 10 * value for value, name in enumerate(_TEN_NAMES, start=2)}
_WORD = "|".join([*_TENS, *sorted(_ONES, key=len, reverse=True)])
# Only before a word that a number can belong to: "two blocks", "twelve-layer", "eighty million"; "one of them" states no number.
_COUNTED = (
    r"(?=[ -](?:million|billion|thousand|hundred|layers?|blocks?|stages?|branch(?:es)?|heads?"
    r"|(?:attention|decoder|encoder|hidden|residual|transformer|conv(?:olution(?:al)?)?|linear|dense) (?:layers?|blocks?|heads?|stages?)"
    r"|channels?|classes|experts?|parameters|params|times)\b)"
)
_NUMBER_WORDS = re.compile(rf"\b(?:({_WORD})(?:[ -](hundred))?(?:(?:[ -]and)?[ -]({_WORD}))?(?:[ -]({_WORD}))?){_COUNTED}", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(?:a|an|half a)(?= (?:million|billion)\b)")

_END = r"[~≈]?[\d.,_]*\d(?:e\d+)?(?:\s?(?:[KMGTB]i?B?|million|billion|thousand)(?![\w]))?"
_BETWEEN = re.compile(rf"\bbetween ({_END}) and ({_END})", re.IGNORECASE)
_OVER = re.compile(r"\b(?:over|exceeding|exceeds|in excess of|upwards of)(?=\s[~≈]?[\d.])", re.IGNORECASE)
_UNDER = re.compile(r"\b(?:just under|no more than|not more than)(?=\s[~≈]?[\d.])", re.IGNORECASE)


def _expand_entity(found: re.Match[str]) -> str | None:
    character = html.unescape(found[0])
    return character if len(character) == 1 and (character.isprintable() or character.isspace()) else None


def _keep_content(found: re.Match[str]) -> str:
    return found[1]


def _read_math(found: re.Match[str]) -> str | None:
    """`$25.6$` is a number in math; `$5 and $6` are two amounts of money."""
    inner = found[1]
    return inner if re.search(r"\d", inner) and not (inner[0].isspace() or inner[-1].isspace()) else None


def _read_power(found: re.Match[str]) -> str:
    exponent = next(group for group in found.groups() if group is not None).translate(_SUPERSCRIPTS)
    if found.string[: found.start()][-1:].isdigit():
        return f"e{exponent}"
    return {"3": "K", "6": "M", "9": "G", "12": "T"}.get(exponent, f"1e{exponent}")


def _join_groups(found: re.Match[str]) -> str | None:
    if _VERSION_BEFORE.search(found.string[max(0, found.start() - 10) : found.start()]):
        return None
    return re.sub(r"[ '’.]", ",", found[0])


def _read_words(found: re.Match[str]) -> str | None:
    first, hundred, second, third = (group.casefold() if group else "" for group in found.groups())
    value = _value_of(first)
    if hundred:
        value *= 100
    rest = [each for each in (second, third) if each]
    if not hundred and rest and (first not in _TENS or rest[0] not in _ONES or len(rest) > 1 or not 0 < _ONES[rest[0]] < 10):
        return None  # "two three" is no number
    if hundred and len(rest) == 2 and (rest[0] not in _TENS or rest[1] not in _ONES):
        return None
    return str(value + sum(_value_of(each) for each in rest))


def _value_of(word: str) -> int:
    return _TENS[word] if word in _TENS else _ONES[word]


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]], ...] = (
    (_SPACES, lambda found: " "),
    (_INVISIBLE, lambda found: ""),
    (_ENTITY, _expand_entity),
    (_SPACES, lambda found: " "),
    (_LATEX_NOTHING, lambda found: ""),
    (_LATEX_SPACE, lambda found: " "),
    (_SYMBOL, lambda found: _SYMBOLS[found[1]]),
    (_STYLED, _keep_content),
    (_STYLED, _keep_content),
    (_OLD_STYLE, _keep_content),
    (_MATH, _read_math),
    (_ESCAPED, _keep_content),
    (_EMPHASIS, lambda found: ""),
    (_POWER, _read_power),
    (_FOOTNOTE, lambda found: ""),
    (_TAG, lambda found: " "),
    (_DECIMAL_COMMA, lambda found: f"{found[1]}.{found[2]}"),
    (_GROUPS, _join_groups),
    (_NUMBER_WORDS, _read_words),
    (_ARTICLE, lambda found: "0.5" if found[0].startswith("half") else "1"),
    (_BETWEEN, lambda found: f"{found[1]}-{found[2]}"),
    (_OVER, lambda found: "above"),
    (_UNDER, lambda found: "at most" if "more" in found[0] else "under"),
)
