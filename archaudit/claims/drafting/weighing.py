"""How well a fact fits a number: by its value, by what the text counts, by the modules that are named, and by the side that is meant.

A value alone proves little: among thousands of facts some equal any small number. So a number is bound to a fact only where the words say
what it counts, or where it is written as only one kind of fact is.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from archaudit.claims.binding import choose_comparison
from archaudit.claims.drafting.context import FOREIGN, LESSENING, Context
from archaudit.claims.drafting.facts import Fact
from archaudit.schema import Quantity, parse_quantity
from archaudit.schema.documents import Number

# The shares of a weight, which is at most 1.
_OF_VALUE, _OF_WORDS, _OF_SIDE, _OF_METRIC = 0.35, 0.4, 0.1, 0.15
_WRONG_SIDE = -1.5  # of the share: worse than an unnamed one is good
_SAVES = re.compile(r"\b(?:sav(?:es|ed|ing)|remov(?:es|ed|ing)|cut by|reduc(?:es|ed) by|drops? by|fewer by)\b[^.]{0,24}\Z", re.IGNORECASE)
_LESS = re.compile(r"[\s*_)]*(?:[\w-]+ )?(?:less|fewer|more|saved|added)\b", re.IGNORECASE)
_NEAR_VALUE, _BARELY = 0.7, 0.6  # what a figure that is nearly right counts for, and one that is some eighth off
_WITHIN = 0.9  # what a limit that is kept counts for
NEARLY = 0.5  # how far off, at most, a figure may be to count as nearly right, as a share of the larger
_BIG_METRICS = ("params", "macs", "flops")
# How far a module is named: by words of its section, by its type, by the name of what it is part of, the same for settings, which only
# layers have; and the whole model, where no module is.
_OF_A_SECTION, _OF_A_KIND, _OF_A_PART, _OF_A_LAYER, _OF_THE_MODEL = 0.4, 0.15, 0.4, 0.85, 0.7
_OF_OTHERS = 0.4  # what of that is lost, at most, where words of other modules' names are said too
_NAMED, _WELL_NAMED = 0.15, 0.5  # below the first a module is not named at all; the second is wanted where no metric is
_UNSAID = 0.4  # how well "parameters" fits where no metric is named
_SMALLEST_COUNT = 1000  # below it a bare number is rather a size than a count of parameters or operations
_COUNT_METRICS = {"params": ("params", "trainable_params"), "macs": ("macs",), "flops": ("flops",)}


class Statement(NamedTuple):
    """What a number says: its figure (None of a shape), the ways of comparing that it may be about, and whether it is plainly one of what
    was saved or added."""

    number: Number
    figure: Quantity | None
    context: Context
    comparisons: tuple[str, ...]
    is_saved: bool


def read_statement(number: Number, context: Context) -> Statement | None:
    """What a number says in its context; None where it is about nothing that is measured, or cannot be read."""
    if number.kind == "shape":
        return Statement(number, None, context, ("equals",), is_saved=False)
    try:
        figure = parse_quantity(f"{number.text} {number.unit}".rstrip())
    except ValueError:
        return None
    if FOREIGN in context.topics and figure.unit not in _COUNT_METRICS:
        return None
    kind = choose_comparison(figure.text)
    if kind != "difference":
        return Statement(number, figure, context, (kind,), is_saved=False)
    is_saved = figure.is_signed or bool(_SAVES.search(context.sentence.before) or _LESS.match(context.sentence.behind))
    may_be_saved = is_saved or bool(context.near & LESSENING)
    comparisons = (*(() if is_saved else ("equals",)), *(("difference",) if may_be_saved else ()))
    return Statement(number, figure, context, comparisons, is_saved)


def weigh(statement: Statement, fact: Fact) -> float:
    """How well a fact fits, up to 1; 0 or less where it does not."""
    context, figure = statement.context, statement.figure
    metric = 1.0 if figure is None else _weigh_metric(figure, context, fact)
    value = 0 if metric < 0 else _weigh_value(statement, fact)
    if value <= 0:
        return 0
    words = _weigh_words(context, fact)
    if (metric == 0 and words < _WELL_NAMED) or (fact.place.path and words < _NAMED):  # not said what is counted, or not of what
        return 0
    side = 1.0 if fact.model == context.side or not context.side else _WRONG_SIDE
    depth = 0 if fact.place.paths else 0.003 * fact.place.path.count(".")  # of two that fit alike, the one nearer the root
    return _OF_VALUE * value + _OF_WORDS * words + _OF_SIDE * side + _OF_METRIC * metric - depth


def _weigh_value(statement: Statement, fact: Fact) -> float:
    """1 for a fact that would be written so, less for one that is nearly so; 0 for one of another kind."""
    figure = statement.figure
    if figure is None:
        return fact.fits_shape(statement.number.text)
    if not _may_state(figure, fact):
        return 0
    value = -fact.value if figure.is_signed and fact.comparison in ("percent", "difference") else fact.value
    if figure.relation:
        holds = {"<": value < figure.value, "<=": value <= figure.value}.get(figure.relation, value >= figure.value)
        return _WITHIN if holds and abs(value - figure.value) < NEARLY * figure.value else 0
    if figure.contains(value):
        return 1
    if fact.metric not in _BIG_METRICS:
        return 0
    size = max(abs(figure.value), abs(value))
    off = abs(figure.value - value) / size
    near = _NEAR_VALUE * (1 - off) ** 2 if off < NEARLY else 0
    # of what is saved, no total is nearly right
    return (
        0
        if near < _BARELY and "difference" in statement.comparisons and fact.comparison == "equals" and not statement.number.role
        else near
    )


def _may_state(figure: Quantity, fact: Fact) -> bool:
    """Whether a figure written so may be about a fact of that kind: by its unit, its prefix, its size."""
    if figure.unit in _COUNT_METRICS:
        return fact.metric in _COUNT_METRICS[figure.unit]
    is_count = fact.comparison in ("equals", "difference")
    if is_count and (figure.unit == "bytes") != fact.metric.endswith("bytes"):
        return False
    if figure.scale > 1 or figure.unit == "bytes":
        return fact.metric in _BIG_METRICS or fact.metric.endswith("bytes")
    if not is_count or abs(figure.value) >= _SMALLEST_COUNT or fact.metric not in _BIG_METRICS:
        return True
    return figure.contains(fact.value) and fact.place.path != "" and fact.comparison == "equals"


def _weigh_metric(figure: Quantity, context: Context, fact: Fact) -> float:
    """1 where the text says that this is counted, 0 where it says nothing, less where it says that something else is."""
    if figure.unit in _COUNT_METRICS or figure.unit == "bytes" or fact.metric in context.topics:
        return 1
    is_count = fact.comparison in ("equals", "difference")
    if is_count and abs(figure.value) >= _SMALLEST_COUNT and not context.topics & set(_BIG_METRICS):  # too large for a number of branches
        return _UNSAID if fact.metric == "params" else 0
    if context.topics:
        return -1
    return _UNSAID if fact.metric == "params" and not is_count and context.near & LESSENING else 0


def _weigh_words(context: Context, fact: Fact) -> float:
    """How far the module is named by the text: by its full name, or by words of its path, of which the last name's say most."""
    place = fact.place
    if not place.path:
        return _OF_THE_MODEL if context.is_whole or not context.near & context.strangers else 0
    if any(not name.isalpha() for name in place.names & context.identifiers):
        return 1
    if any(place.path.casefold().startswith(f"{name}.") for name in context.identifiers):
        return _OF_A_LAYER if fact.metric.startswith("setting:") else _OF_A_PART  # of counts, the whole is what is named
    far = context.far - context.near
    parts, last = (place.top, place.top) if fact.metric.startswith("setting:") else (place.parts, place.last)  # layers are seldom named
    said = len(parts & context.near) + _OF_A_SECTION * len(parts & far)
    share = said / len(parts) if parts else 0
    if not last & (context.near | far):
        share *= _OF_A_PART
    if context.named - parts:
        share *= 1 - _OF_OTHERS * len(context.named - parts) / len(context.named)
    return min(share, _OF_A_PART if context.has_path else _OF_A_LAYER) + _OF_A_KIND * bool(place.kinds & context.near)
