"""The summary of a comparison in sentences: the change of the cost, the changes of the modules, and the check of equivalence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from archaudit.index import fold_numbered, index_modules, parent_path
from archaudit.metrics.catalog import is_unknown
from archaudit.metrics.quantities import format_pair, format_percent, format_ratio, format_signed
from archaudit.render.formatting import ARROW, count, format_repeats, join_names, make_visible, name_path
from archaudit.schema import CheckpointMap, Equivalence, Group, ModuleDiff, ModuleRecord, Pair, Profile, Report

_MOST_NAMED = 3
# For these kinds of change, a few modules are named.
_NAMED = frozenset({"resized", "tied", "untied", "frozen", "unfrozen", "reordered", "uncalled", "called"})
# The kinds of change in their order in the sentence, with the words for a module that changed in this way.
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
    "uncalled": "no longer called",
    "called": "now called",
    "rewired": "with other inputs",
}


def explain_cost(report: Report) -> str:
    """`2.71x fewer parameters (6.83M → 2.52M) and 10.3x fewer FLOPs (52.7G → 5.10G); 71.1 % of the parameter change is in ASPP.`"""
    before, after = report.before.totals, report.after.totals
    if any(is_unknown(profile, "params") for profile in (report.before, report.after)):
        return "The number of parameters is unknown and cannot be compared: weights are packed in a layout that is not recognized."
    if not (report.before.params_complete and report.after.params_complete):
        return "The number of parameters is incomplete and cannot be compared: some weights cannot be counted."
    params = _describe_change(before.params, after.params, "parameters")
    if report.flops_complete:
        params += f" and {_describe_change(before.flops, after.flops, 'FLOPs')}"
    return f"{params}{_find_largest(report)}."


def explain_remarks(report: Report) -> Iterator[str]:
    """Sentences on what makes the change of the cost special: frozen parameters, another dtype, incomplete FLOPs, other inputs."""
    before, after = report.before.totals, report.after.totals
    if any(is_unknown(profile, "params") for profile in (report.before, report.after)):
        return
    if after.trainable_params - before.trainable_params != after.params - before.params:
        yield f"Of the parameters {_describe_trainable(before.trainable_params, after.trainable_params)}."
    if before.param_bytes * after.params != after.param_bytes * before.params:
        yield f"{_describe_bytes(before.param_bytes, after.param_bytes)}."
    if not report.flops_complete:
        yield "The FLOPs are incomplete and cannot be compared."
    elif _list_shapes(report.before) != _list_shapes(report.after):
        yield "The two sides ran on inputs of different shapes, which changes their FLOPs."


def _list_shapes(profile: Profile) -> list[tuple[int, ...]]:
    return [each.shape for each in profile.inputs]


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
    return f"{ratio} {noun} ({first} {ARROW} {second})" if ratio[0] in "<>0123456789" else f"{noun} {first} {ARROW} {second}"


def _find_largest(report: Report) -> str:
    """The section with most of the parameter change; empty if no section has half of it."""
    change = report.delta.params
    if change == 0 or not report.groups:
        return ""

    def share(group: Group) -> float:
        return group.delta.params / change

    largest = max(report.groups, key=share)
    if share(largest) < 0.5:
        return ""
    name = _descend(report, largest) if format_percent(share(largest)) == "100 %" else make_visible(largest.name)
    if share(largest) > 1:  # other sections changed in the other direction, so a percentage would be over 100
        there, rest = format_signed(largest.delta.params), format_signed(change - largest.delta.params)
        return f"; parameters changed by {there} in {name} and by {rest} in the rest"
    return f"; {format_percent(share(largest))} of the parameter change is in {name}"


def _descend(report: Report, group: Group) -> str:
    """The innermost module with all of the change of a group: `h.0-11.adapter` for one in each of several blocks. Else the group's name."""
    index = index_modules(report.after)
    deltas = {row.after_path: row.total_delta.params for row in report.modules if row.after_path is not None}
    if any(path not in index for path in group.after_paths) or not group.before_paths:
        return make_visible(group.name)
    paths, inner = list(group.after_paths), ""
    while paths:
        names: defaultdict[str, list[str]] = defaultdict(list)
        for path in paths:
            for child in index.children[path]:
                names[index.name(child)].append(child)
        found = next((name for name, below in names.items() if sum(deltas.get(child, 0) for child in below) == report.delta.params), None)
        if found is None or len(names[found]) != len(paths):
            break
        paths, inner = names[found], f"{inner}.{found}"
    if not inner:
        return make_visible(group.name)
    return name_path(paths[0]) if len(paths) == 1 else make_visible(f"{group.name}{inner}")


def explain_proof(found: Equivalence | None) -> str:
    """The verdict on the equivalence with its reason, which names the first different module; the tolerance if it was exceeded."""
    if found is None:
        return ""
    allowed = (
        f"; the tolerance is {found.tolerance:g} of the largest" if found.outcome == "different" and found.tolerance is not None else ""
    )
    return f"{found.outcome.capitalize()}: {make_visible(found.reason)}{allowed}"


def explain_map(found: CheckpointMap) -> str:
    """How many entries of a checkpoint map are proven, and why others are only plausible."""
    parts = [f"{count(len(found.proven), 'entry', 'entries')} proven by equal outputs"]
    for reason, number in Counter(found.plausible.values()).items():
        parts.append(f"{count(number, 'entry', 'entries')} only plausible: {make_visible(reason)}")
    if found.missing or found.reshaped:
        parts.append(f"{count(len(found.missing) + len(found.reshaped), 'key')} of after not filled")
    return "; ".join(parts)


# --- the modules ------------------------------------------------------------------------------------------------------


def explain_changes(report: Report) -> str:
    """`Modules: 3 added (blocks.4, blocks.5, blocks.6, plus 15 inside); 8 with changed settings (kernel_size, padding).`

    Submodules of an added or removed module are counted as `inside`.
    """
    parts = [_describe_kind(report, kind, rows) for kind, rows in _sort_by_kind(report).items() if rows]
    if not report.modules:
        return ""
    return f"Modules: {'; '.join(parts) or 'none changed'}{_describe_forward(report.modules)}."


def count_changes(report: Report) -> str:
    """`Modules: 3 added, 8 with changed settings, 1 renamed` of 253; the modules of an added or removed one are not counted."""
    parts = []
    for kind, rows in _sort_by_kind(report).items():
        paths = [row.after_path if row.after_path is not None else row.before_path or "" for row in rows]
        number = len(_list_topmost(paths)) if kind in ("added", "removed") else len(rows)
        parts += [f"{number:,} {_KINDS[kind]}"] if number else []
    return f"Modules: {', '.join(parts) or 'none changed'}" if report.modules else ""


def list_forward_changes(rows: Iterable[ModuleDiff]) -> list[str]:
    """`3 upsample_bilinear2d → upsample_nearest2d`, `12 relu → gelu`: what modules run otherwise, without calls, commonest first."""
    counts: Counter[str] = Counter()
    for row in rows:
        for change in row.forward_changes or ():
            if change.kind != "call":
                counts[change.text] += change.count
    folded = Counter({text: sum(counts[each] for each in texts) for text, texts in fold_numbered(counts)})
    return [f"{number:,} {make_visible(text)}" if number > 1 else make_visible(text) for text, number in folded.most_common()]


def _sort_by_kind(report: Report) -> dict[str, list[ModuleDiff]]:
    by_kind: dict[str, list[ModuleDiff]] = {kind: [] for kind in _KINDS}
    for row in report.modules:
        alone = row.before_path is None or row.after_path is None
        for kind in row.changes:
            # another type or other settings imply other tensors
            is_implied = kind == "resized" and not {"settings", "replaced"}.isdisjoint(row.changes)
            if kind in by_kind and not is_implied and (not alone or kind in ("added", "removed")):
                by_kind[kind].append(row)
    return by_kind


def _describe_forward(rows: Iterable[ModuleDiff]) -> str:
    """`; forward: 3 upsample_bilinear2d → upsample_nearest2d, 12 relu → gelu`."""
    texts = list_forward_changes(rows)
    return f"; forward: {_join(texts)}" if texts else ""


def _describe_kind(report: Report, kind: str, rows: Sequence[ModuleDiff]) -> str:
    if kind in ("added", "removed"):
        paths = [(row.after_path if kind == "added" else row.before_path) or "" for row in rows]
        tops = _list_topmost(paths)
        below = len(paths) - len(tops)
        where = _join([name_path(path) for path in tops]) + (f", plus {below:,} inside" if below else "")
        return f"{len(tops):,} {_KINDS[kind]} ({where})"
    details = _describe_details(report, kind, rows)
    if not details and kind in _NAMED and len(rows) <= _MOST_NAMED:
        details = _join([name_path(row.after_path) for row in rows])
    details = details and (details if details == name_path("") else f"({details})")
    return f"{len(rows):,} {_KINDS[kind]}{f' {details}' if details else ''}"


def _describe_details(report: Report, kind: str, rows: Sequence[ModuleDiff]) -> str:
    """The most frequent details of a kind of change, such as the settings that changed; empty for kinds without details."""
    before, after = index_modules(report.before).modules, index_modules(report.after).modules
    pairs = [
        Pair(before[row.before_path], after[row.after_path]) for row in rows if row.before_path is not None and row.after_path is not None
    ]
    if kind == "settings":
        return _join_commonest(name for row in rows for name in row.settings_changed)
    if kind == "replaced":
        return _join_commonest(f"{pair.before.type} {ARROW} {pair.after.type}" for pair in pairs)
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
    """The paths that are below no other of them, in order."""
    listed = list(paths)
    known = set(listed)
    return [path for path in listed if known.isdisjoint(_list_ancestors(path))]


def _list_ancestors(path: str) -> Iterator[str]:
    while path:
        path = parent_path(path)
        yield path


def _join_commonest(texts: Iterable[str]) -> str:
    return _join([make_visible(text) for text, _ in Counter(texts).most_common()])


def _join(names: list[str]) -> str:
    return join_names(names, _MOST_NAMED)
