"""Adds a draft to a file of claims that a person has edited: what is there stays as it is, byte for byte."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from archaudit.schema.spelling import normalize_number

_BLOCK = re.compile(r"^\[\[(?:claims|tables)\]\][^\n]*$", re.MULTILINE)
_TABLE_METRICS = ("params", "macs", "flops", "param_bytes")


class Merged(NamedTuple):
    """The text of the file, how many tables were kept, and the texts of those that are new."""

    text: str
    kept: int
    added: tuple[str, ...]


def merge_draft(existing: str, draft: str) -> Merged:
    """The existing file with the claims of the draft that it does not have yet.

    A claim is the same if it is about the same figure in the same place, even if it says something else about it; a table, if it has the
    same name column and one of the same columns. Raises ValueError if the existing file is not TOML.
    """
    content = tomllib.loads(existing)
    known = {_identify(each) for each in content.get("claims", ())}
    columns = [_list_columns(each) for each in content.get("tables", ())]
    added = []
    for block in _split_blocks(draft):
        parsed = tomllib.loads(block)
        claims, tables = parsed.get("claims", []), parsed.get("tables", [])
        if (claims and _identify(claims[0]) not in known) or (tables and not any(_list_columns(tables[0]) & each for each in columns)):
            added.append(block)
    separator = "" if not existing or existing.endswith("\n\n") else "\n" if existing.endswith("\n") else "\n\n"
    text = existing + (separator + "\n".join(added) if added else "")
    return Merged(text, len(known) + len(columns), tuple(added))


def _split_blocks(draft: str) -> Iterable[str]:
    """The tables of a draft, each with the comments above it. Comments that belong to no table are left out."""
    start = 0
    for found in _BLOCK.finditer(draft):
        following = re.compile(r"\n\s*\n|\Z").search(draft, found.end())
        assert following is not None
        comments = re.search(r"(?:^#[^\n]*\n)*\Z", draft[start : found.start()], re.MULTILINE)
        first = start + comments.start() if comments is not None else found.start()
        yield draft[first : following.start()].strip("\n") + "\n"
        start = following.end()


def _identify(claim: Mapping[str, Any]) -> tuple[str, str, str]:
    figure = normalize_number(str(claim.get("figure", ""))).casefold()
    return figure, str(claim.get("source", "")), str(claim.get("near", ""))


def _list_columns(table: Mapping[str, Any]) -> frozenset[tuple[str, str, str]]:
    name, section = str(table.get("name", "")).casefold(), str(table.get("section", ""))
    return frozenset((section, name, str(table[metric]).casefold()) for metric in _TABLE_METRICS if metric in table)
