"""The score of a fact for a number: by its value, and by the metric, the modules and the side that the text names.

A value alone proves little: among thousands of facts some are equal to any small number. So a fact is proposed only if the words say what
the number counts, or if only one kind of fact is written in this form.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from archaudit.claims.binding import choose_comparison
from archaudit.claims.drafting.context import REDUCTION_WORDS, UNMEASURED, Context
from archaudit.claims.drafting.facts import Fact
from archaudit.schema import Quantity, parse_quantity
from archaudit.schema.documents import Number

# The parts of a score, which is at most 1. Tests hold these numbers against notes with known claims.
_VALUE_WEIGHT, _WORDS_WEIGHT, _SIDE_WEIGHT, _METRIC_WEIGHT = 0.35, 0.4, 0.1, 0.15
_WRONG_SIDE = -1.5  # of _SIDE_WEIGHT: a wrong side costs more than a missing one
_SAVES = re.compile(r"\b(?:sav(?:es|ed|ing)|remov(?:es|ed|ing)|cut by|reduc(?:es|ed) by|drops? by|fewer by)\b[^.]{0,24}\Z", re.IGNORECASE)
_LESS = re.compile(r"[\s*_)]*(?:[\w-]+ )?(?:less|fewer|more|saved|added)\b", re.IGNORECASE)
_NEAR_VALUE, _FAR_VALUE = 0.7, 0.6  # the score of a figure that is nearly right, and of one that is about an eighth off
_WITHIN_LIMIT = 0.9  # the score of a limit that holds
NEARLY = 0.5  # the largest deviation of a figure that is nearly right, as a share of the larger value
_BIG_METRICS = ("params", "macs", "flops")
# The score of the words that name a module: words of the section, of its type, of a module that contains it, the same for a setting (only
# layers have settings), and of the whole model if no module is named.
_SECTION_SCORE, _TYPE_SCORE, _PARENT_SCORE, _LAYER_SCORE, _MODEL_SCORE = 0.4, 0.15, 0.4, 0.85, 0.7
_OTHERS_PENALTY = 0.4  # the largest share that is lost if words of other modules' names are there, too
_NAMED, _WELL_NAMED = 0.15, 0.5  # below the first, no module is named; the second is required if no metric is named
_DEFAULT_METRIC_SCORE = 0.4  # of "params" if no metric is named
_DEPTH_PENALTY = 0.003  # for each dot in the path: of two facts that fit equally, the one closer to the root
_SMALLEST_COUNT = 1000  # below, a number without a unit is more likely a size than a count of parameters or operations
_COUNT_METRICS = {"params": ("params", "trainable_params"), "macs": ("macs",), "flops": ("flops",)}


class Statement(NamedTuple):
    """A number, its figure (None for a shape), the comparisons that it can state, and whether it is an amount that was saved or added."""

    number: Number
    figure: Quantity | None
    context: Context
    comparisons: tuple[str, ...]
    is_saved: bool


def read_statement(number: Number, context: Context) -> Statement | None:
    """The statement of a number in its context; None if archaudit does not measure its topic, or if it cannot be parsed."""
    if number.kind == "shape":
        return Statement(number, None, context, ("equals",), is_saved=False)
    try:
        figure = parse_quantity(f"{number.reading} {number.unit}".rstrip())
    except ValueError:
        return None
    if UNMEASURED in context.topics and figure.unit not in _COUNT_METRICS:
        return None
    kind = choose_comparison(figure.text)
    if kind != "difference":
        return Statement(number, figure, context, (kind,), is_saved=False)
    is_saved = figure.is_signed or bool(_SAVES.search(context.sentence.before) or _LESS.match(context.sentence.after))
    may_be_saved = is_saved or bool(context.near & REDUCTION_WORDS)
    comparisons = (*(() if is_saved else ("equals",)), *(("difference",) if may_be_saved else ()))
    return Statement(number, figure, context, comparisons, is_saved)


def score_fact(statement: Statement, fact: Fact) -> float:
    """The score of a fact, up to 1; 0 or less if it does not fit."""
    context, figure = statement.context, statement.figure
    metric = 1.0 if figure is None else _score_metric(figure, context, fact)
    value = 0 if metric < 0 else _score_value(statement, fact)
    if value <= 0:
        return 0
    words = _score_words(context, fact)
    if (metric == 0 and words < _WELL_NAMED) or (fact.scope.path and words < _NAMED):  # the metric or the module is not named
        return 0
    side = 1.0 if fact.model == context.side or not context.side else _WRONG_SIDE
    depth = 0 if fact.scope.paths else _DEPTH_PENALTY * fact.scope.path.count(".")
    return _VALUE_WEIGHT * value + _WORDS_WEIGHT * words + _SIDE_WEIGHT * side + _METRIC_WEIGHT * metric - depth


def _score_value(statement: Statement, fact: Fact) -> float:
    """1 for a fact that the figure can mean, less for one that is close to it, 0 for one of another kind."""
    figure = statement.figure
    if figure is None:
        return fact.fits_shape(statement.number.text)
    if not _may_state(figure, fact):
        return 0
    value = -fact.value if figure.is_signed and fact.comparison in ("percent", "difference") else fact.value
    if figure.relation:
        holds = {"<": value < figure.value, "<=": value <= figure.value}.get(figure.relation, value >= figure.value)
        return _WITHIN_LIMIT if holds and abs(value - figure.value) < NEARLY * figure.value else 0
    if figure.contains(value):
        return 1
    if fact.metric not in _BIG_METRICS:
        return 0
    size = max(abs(figure.value), abs(value))
    off = abs(figure.value - value) / size
    near = _NEAR_VALUE * (1 - off) ** 2 if off < NEARLY else 0
    # for an amount that was saved, a total is not nearly right
    return (
        0
        if near < _FAR_VALUE and "difference" in statement.comparisons and fact.comparison == "equals" and not statement.number.role
        else near
    )


def _may_state(figure: Quantity, fact: Fact) -> bool:
    """Whether the figure can state a fact of this kind, by its unit, its prefix and its size."""
    if figure.unit in _COUNT_METRICS:
        return fact.metric in _COUNT_METRICS[figure.unit]
    is_count = fact.comparison in ("equals", "difference")
    if is_count and (figure.unit == "bytes") != fact.metric.endswith("bytes"):
        return False
    if figure.scale > 1 or figure.unit == "bytes":
        return fact.metric in _BIG_METRICS or fact.metric.endswith("bytes")
    if not is_count or abs(figure.value) >= _SMALLEST_COUNT or fact.metric not in _BIG_METRICS:
        return True
    return figure.contains(fact.value) and fact.scope.path != "" and fact.comparison == "equals"


def _score_metric(figure: Quantity, context: Context, fact: Fact) -> float:
    """1 if the text names the metric, 0 if it names none, and less if it names another."""
    if figure.unit in _COUNT_METRICS or figure.unit == "bytes" or fact.metric in context.topics:
        return 1
    is_count = fact.comparison in ("equals", "difference")
    if is_count and abs(figure.value) >= _SMALLEST_COUNT and not context.topics & set(_BIG_METRICS):  # too large for a number of branches
        return _DEFAULT_METRIC_SCORE if fact.metric == "params" else 0
    if context.topics:
        return -1
    return _DEFAULT_METRIC_SCORE if fact.metric == "params" and not is_count and context.near & REDUCTION_WORDS else 0


def _score_words(context: Context, fact: Fact) -> float:
    """How well the text names the module: by its full name, or by words of its path, of which the last name counts most."""
    scope = fact.scope
    if not scope.path:
        return _MODEL_SCORE if context.is_whole or not context.near & context.top_words else 0
    if any(not name.isalpha() for name in scope.names & context.identifiers):
        return 1
    if any(scope.path.casefold().startswith(f"{name}.") for name in context.identifiers):
        return _LAYER_SCORE if fact.metric.startswith("setting:") else _PARENT_SCORE  # a count is usually about the module that is named
    far = context.far - context.near
    parts, last = (scope.top, scope.top) if fact.metric.startswith("setting:") else (scope.parts, scope.last)  # layers are rarely named
    matching = len(parts & context.near) + _SECTION_SCORE * len(parts & far)
    share = matching / len(parts) if parts else 0
    if not last & (context.near | far):
        share *= _PARENT_SCORE
    if context.named - parts:
        share *= 1 - _OTHERS_PENALTY * len(context.named - parts) / len(context.named)
    return min(share, _PARENT_SCORE if context.has_path else _LAYER_SCORE) + _TYPE_SCORE * bool(scope.type_words & context.near)
