"""Claims in a document: a comment after a number, the binding, says what the number is about. And which numbers each claim is about.

    6.83M <!-- claim: params before -->
    31.6x <!-- claim: params after of decoder_stage1 vs before of decoder.0 + decoder.1 -->
    42x <!-- claim: params after of stage vs before of decoder.0, expect false: it was never measured -->
    25.6M <!-- claim: params torchvision:resnet50 -->
    512 <!-- claim: exempt: the size of the training images -->

The grammar (parts in brackets are optional; names cannot contain spaces):

    claim: METRIC [in UNIT] [MODEL] [of PATH [+ PATH]...] [vs MODEL [of PATH [+ PATH]...]] [, expect false|other reading: WHY]
    claim: exempt: WHY

With `vs`, a figure in x is a ratio, one in % is a percentage, and any other is a difference. A comment belongs to the nearest number before
it on its line. A number in place of a metric is refused: a claim is checked against the model, never against the document.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from archaudit.claims.exclusions import UNREADABLE
from archaudit.errors import ConfigError
from archaudit.schema import Check
from archaudit.schema.documents import Binding, Coverage, Document, Number
from archaudit.schema.spelling import normalize_number

_COMMENT = re.compile(r"<!--\s*claim:(.*?)-->", re.IGNORECASE)
_EXPECT = re.compile(r",\s*expect\s+(false|other reading)\s*:\s*(.*)\Z", re.IGNORECASE)
_SIDE = r"(?:\s+of\s+(?P<{0}>\S+(?:\s*\+\s*\S+)*))?"
_ABOUT = re.compile(
    r"(?P<metric>[^\s,]+)(?:\s+in\s+(?P<unit>\w+))?(?:\s+(?!of\b|vs\b)(?P<model>[\w-]+(?::[^\s,]+)?))?"
    + _SIDE.format("scope")
    + r"(?:\s+vs\s+(?P<against>[\w-]+(?::[^\s,]+)?)"
    + _SIDE.format("against_scope")
    + r")?\s*"
)
_FORM = "Write: claim: METRIC [in UNIT] [MODEL] [of PATH] [vs MODEL [of PATH]] [, expect false: WHY], or claim: exempt: WHY."


def find_bindings(lines: Iterable[str], numbers: Iterable[Number], name: str) -> list[Binding]:
    """The bindings in the lines of a document, each with the figure of the number before it. Raises ConfigError."""
    by_line: dict[int, list[Number]] = defaultdict(list)
    for number in numbers:
        by_line[number.line].append(number)
    bindings = []
    for line, text in enumerate(lines, start=1):
        for comment in _COMMENT.finditer(text) if "<!--" in text else ():
            where = f"{name}:{line}"
            earlier = [number for number in by_line[line] if number.column <= comment.start()]
            if not earlier:
                raise ConfigError(f"{where}: there is no number before `claim:{comment[1].rstrip()}` on its line", _FORM)
            table = _read_binding(comment[1].strip(), earlier[-1], where)
            bindings.append(Binding(text=comment[0], line=line, column=earlier[-1].column, table=table))
    return bindings


def _read_binding(text: str, number: Number, where: str) -> dict[str, Any]:
    """The claim as a table of the config."""
    table: dict[str, Any] = {"figure": number.reading.strip(), "source": number.run.section or f"line {number.line}"}
    if text.casefold().startswith("exempt"):
        reason = text[len("exempt") :].lstrip(": ").strip()
        if not reason:
            raise ConfigError(f"{where}: {text!r} has no reason", "Write: claim: exempt: WHY.")
        return table | {"exempt": reason}
    if expectation := _EXPECT.search(text):
        table |= {"expect": expectation[1].casefold(), "why": expectation[2].strip()}
        text = text[: expectation.start()]
    if re.match(r"[~<>≈]?\s*[\d.]", text):
        raise ConfigError(
            f"{where}: {text[:60]!r} is a number in place of a metric: a claim is checked against the model", "Name a metric. " + _FORM
        )
    about = _ABOUT.fullmatch(text.strip())
    if about is None:
        raise ConfigError(f"{where}: {text[:60]!r} is not a binding", _FORM)
    for key in ("metric", "unit", "model", "against"):
        if about[key]:
            table[key] = about[key]
    for key in ("scope", "against_scope"):
        if about[key]:
            table[key] = [part.strip() for part in about[key].split("+")]
    if about["unit"] and table["figure"].endswith(about["unit"]):
        del table["unit"]  # the figure has it already: `4.11 G` in G
    if about["against"] and not about["metric"].startswith("presence"):
        table["comparison"] = choose_comparison(table["figure"])
    return table


def choose_comparison(figure: str) -> str:
    """How a figure about two models compares them, by its form: `42x` is a ratio, `63%` a percentage, anything else a difference."""
    figure = figure.rstrip()
    if figure.endswith(("%", "percent")):
        return "percent"
    return "ratio" if figure.endswith(("x", "×", "times")) else "difference"


# --- which numbers of a document each claim is about ---


_NOUNS = re.compile(r"(?:params|parameters)$", re.IGNORECASE)
_NUMBERED_SECTION = re.compile(r"section\s+([\d.]+)", re.IGNORECASE)


class LocatedClaims(NamedTuple):
    """The numbers of each claim by the claim's id, and the coverage of the document."""

    numbers: dict[str, tuple[Number, ...]]
    coverage: Coverage


def locate_claims(document: Document, checks: Sequence[Check], bound: Iterable[tuple[Binding, Check]]) -> LocatedClaims:
    """Finds the numbers of each claim. A claim whose figure is not in the document has none."""
    stated = {(number.line, number.column): number for number in document.numbers}
    at = stated | {(number.line, number.column): number for number in document.optional_numbers}
    numbers: dict[str, tuple[Number, ...]] = {check.id: () for check in checks}
    taken: dict[tuple[int, int], Check] = {}
    for binding, check in bound:
        place = (binding.line, binding.column)
        numbers[check.id] = (at[place],)
        taken[place] = check
    by_figure: dict[str, list[Number]] = defaultdict(list)
    for place, number in at.items():
        if place not in taken:
            by_figure[normalize_figure(number.reading)].append(number)
    inline = {check.id for _, check in bound}
    for group in _group(check for check in checks if check.id not in inline):
        forms = (normalize_figure(group[0].written or group[0].expected), normalize_figure(group[0].expected))  # the unit may be next to it
        stating = next((by_figure[form] for form in forms if form in by_figure), [])
        candidates = [number for number in stating if _is_at(group[0], number)]
        free = [number for number in candidates if (number.line, number.column) not in taken]
        free = [number for number in free if (number.line, number.column) in stated] or free  # code only as the last choice
        for position, check in enumerate(group):
            own = free if len(group) == 1 else free[position : position + 1] if position < len(group) - 1 else free[position:]
            numbers[check.id] = tuple(own)
            taken.update({(number.line, number.column): check for number in own})
    return LocatedClaims(numbers, _list_coverage(document, taken))


def normalize_figure(figure: str) -> str:
    """A figure without insignificant differences in form: spaces, `×` for `x`, the noun after a count."""
    text = (
        _NOUNS.sub("", "".join(normalize_number(figure).split()))
        .casefold()
        .replace("×", "x")
        .replace("–", "-")
        .replace("—", "-")
        .replace("−", "-")
    )
    return text.replace("≈", "~").replace("percent", "%").replace("times", "x")


def _group(checks: Iterable[Check]) -> list[list[Check]]:
    """Groups of claims with the same figure, source and `near`. Groups with more of these come first."""
    groups: dict[tuple[str, str | None, str | None], list[Check]] = defaultdict(list)
    for check in checks:
        groups[normalize_figure(check.written or check.expected), check.source, check.near].append(check)
    return [group for _, group in sorted(groups.items(), key=lambda item: (item[0][2] is None, item[0][1] is None))]


def _is_at(check: Check, number: Number) -> bool:
    if check.near is not None and check.near not in number.run.whole:
        return False
    if check.source is None:
        return True
    heading, source = number.run.section.casefold(), check.source.casefold()
    numbered = _NUMBERED_SECTION.fullmatch(source)
    if numbered:
        return re.match(rf"{re.escape(numbered[1].rstrip('.'))}(?![\d.]*\d)", heading) is not None or source in heading
    return source in heading or source == f"line {number.line}"


def _list_coverage(document: Document, taken: dict[tuple[int, int], Check]) -> Coverage:
    bound, exempt, uncovered = [], [], []
    for number in document.numbers:
        check = taken.get((number.line, number.column))
        if check is None:
            uncovered.append(number)
        elif check.exempt is not None:
            exempt.append(number)
        else:
            bound.append(number)
    return Coverage(
        bound=tuple(bound),
        exempt=tuple(exempt),
        uncovered=tuple(uncovered),
        unreadable=tuple(each for each in document.ignored if each.rule == UNREADABLE),
        by_rule=dict(Counter(each.rule for each in document.ignored if each.rule != UNREADABLE)),
    )
