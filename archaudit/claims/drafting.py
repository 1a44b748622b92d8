"""Drafts: what each number of a document may be about, proposed from what was measured, for a person to confirm.

Every fact of the two models that a number of its kind could state is a candidate; it is weighed by whether it would be written so, by the
words around the number (the module's path and type, the setting's or the metric's name), and by the side that the text is about. A
proposal is only as good as its confidence, and none is made below a threshold: a wrong binding is worse than none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from archaudit.claims.binding import choose_comparison
from archaudit.claims.facts import Fact, list_facts, list_group_facts, list_shape_facts, words_of
from archaudit.claims.records import Document, Number
from archaudit.quantities import Quantity, parse
from archaudit.schema import Group, Profile, Verdict

# A proposal: half for standing where the number would be written so, the rest for words and side. Below the threshold it is a guess.
_OF_VALUE, _OF_WORDS, _OF_SIDE, _OF_METRIC = 0.45, 0.3, 0.1, 0.15
_THRESHOLD = 0.4
_NEARLY = 0.5  # how far off, at most, a figure may be to count as nearly right
_MARKER = re.compile(r"\b(before|old|original|baseline|after|new|now|updated)\b", re.IGNORECASE)
_AFTER_WORDS = ("after", "new", "now", "updated")
_ASSIGNED = re.compile(r"(?:self\.)?([A-Za-z_]\w*)\s*=(?!=)|class\s+(\w+)")
_SAVES = re.compile(r"\b(?:sav(?:es|ed|ing)|remov(?:es|ed|ing)|cut by|reduc(?:es|ed) by|drops? by|fewer by)\b[^.]{0,24}\Z", re.IGNORECASE)
_BIG_METRICS = ("params", "macs", "flops")
_SMALLEST_COUNT = 1000  # below it a bare number is rather a size than a count of parameters or operations
_LOOK_BACK = 12  # lines of a code block in which the name that a comment is about may stand
_COUNT_METRICS = {"params": ("params", "trainable_params"), "macs": ("macs",), "flops": ("flops",)}


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """One number and the claim proposed for it: the keys of its table, empty where there is none."""

    number: Number
    table: dict[str, Any]
    confidence: float

    def write(self, verdict: Verdict | None) -> str:
        """The claim as TOML under a comment that says where the number stands, how sure the proposal is, and what was measured."""
        number = self.number
        head = f"# line {number.line}: {_one_line(number.run.whole)}"
        if verdict is None:
            figure = _quote(number.text)
            return f'{head}\n# no proposal; bind it, or say why it is exempt:\n# [[claims]]\n# figure = {figure}\n# exempt = ""\n'
        measured = verdict.measured or (f"{verdict.actual:,}" if verdict.actual is not None else "nothing")
        finding = f"{verdict.finding}" + (f" ({verdict.reading})" if verdict.reading else "")
        rows = "\n".join(f"{key} = {_quote(value)}" for key, value in self.table.items())
        return f"{head}\n# confidence {self.confidence:.2f}; measured {_one_line(measured)}: {finding}\n[[claims]]\n{rows}\n"


class _Context(NamedTuple):
    """What the text around a number says: words, near ones first, and the side it is about."""

    near: frozenset[str]
    far: frozenset[str]
    side: str


def draft_claims(document: Document, before: Profile, after: Profile, groups: Iterable[Group] = ()) -> list[Draft]:
    """A draft for each number of the document, in order; `groups` are what was put in for what was taken out."""
    lines = re.split(r"\r\n|\n|\r", document.text)
    facts = [*list_facts(before, after), *list_group_facts(groups)]
    shapes = list_shape_facts(before, after)
    names = {word for fact in (*facts, *shapes) for word in fact.words}
    drafts = []
    for number in document.numbers:
        context = _read_context(number, lines, names)
        best = _choose(number, context, shapes if number.kind == "shape" else facts)
        if best is None or best[0] < _THRESHOLD:
            drafts.append(Draft(number=number, table={}, confidence=0))
        else:
            table = _make_table(number, best[1])
            drafts.append(Draft(number=number, table=table, confidence=min(best[0], 0.99)))
    return drafts


def _read_context(number: Number, lines: list[str], names: set[str]) -> _Context:
    line = lines[number.line - 1]
    near = set(words_of(line)) | words_of(number.heading)
    above = lines[max(0, number.line - 1 - _LOOK_BACK) : number.line - 1]
    assigned: set[str] = set()
    if number.run.place == "comment" and not near & names - {"conv2d", "params"}:
        for text in reversed(above):
            if text.lstrip().startswith("```"):
                break
            if found := _ASSIGNED.search(text):
                assigned = set(words_of(found[1] or found[2]))
                break
    return _Context(frozenset(near | assigned), frozenset(words_of(number.run.section)), number.role or _find_side(number, lines))


def _find_side(number: Number, lines: list[str]) -> str:
    """The side that was named last: by the head of the column, on the line before the number, or in the lines above it up to its section's
    heading."""
    if headed := _MARKER.findall(number.heading):
        return "after" if headed[-1].casefold() in _AFTER_WORDS else "before"
    for position in range(number.line - 1, max(-1, number.line - 60), -1):
        text = lines[position] if position != number.line - 1 else lines[position][: number.column - 1]
        if position != number.line - 1 and (len(text) > 60 or text.lstrip().startswith(("#", "x ", "self", "def"))):
            if text.startswith("## "):
                return ""
            continue
        if found := _MARKER.findall(text):
            return "after" if found[-1].casefold() in _AFTER_WORDS else "before"
    return ""


def _choose(number: Number, context: _Context, facts: Iterable[Fact]) -> tuple[float, Fact] | None:
    best: tuple[float, Fact] | None = None
    figure = _read(f"{number.text} {number.unit}".rstrip()) if number.kind != "shape" else None
    if figure is None and number.kind != "shape":
        return None
    for fact in facts:
        value = _weigh_value(number, figure, fact)
        if value <= 0:
            continue
        score = _OF_VALUE * value + _weigh_context(number, context, fact)
        if best is None or score > best[0]:
            best = score, fact
    return best


def _read(text: str) -> Quantity | None:
    try:
        return parse(text)
    except ValueError:
        return None


def _weigh_value(number: Number, figure: Quantity | None, fact: Fact) -> float:
    """1 for a fact that would be written so, less for one that is nearly so; 0 for one of another kind."""
    if figure is None:
        return fact.fits_shape(number.text) if fact.metric == "shape" else 0
    if not _may_state(figure, fact):
        return 0
    if figure.relation:
        holds = {"<": fact.value < figure.value, "<=": fact.value <= figure.value}.get(figure.relation, fact.value >= figure.value)
        return 0.9 if holds and abs(fact.value - figure.value) < _NEARLY * figure.value else 0
    if figure.contains(fact.value):
        return 1
    size = max(abs(figure.value), abs(fact.value))
    off = abs(figure.value - fact.value) / size if size else 1
    return 0.6 * (1 - off) if off < _NEARLY and fact.metric in _BIG_METRICS else 0


def _may_state(figure: Quantity, fact: Fact) -> bool:
    """Whether a figure written so may be about a fact of that kind: by its unit, its prefix, its size."""
    kind = choose_comparison(figure.text)
    if fact.comparison not in (("equals", "difference") if kind == "difference" else (kind,)):
        return False
    if figure.unit in _COUNT_METRICS:
        return fact.metric in _COUNT_METRICS[figure.unit]
    if (figure.unit == "bytes") != fact.metric.endswith("bytes") and kind == "difference":
        return False
    if figure.scale > 1 or figure.unit == "bytes":
        return fact.metric in _BIG_METRICS or fact.metric.endswith("bytes")
    return not (kind == "difference" and figure.value < _SMALLEST_COUNT and fact.metric in _BIG_METRICS)


def _weigh_context(number: Number, context: _Context, fact: Fact) -> float:
    near = len(fact.words & context.near)
    far = len(fact.words & context.far)
    size = max(1, len(fact.words))
    words = min(1.0, (near + 0.4 * far) / size) if fact.words else (0.5 if not context.near & fact.strangers else 0)
    if fact.comparison != "percent" and _SAVES.search(number.before_text) and (fact.comparison == "difference") == _is_relative(number):
        return -_OF_VALUE  # "saves 2M" is no total
    side = 1 if fact.model == context.side or not context.side else -1.5
    said = words_of(f"{number.noun} {number.text}") | context.near
    metric = 1.0 if fact.metric_words & said else 0.4 if fact.metric == "params" and number.noun == "" else 0
    depth = 0.003 * fact.scope.count(".")  # of two that fit alike, the one nearer the root
    return -depth + _OF_WORDS * words + _OF_SIDE * side + _OF_METRIC * metric


def _is_relative(number: Number) -> bool:
    return choose_comparison(number.text) != "difference"


def _make_table(number: Number, fact: Fact) -> dict[str, Any]:
    table: dict[str, Any] = {"figure": number.text.strip()} | ({"unit": number.unit} if number.unit else {})
    if number.run.section:
        table["source"] = number.run.section
    if number.run.text.count(number.text) == 1:
        table["near"] = _find_near(number)
    table |= {"model": fact.model, "metric": fact.metric}
    if fact.scope:
        table["scope"] = [*fact.paths] if len(fact.paths) > 1 else fact.scope
    if fact.comparison != "equals":
        table |= {"comparison": fact.comparison, "against": "before"}
        if fact.against_scope != fact.scope:
            table["against_scope"] = [*fact.against_paths] if len(fact.against_paths) > 1 else fact.against_scope
    return table


def _find_near(number: Number) -> str:
    """What of the line tells this number from others like it: all of what is said there, or the words up to it."""
    said = number.run.text.strip()
    if len(said) <= 60 and said in number.run.whole:
        return said
    end = number.column - number.run.column + len(number.text)
    return number.run.whole[max(0, end - 60) : end].strip()


def _quote(value: object) -> str:
    """A TOML value: JSON's strings and lists of strings are TOML's too, once delete is escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    shown = "".join(character if character.isprintable() else " " for character in text.strip())
    return shown if len(shown) <= 100 else shown[:99] + "…"
