"""Bindings written into a document: a comment behind a number says what it is about.

    6.83M <!-- claim: params before -->
    31.6x <!-- claim: params after of decoder_stage1 vs before of decoder.0 + decoder.1 -->
    42x <!-- claim: params after of stage vs before of decoder.0, expect false: it was never measured -->
    512 <!-- claim: exempt: the size of the training images -->

The grammar, in one line (what is in brackets may be left out; a name with a space in it cannot be written so):

    claim: METRIC [in UNIT] [MODEL] [of PATH [+ PATH]...] [vs MODEL [of PATH [+ PATH]...]] [, expect false|other reading: WHY]
    claim: exempt: WHY

With `vs`, a figure in x is a ratio, one in % a percentage, any other a difference. A comment is about the nearest number before it on its
line. A binding that gives a number where the metric belongs is refused: the evidence of a claim is the model, never the document.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from archaudit.claims.records import Binding, Number
from archaudit.errors import ConfigError

_COMMENT = re.compile(r"<!--\s*claim:(.*?)-->", re.IGNORECASE)
_EXPECT = re.compile(r",\s*expect\s+(false|other reading)\s*:\s*(.*)\Z", re.IGNORECASE)
_SIDE = r"(?:\s+of\s+(?P<{0}>\S+(?:\s*\+\s*\S+)*))?"
_ABOUT = re.compile(
    r"(?P<metric>[^\s,]+)(?:\s+in\s+(?P<unit>\w+))?(?:\s+(?!of\b|vs\b)(?P<model>[\w-]+))?"
    + _SIDE.format("scope")
    + r"(?:\s+vs\s+(?P<against>[\w-]+)"
    + _SIDE.format("against_scope")
    + r")?\s*"
)
_FORM = "Write: claim: METRIC [in UNIT] [MODEL] [of PATH] [vs MODEL [of PATH]] [, expect false: WHY], or claim: exempt: WHY."


def find_bindings(lines: Iterable[str], numbers: Iterable[Number], name: str) -> list[Binding]:
    """The bindings in a document's lines of prose, each with the figure of the number before it. Raises ConfigError."""
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
    """The table of a claim, as the config would have it."""
    table: dict[str, Any] = {"figure": _strip_figure(number), "source": number.run.section or f"line {number.line}"}
    if text.casefold().startswith("exempt"):
        reason = text[len("exempt") :].lstrip(": ").strip()
        if not reason:
            raise ConfigError(f"{where}: {text!r} does not say why", "Write: claim: exempt: WHY.")
        return table | {"exempt": reason}
    if expectation := _EXPECT.search(text):
        table |= {"expect": expectation[1].casefold(), "why": expectation[2].strip()}
        text = text[: expectation.start()]
    if re.match(r"[~<>≈]?\s*[\d.]", text):
        raise ConfigError(
            f"{where}: {text[:60]!r} gives a figure as the evidence of a figure: a document cannot prove itself", "Name a metric. " + _FORM
        )
    about = _ABOUT.fullmatch(text.strip())
    if about is None:
        raise ConfigError(f"{where}: {text[:60]!r} is no binding", _FORM)
    for key in ("metric", "unit", "model", "against"):
        if about[key]:
            table[key] = about[key]
    for key in ("scope", "against_scope"):
        if about[key]:
            table[key] = [part.strip() for part in about[key].split("+")]
    if about["against"] and not about["metric"].startswith("presence"):
        table["comparison"] = choose_comparison(table["figure"])
    return table


def choose_comparison(figure: str) -> str:
    """What a figure about two models is, by the way it is written: `42x` a ratio, `63%` a percentage, else a difference."""
    figure = figure.rstrip()
    if figure.endswith(("%", "percent")):
        return "percent"
    return "ratio" if figure.endswith(("x", "×", "times")) else "difference"


def _strip_figure(number: Number) -> str:
    return number.text.strip()
