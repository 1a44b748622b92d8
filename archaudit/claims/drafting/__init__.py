"""Drafts: what each number of a document may be about, proposed from what was measured, for a person to confirm.

Every fact of the two models that a number of its kind could state is a candidate; it is weighed by whether it would be written so, by the
words around the number (the module's path and type, the setting's or the metric's name), and by the side that the text is about. A
proposal is only as good as its confidence, and none is made below a threshold: a wrong binding is worse than none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from archaudit.claims.drafting.context import Context, Contexts, side_of
from archaudit.claims.drafting.facts import Fact, Facts, Place, list_facts, list_shape_facts
from archaudit.claims.drafting.weighing import NEARLY, read_statement, weigh
from archaudit.metrics.quantities import format_exact
from archaudit.schema import Group, Profile, Verdict
from archaudit.schema.documents import Document, Number

_THRESHOLD = 0.4
# Facts whose weights differ by no more are alike; each doubling of their number makes a proposal less sure by so much.
_ALIKE, _OF_A_RIVAL = 0.02, 0.08
# How sure it is that a number that nothing fits is about what its neighbour is, of how sure that is.
_OF_A_COUNTERPART = 0.75

_Choice = tuple[float, Fact]


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
        measured = verdict.measured or (_write_measured(verdict.actual) if verdict.actual is not None else "nothing")
        finding = f"{verdict.finding}" + (f" ({verdict.reading})" if verdict.reading else "")
        rows = "\n".join(f"{key} = {_quote(value)}" for key, value in self.table.items())
        return f"{head}\n# confidence {self.confidence:.2f}; measured {_one_line(measured)}: {finding}\n[[claims]]\n{rows}\n"


def draft_claims(document: Document, before: Profile, after: Profile, groups: Iterable[Group] = ()) -> list[Draft]:
    """A draft for each number of the document, in order; `groups` are what was put in for what was taken out."""
    facts = list_facts(before, after, groups)
    shapes = list_shape_facts(before, after)
    index = Facts(facts)
    contexts = Contexts(document, {fact.place.path: fact.place for fact in facts}.values())
    chosen: list[_Choice | None] = []
    for number in document.numbers:
        best = _choose(number, contexts.read(number), index, shapes)
        chosen.append(best if best is not None and best[0] >= _THRESHOLD else None)
    _add_counterparts(document.numbers, chosen, facts)
    return [
        Draft(number=number, table={}, confidence=0)
        if choice is None
        else Draft(number=number, table=_make_table(number, choice[1]), confidence=min(choice[0], 0.99))
        for number, choice in zip(document.numbers, chosen, strict=True)
    ]


def _add_counterparts(numbers: Sequence[Number], chosen: list[_Choice | None], facts: Iterable[Fact]) -> None:
    """Gives a number that nothing fits what its neighbour is about, on the other side: one of the two is wrong, or fits by chance."""
    known = {(fact.metric, fact.place.path, fact.model): fact for fact in facts if fact.comparison == "equals" and not fact.place.paths}
    for place, number in enumerate(numbers):
        for near in (place - 1, place + 1):
            choice = chosen[near] if 0 <= near < len(numbers) else None
            if chosen[place] is not None or choice is None or choice[1].comparison != "equals" or not _are_sides(number, numbers[near]):
                continue
            found = known.get((choice[1].metric, choice[1].place.path, "before" if choice[1].model == "after" else "after"))
            if found is not None and choice[0] * _OF_A_COUNTERPART >= _THRESHOLD:
                chosen[place] = choice[0] * _OF_A_COUNTERPART, found


def _are_sides(one: Number, other: Number) -> bool:
    """Whether two numbers stand at both ends of an arrow, or under the heads of both sides in one row of a table."""
    if one.line != other.line or one.kind != other.kind:
        return False
    if one.role or other.role:
        return {one.role, other.role} == {"before", "after"}
    sides = {side_of(one.heading), side_of(other.heading)}
    return one.run.place == other.run.place == "table" and one.row_heading == other.row_heading and sides == {"before", "after"}


def _choose(number: Number, context: Context, facts: Facts, shapes: Iterable[Fact]) -> _Choice | None:
    """The fact that fits best, and how sure it is: less where others, of other modules or metrics, fit as well."""
    statement = read_statement(number, context)
    if statement is None:
        return None
    candidates = shapes if statement.figure is None else facts.find_near(statement.comparisons, statement.figure, NEARLY)
    weighed = [(weight, fact) for fact in candidates if (weight := weigh(statement, fact)) > 0]
    if not weighed:
        return None
    best = max(weighed, key=lambda each: each[0])
    rivals = {(fact.place.path, fact.metric) for weight, fact in weighed if weight > best[0] - _ALIKE and not _is_same(fact, best[1])}
    return best[0] - _OF_A_RIVAL * math.log2(1 + len(rivals)), best[1]


def _is_same(fact: Fact, other: Fact) -> bool:
    """Whether what is said of the other is said of this too: it is of the same module or of one inside; of settings, of any near."""
    if fact.metric != other.metric:
        return False
    if fact.metric.startswith("setting:"):
        return fact.place.path.partition(".")[0] == other.place.path.partition(".")[0]
    return fact.place.path == other.place.path or fact.place.path.startswith(f"{other.place.path}.")


def _make_table(number: Number, fact: Fact) -> dict[str, Any]:
    table: dict[str, Any] = {"figure": number.text.strip()} | ({"unit": number.unit} if number.unit else {})
    if number.run.section:
        table["source"] = number.run.section
    if number.run.text.count(number.text) == 1:
        table["near"] = _find_near(number)
    table |= {"model": fact.model, "metric": fact.metric}
    if fact.place.path:
        table["scope"] = _scope(fact.place)
    if fact.against is not None:
        table |= {"comparison": fact.comparison, "against": "before" if fact.model == "after" else "after"}
        if fact.against.path != fact.place.path:
            table["against_scope"] = _scope(fact.against)
    return table


def _write_measured(value: float) -> str:
    return format_exact(value) if float(value).is_integer() else f"{value:,.4g}"


def _scope(place: Place) -> str | list[str]:
    return [*place.paths] if len(place.paths) > 1 else place.path


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
