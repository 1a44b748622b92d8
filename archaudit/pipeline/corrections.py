"""Corrections of documents and files of claims: false figures replaced by measured ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from archaudit.claims.binding import LocatedClaims
from archaudit.claims.fixing import find_separator, format_like, format_shape_like, replace_claimed_figure, replace_numbers
from archaudit.metrics.selection import select_named
from archaudit.pipeline.claim_sources import Claims, Origin
from archaudit.schema import Check, Profile, Record, Verdict
from archaudit.schema.documents import Document, Number


class Correction(Record, frozen=True, kw_only=True):
    """One file as it is and as it should be."""

    path: str
    before: str
    after: str


def correct_document(
    path: Path,
    document: Document,
    claims: Claims,
    judged: Iterable[tuple[Check, Verdict]],
    found: tuple[LocatedClaims, Mapping[str, Profile]],
) -> Iterable[Correction]:
    """The document and the files of claims, with each false figure replaced that exactly one number states and that is not expected."""
    located, profiles = found
    replacements: list[tuple[Number, str]] = []
    files: dict[Path, tuple[str, str]] = {}
    for check, verdict in judged:
        numbers = located.numbers[check.id]
        if verdict.finding != "false" or verdict.outcome != "failed" or len(numbers) != 1 or not _is_alone(numbers[0], document):
            continue
        text = _correct_number(numbers[0], check, verdict, profiles)
        origin = claims.origins.get(check.id)
        if text is None or (origin is not None and not _correct_file(files, origin, check, text)):
            continue
        replacements.append((numbers[0], text))
    if replacements:
        yield Correction(path=str(path), before=document.text, after=replace_numbers(document, replacements))
    for file, (before, after) in files.items():
        yield Correction(path=str(file), before=before, after=after)


def _is_alone(number: Number, document: Document) -> bool:
    """Whether a number is certain to be a whole figure: not next to digits, and the only one in its cell of a table."""
    line, start = number.run.whole, number.column - 1
    end = start + len(number.text)
    if re.search(r"\d[.,'’]\Z", line[:start]) or re.match(r"[.,'’]\d", line[end:]):
        return False
    run = number.run
    cell = (run.table, run.row, run.cell)
    return run.table < 0 or sum((each.run.table, each.run.row, each.run.cell) == cell for each in document.numbers) == 1


_ROUNDED = re.compile(r"\d+?(0{3,})")  # 25030000 in an index of models is rounded


def _correct_number(number: Number, check: Check, verdict: Verdict, profiles: Mapping[str, Profile]) -> str | None:
    """The measured value as the document writes the number, with its own decimal point, groups of digits and zeros at the end."""
    if (zeros := _ROUNDED.fullmatch(number.text)) and check.written == number.reading and verdict.actual is not None:
        step = 10 ** len(zeros[1])
        return str(round(verdict.actual / step) * step)
    separator = find_separator(number.text, number.reading)
    if separator is None:
        return _format_measured(number.text, check, verdict, profiles)
    text = _format_measured(number.reading, check, verdict, profiles)
    return None if text is None else text.replace(*separator)


def _format_measured(figure: str, check: Check, verdict: Verdict, profiles: Mapping[str, Profile]) -> str | None:
    """The measured value written like `figure`; None where that is not possible, and a person has to correct it."""
    if verdict.actual is not None:
        try:
            whole = format_like(f"{figure}{check.expected[len(check.written) :]}" if check.written else figure, verdict.actual)
        except (ValueError, ArithmeticError):  # the document's text is not a figure, or has too many digits
            return None
        return whole[: len(whole) - len(check.expected) + len(check.written)] if whole and check.written else whole
    if check.metric == "shape" and len(check.scope) == 1:
        profile = profiles[check.model]
        shapes = [shape for module in select_named(profile, check.scope) for call in module.calls for shape in call.outputs]
        image = next((record.shape for record in profile.inputs if len(record.shape) == 4), None)
        if image is not None and len(set(shapes)) == 1:
            return format_shape_like(figure, shapes[0], {"B": image[0], "N": image[0], "H": image[2], "W": image[3]})
    return None


def _correct_file(files: dict[Path, tuple[str, str]], origin: Origin, check: Check, figure: str) -> bool:
    """Changes the claim's own figure; False if it is not found: then the document must not change either."""
    if origin.path not in files:
        try:
            text = origin.path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError):
            return False
        files[origin.path] = (text, text)
    before, now = files[origin.path]
    changed = replace_claimed_figure(now, origin.position, check.written or check.expected, figure)
    if changed is not None:
        files[origin.path] = (before, changed)
    elif before == now:
        del files[origin.path]
    return changed is not None
