"""Drafts of claims: what each number of a document may be about, proposed from the measured models. The author must confirm them.

The candidates are all facts of the two models that the number can state. A fact gets a score for its value, for the words near the number
(the path and type of a module, the name of a setting or metric), and for the side that the text is about. Below a threshold of confidence
there is no proposal: a wrong claim is worse than none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from archaudit.claims.columns import find_side
from archaudit.claims.drafting.context import Context, Contexts
from archaudit.claims.drafting.facts import Fact, Facts, Scope, list_facts, list_shape_facts
from archaudit.claims.drafting.scoring import NEARLY, read_statement, score_fact
from archaudit.claims.named_figures import NamedFigure
from archaudit.claims.named_sides import OTHER_MODEL, find_named_sides, list_stated
from archaudit.metrics.quantities import format_exact
from archaudit.schema import Group, Profile, Verdict
from archaudit.schema.documents import Document, Number

_THRESHOLD = 0.4
# Facts whose scores differ by at most the first are alternatives. Each doubling of their number lowers the confidence by the second.
_SCORE_TOLERANCE, _ALTERNATIVES_PENALTY = 0.02, 0.08
_LONGEST_ROW = 300  # characters of a table's row that identify it
_LONGEST_NEAR = 60  # characters of the text that identifies a number
# The confidence of a number without a fitting fact that gets the metric of its neighbour, as a share of the neighbour's confidence.
_COUNTERPART_SHARE = 0.75
_STATED = 0.95  # the confidence where the document names both the model and the metric

_Choice = tuple[float, Fact]


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """One number and the proposed claim: the keys of its table, empty if there is no proposal."""

    number: Number
    table: dict[str, Any]
    confidence: float

    def format_toml(self, verdict: Verdict | None) -> str:
        """The claim as TOML, after a comment with the line of the number, the confidence of the proposal, and the measured value."""
        number = self.number
        head = f"# line {number.line}: {shorten_line(number.run.whole)}"
        if verdict is None:
            figure = quote_value(number.reading)
            return f'{head}\n# no proposal; add a metric, or say why it is exempt:\n# [[claims]]\n# figure = {figure}\n# exempt = ""\n'
        measured = verdict.measured or (_format_value(verdict.actual) if verdict.actual is not None else "nothing")
        finding = f"{verdict.finding}" + (f" ({verdict.reading})" if verdict.reading else "")
        rows = "\n".join(f"{key} = {quote_value(value)}" for key, value in self.table.items())
        return f"{head}\n# confidence {self.confidence:.2f}; measured {shorten_line(measured)}: {finding}\n[[claims]]\n{rows}\n"


def draft_claims(
    document: Document, before: Profile, after: Profile, groups: Iterable[Group] = (), names: Mapping[str, str] | None = None
) -> list[Draft]:
    """A draft for each number of the document, in order. `groups` are the groups of modules that replace others.

    `names` has the names of the two models, each with its side, `before` or `after`. Where the document names a model for a number, the
    number is about that model; a number beside another name gets no proposal.
    """
    named = find_named_sides(document, names or {})
    stated = list_stated(document, names or {})
    facts = list_facts(before, after, groups)
    shapes = list_shape_facts(before, after)
    index = Facts(facts)
    contexts = Contexts(document, {fact.scope.path: fact.scope for fact in facts}.values())
    chosen: list[_Choice | None] = []
    for number in document.numbers:
        place = (number.line, number.column)
        if named.get(place) == OTHER_MODEL or place in stated:
            chosen.append(None)
            continue
        best = _choose(number, _set_side(contexts.read(number), named.get(place)), index, shapes)
        if best is not None and place in named and best[1].model != named[place] and best[1].comparison == "equals":
            best = None
        chosen.append(best if best is not None and best[0] >= _THRESHOLD else None)
    _add_counterparts(document.numbers, chosen, facts)
    return [
        _draft_stated(stated[number.line, number.column])
        if (number.line, number.column) in stated
        else Draft(number=number, table={}, confidence=0)
        if choice is None
        else Draft(number=number, table=_make_table(number, choice[1]), confidence=min(choice[0], 0.99))
        for number, choice in zip(document.numbers, chosen, strict=True)
    ]


def _draft_stated(figure: NamedFigure) -> Draft:
    """The draft for a figure whose row or sentence names its model and metric: whether it is true does not matter."""
    assert figure.resolved.entry is not None
    number = msgspec.structs.replace(figure.number, unit=figure.unit)
    fact = Fact(model=figure.resolved.entry.reference, metric=figure.metric, scope=Scope())
    return Draft(number=figure.number, table=_make_table(number, fact), confidence=_STATED)


def _set_side(context: Context, side: str | None) -> Context:
    return context if side is None else context._replace(side=side)


def _add_counterparts(numbers: Sequence[Number], chosen: list[_Choice | None], facts: Iterable[Fact]) -> None:
    """Gives a number without a fitting fact the metric of its neighbour, for the other model: the number may be wrong."""
    known = {(fact.metric, fact.scope.path, fact.model): fact for fact in facts if fact.comparison == "equals" and not fact.scope.paths}
    for position, number in enumerate(numbers):
        for near in (position - 1, position + 1):
            choice = chosen[near] if 0 <= near < len(numbers) else None
            if chosen[position] is not None or choice is None or choice[1].comparison != "equals" or not _are_sides(number, numbers[near]):
                continue
            found = known.get((choice[1].metric, choice[1].scope.path, "before" if choice[1].model == "after" else "after"))
            if found is not None and choice[0] * _COUNTERPART_SHARE >= _THRESHOLD:
                chosen[position] = choice[0] * _COUNTERPART_SHARE, found


def _are_sides(one: Number, other: Number) -> bool:
    """Whether two numbers are the two sides of an arrow, or of one row in a table with a column for each model."""
    if one.line != other.line or one.kind != other.kind:
        return False
    if one.role or other.role:
        return {one.role, other.role} == {"before", "after"}
    sides = {find_side(one.heading), find_side(other.heading)}
    return one.run.place == other.run.place == "table" and one.row_heading == other.row_heading and sides == {"before", "after"}


def _choose(number: Number, context: Context, facts: Facts, shapes: Iterable[Fact]) -> _Choice | None:
    """The fact with the best score, and the confidence, which is lower if facts of other modules or metrics fit as well."""
    statement = read_statement(number, context)
    if statement is None:
        return None
    candidates = shapes if statement.figure is None else facts.find_near(statement.comparisons, statement.figure, NEARLY)
    scored = [(score, fact) for fact in candidates if (score := score_fact(statement, fact)) > 0]
    if not scored:
        return None
    best = max(scored, key=lambda each: each[0])
    alternatives = {
        (fact.scope.path, fact.metric) for score, fact in scored if score > best[0] - _SCORE_TOLERANCE and not _is_same(fact, best[1])
    }
    return best[0] - _ALTERNATIVES_PENALTY * math.log2(1 + len(alternatives)), best[1]


def _is_same(fact: Fact, other: Fact) -> bool:
    """Whether two facts are of the same metric and module, or of a module inside; for settings, of the same top-level module."""
    if fact.metric != other.metric:
        return False
    if fact.metric.startswith("setting:"):
        return fact.scope.path.partition(".")[0] == other.scope.path.partition(".")[0]
    return fact.scope.path == other.scope.path or fact.scope.path.startswith(f"{other.scope.path}.")


def _make_table(number: Number, fact: Fact) -> dict[str, Any]:
    table: dict[str, Any] = {"figure": number.reading.strip()} | ({"unit": number.unit} if number.unit else {})
    if number.run.section:
        table["source"] = number.run.section
    if number.run.text.count(number.text) == 1:
        table["near"] = _find_near(number)
    table |= {"model": fact.model, "metric": fact.metric}
    if fact.scope.path:
        table["scope"] = _format_scope(fact.scope)
    if fact.against is not None:
        table |= {"comparison": fact.comparison, "against": "before" if fact.model == "after" else "after"}
        if fact.against.path != fact.scope.path:
            table["against_scope"] = _format_scope(fact.against)
    return table


def _format_value(value: float) -> str:
    return format_exact(value) if float(value).is_integer() else f"{value:,.4g}"


def _format_scope(scope: Scope) -> str | list[str]:
    return [*scope.paths] if len(scope.paths) > 1 else scope.path


def _find_near(number: Number) -> str:
    """The text that identifies the number: the whole line if it is short, else the words before the number."""
    if number.run.place == "table":  # the row: its first cells distinguish it from others
        return number.run.whole.strip()[:_LONGEST_ROW].strip()
    text = number.run.text.strip()
    if len(text) <= _LONGEST_NEAR and text in number.run.whole:
        return text
    end = number.column - number.run.column + len(number.text)
    return number.run.whole[max(0, end - _LONGEST_NEAR) : end].strip()


def quote_value(value: object) -> str:
    """A TOML value. JSON's strings and lists of strings are valid TOML, except for the character DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def shorten_line(text: str) -> str:
    """A text on one line of a comment."""
    shown = "".join(character if character.isprintable() else " " for character in text.strip())
    return shown if len(shown) <= 100 else shown[:99] + "…"
