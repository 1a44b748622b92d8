"""What modules run otherwise, in sentences: one for all blocks that changed alike."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from archaudit.index import fold_numbered
from archaudit.schema import ForwardChange, ModuleDiff

# So many modules are named one by one, and so many calls are in one sentence.
_MOST_NAMED = 3
_MOST_CALLS = 6
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


def describe_own_changes(rows: Iterable[ModuleDiff]) -> list[str]:
    """`in each of 12 blocks: relu → gelu (blocks.*)`; `head: softmax: dim 1 → -1`."""
    alike: defaultdict[ForwardChange, list[str]] = defaultdict(list)
    for row in rows:
        for change in row.forward_changes or ():
            alike[change].append(row.after_path or "")
    plain: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    calls: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for change, paths in alike.items():
        (calls if change.kind == "call" else plain)[tuple(paths)].append(_write_change(change))
    sentences = [_write_folded(paths, *each) for paths, texts in plain.items() for each in fold_numbered(texts)]
    for callers, found in calls.items():
        texts = [_write_folded(("",), *each) for each in fold_numbered(found)]
        if callers == ("",):
            sentences += texts
            continue
        more = [f"{len(texts) - _MOST_CALLS} more modules with other inputs"] if len(texts) > _MOST_CALLS else []
        sentences.append(_write(callers, "; ".join([*texts[:_MOST_CALLS], *more])))
    return sentences


def _write_folded(paths: Sequence[str], text: str, texts: Sequence[str]) -> str:
    """`in each of 12 blocks: add(add, layers.*.1) added` for texts of one module that are about its blocks."""
    if len(texts) == 1:
        return _write(paths, text)
    where = f"{paths[0]}, " if len(paths) == 1 and paths[0] else ""
    return f"{where}in each of {len(texts)} blocks: {text}" if len(paths) == 1 else _write(paths, f"{text} ({len(texts)} times)")


def _write_change(change: ForwardChange) -> str:
    return change.text if change.count == 1 else f"{change.text} ({change.count} times)"


def _write(paths: Sequence[str], text: str) -> str:
    if len(paths) == 1:
        return f"{paths[0]}: {text}" if paths[0] else text
    pattern = write_pattern(paths)
    if pattern:
        return f"in each of {len(paths)} blocks: {text} ({pattern})"
    if len(paths) <= _MOST_NAMED:
        return f"in {', '.join(path or 'the model' for path in paths[:-1])} and {paths[-1]}: {text}"
    return f"in each of {len(paths)} modules: {text} ({paths[0] or 'the model'}, {paths[1]}, … {paths[-1]})"


def write_pattern(paths: Sequence[str]) -> str:
    """`blocks.*.mlp` for paths that differ in numbers only; empty for others. A number that is the same in all stays."""
    shapes = {_NUMBER.sub("*", path) for path in paths}
    if len(shapes) != 1 or "*" not in next(iter(shapes)):
        return ""
    parts = [set(column) for column in zip(*(path.split(".") for path in paths), strict=True)]
    return ".".join(next(iter(names)) if len(names) == 1 else "*" for names in parts)
