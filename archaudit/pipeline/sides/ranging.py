"""`archaudit compare main..HEAD REF`: one model at two revisions."""

from __future__ import annotations

from pathlib import Path

import msgspec

from archaudit.errors import RevisionError
from archaudit.load.reference import parse_reference
from archaudit.pipeline.options import Options
from archaudit.pipeline.sides.targets import Target, resolve


def resolve_pair(before: str, after: str, options: Options) -> list[Target]:
    """The two sides of a comparison: two references, or a range of revisions and one reference. The model at the range's end stands for the
    model as it is: what is asked of it by name is asked of this side."""
    ends = _read_range(before)
    if ends is None:
        return [_resolve_side(text, options) for text in (before, after)]
    reference = parse_reference(after)
    if reference.revision:
        raise RevisionError(f"{after} names a revision, and {before} two", "Name the model without a revision after a range.")
    sides = [resolve(f"{after}@{end}", options.config, options.inputs) for end in ends]
    return [sides[0], msgspec.structs.replace(sides[1], key=reference.base)]


def _resolve_side(text: str, options: Options) -> Target:
    """A side that cannot be run on another input stands beside one that is."""
    inputs = () if parse_reference(text).kind in ("saved", "weights") else options.inputs
    return resolve(text, options.config, inputs, allow_pickle=options.allow_pickle)


def _read_range(text: str) -> tuple[str, str] | None:
    if ".." not in text or text.endswith(".json"):
        return None
    from archaudit.revisions import find_repository, parse_range

    asked = parse_range(text)
    if asked is None:
        return None
    if not asked.parted:
        return asked.start, asked.end
    repository = find_repository(Path.cwd())
    return asked.find_ends(repository)[0], asked.end
