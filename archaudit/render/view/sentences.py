"""What changed, in two sentences: what the change comes to, and what was done to the modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from archaudit.metrics.quantities import format_pair, format_percent, format_ratio, format_signed
from archaudit.render.formatting import ARROW, format_repeats, join_names, make_visible, name_path
from archaudit.schema import Equivalence, Group, ModuleDiff, ModuleRecord, Report

_MOST_NAMED = 3
# Of these it matters which modules they are, of others rather how many.
_NAMED = frozenset({"resized", "tied", "untied", "frozen", "unfrozen", "reordered"})
# Kinds of change in the order in which they are told, and what is said of a module that changed so.
_KINDS = {
    "added": "added",
    "removed": "removed",
    "replaced": "replaced",
    "settings": "with changed settings",
    "resized": "with resized tensors",
    "dtype": "with another dtype",
    "tied": "newly tied",
    "untied": "no longer tied",
    "frozen": "frozen",
    "unfrozen": "no longer frozen",
    "renamed": "renamed",
    "moved": "moved",
    "wrapped": "wrapped",
    "unwrapped": "unwrapped",
    "split": "split",
    "merged": "merged",
    "reordered": "reordered",
    "repeated": "with another number of blocks",
    "rewired": "with other inputs",
}


def explain_cost(report: Report) -> str:
    """`2.71x fewer parameters (6.83M → 2.52M) and 10.3x fewer FLOPs (52.7G → 5.10G); 71.1 % of the parameter change is in ASPP.`"""
    before, after = report.before.totals, report.after.totals
    params = _describe_change(before.params, after.params, "parameters")
    if report.flops_complete:
        params += f" and {_describe_change(before.flops, after.flops, 'FLOPs')}"
    parts = [f"{params}{_find_largest(report)}."]
    if after.trainable_params - before.trainable_params != after.params - before.params:
        parts.append(f"Of the parameters {_describe_trainable(before.trainable_params, after.trainable_params)}.")
    if before.param_bytes * after.params != after.param_bytes * before.params:
        parts.append(f"{_describe_bytes(before.param_bytes, after.param_bytes)}.")
    if not report.flops_complete:
        parts.append("The FLOPs are incomplete and cannot be compared.")
    elif _list_shapes(report, 0) != _list_shapes(report, 1):
        parts.append("The two sides ran on inputs of different shapes, which changes their FLOPs.")
    return " ".join(parts)


def _list_shapes(report: Report, side: int) -> list[tuple[int, ...]]:
    return [each.shape for each in (report.before, report.after)[side].inputs]


def _describe_trainable(before: int, after: int) -> str:
    first, second = format_pair(before, after)
    return f"{first} {ARROW} {second} are trainable"


def _describe_bytes(before: int, after: int) -> str:
    first, second = format_pair(before, after, "bytes")
    return f"The parameters take {first} {ARROW} {second} ({format_ratio(before, after)})"


def _describe_change(before: int, after: int, noun: str) -> str:
    if before == after:
        return f"The same number of {noun}" if noun == "parameters" else f"the same number of {noun}"
    first, second = format_pair(before, after)
    ratio = format_ratio(before, after)
    return f"{ratio} {noun} ({first} {ARROW} {second})" if ratio[0] in "<0123456789" else f"{noun} {first} {ARROW} {second}"


def _find_largest(report: Report) -> str:
    """Which section most of the parameters' change is in; nothing to say when it is spread or cancels out."""
    change = report.delta.params
    if change == 0 or not report.groups:
        return ""

    def share(group: Group) -> float:
        return group.delta.params / change

    largest = max(report.groups, key=share)
    if share(largest) < 0.5:
        return ""
    name = make_visible(largest.name)
    if share(largest) > 1:  # a share of what is left after others took some of it back would be no share
        there, rest = format_signed(largest.delta.params), format_signed(change - largest.delta.params)
        return f"; parameters changed by {there} in {name} and by {rest} in the rest"
    return f"; {format_percent(share(largest))} of the parameter change is in {name}"


def explain_proof(found: Equivalence | None) -> str:
    """The verdict and its reason, which names the first module; what was allowed, where that was exceeded."""
    if found is None:
        return ""
    allowed = (
        f"; the tolerance is {found.tolerance:g} of the largest" if found.outcome == "different" and found.tolerance is not None else ""
    )
    return f"{found.outcome.capitalize()}: {make_visible(found.reason)}{allowed}"


# --- the modules ------------------------------------------------------------------------------------------------------


def explain_changes(report: Report) -> str:
    """`Modules: 3 added (blocks.4, blocks.5, blocks.6, plus 15 inside); 8 with changed settings (kernel_size, padding).`

    What was added or removed with a module above it is counted with that.
    """
    before = {module.path: module for module in report.before.modules}
    after = {module.path: module for module in report.after.modules}
    by_kind: dict[str, list[ModuleDiff]] = {kind: [] for kind in _KINDS}
    for row in report.modules:
        alone = row.before_path is None or row.after_path is None
        for kind in row.changes:
            # other settings and other types have other tensors as a matter of course
            is_plain = kind == "resized" and not {"settings", "replaced"}.isdisjoint(row.changes)
            if kind in by_kind and not is_plain and (not alone or kind in ("added", "removed")):
                by_kind[kind].append(row)
    told = [text for kind, rows in by_kind.items() if (text := _describe_kind(kind, rows, before, after))]
    if not told:
        return "Modules: none changed." if report.modules else ""
    return f"Modules: {'; '.join(told)}."


def _describe_kind(kind: str, rows: list[ModuleDiff], before: dict[str, ModuleRecord], after: dict[str, ModuleRecord]) -> str:
    if not rows:
        return ""
    if kind in ("added", "removed"):
        paths = [(row.after_path if kind == "added" else row.before_path) or "" for row in rows]
        tops = _list_topmost(paths)
        below = len(paths) - len(tops)
        where = _join([name_path(path) for path in tops]) + (f", plus {below:,} inside" if below else "")
        return f"{len(tops):,} {_KINDS[kind]} ({where})"
    how = _describe_details(kind, rows, before, after)
    if not how and kind in _NAMED and len(rows) <= _MOST_NAMED:
        how = _join([name_path(row.after_path) for row in rows])
    return f"{len(rows):,} {_KINDS[kind]}{f' ({how})' if how else ''}"


def _describe_details(kind: str, rows: list[ModuleDiff], before: dict[str, ModuleRecord], after: dict[str, ModuleRecord]) -> str:
    """The commonest ways in which modules changed so; empty where which modules they are says more."""
    pairs = [(before[row.before_path], after[row.after_path]) for row in rows if row.before_path is not None and row.after_path is not None]
    if kind == "settings":
        return _join_commonest(name for row in rows for name in row.settings_changed)
    if kind == "replaced":
        return _join_commonest(f"{one.type} {ARROW} {other.type}" for one, other in pairs)
    if kind == "dtype":
        return _join_commonest(change for pair in pairs for change in _list_dtypes(*pair))
    if kind == "repeated":
        return _join([text for row in rows for text in format_repeats(row.repeats)])
    return ""


def _list_dtypes(before: ModuleRecord, after: ModuleRecord) -> Iterator[str]:
    held = {tensor.name: tensor.dtype for tensor in before.tensors}
    found = ((held[tensor.name], tensor.dtype) for tensor in after.tensors if tensor.name in held)
    yield from dict.fromkeys(f"{one} {ARROW} {other}" for one, other in found if one != other)


def _list_topmost(paths: Iterable[str]) -> list[str]:
    """The paths that lie below no other of them, in order."""
    listed = list(paths)
    known = set(listed)
    found = []
    for path in listed:
        above = path
        while above and (above := above.rpartition(".")[0]) not in known:
            pass
        if not (above and above in known) and not ("" in known and path):
            found.append(path)
    return found


def _join_commonest(texts: Iterable[str]) -> str:
    return _join([make_visible(text) for text, _ in Counter(texts).most_common()])


def _join(names: list[str]) -> str:
    return join_names(names, _MOST_NAMED)
