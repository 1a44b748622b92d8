"""The notes of the layer table's rows: what changed, where no column and no figure shows it.

The name of a change (`dtype`, `tied`, `rewired`) says that something changed; the note has the values before and after.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from archaudit.index import fold_numbered, index_modules
from archaudit.metrics.quantities import format_exact, format_short, format_signed
from archaudit.render.formatting import ARROW, NOTHING, count, format_repeats, format_setting, join_names, make_visible, name_path
from archaudit.render.view.figures import make_delta
from archaudit.render.view.layer_table.columns import ModulePair
from archaudit.schema import ModuleDiff, ModuleRecord, Pair, Report, TensorRecord

_MOST_SETTINGS = 6
_MOST_NAMED = 3
_MOST_FORWARD = 4
# Changes that a row always shows: the settings with their values, the figures, and the path before.
_ALWAYS_SHOWN = frozenset({"settings", "resized", "renamed", "moved"})


class Note(NamedTuple):
    """The text of a note, and the changes of the row that neither the text nor the figures show."""

    text: str
    missing: tuple[str, ...] = ()


class Notes:
    """Writes the notes of the rows of one comparison."""

    def __init__(self, report: Report) -> None:
        self._indexes = Pair(index_modules(report.before), index_modules(report.after))
        rows = report.modules
        self._runs: dict[str | None, Pair[int]] = {}  # by path after: how often the module is called on each side
        for row in rows:
            before, after = self._indexes.before.get(row.before_path), self._indexes.after.get(row.after_path)
            if before is not None and after is not None:
                self._runs[after.path] = Pair(len(before.calls), len(after.calls))
        self._parts: defaultdict[int, Pair[list[str]]] = defaultdict(lambda: Pair([], []))  # of each split or merge
        for row in rows:
            if row.change_id is not None:
                for names, path in zip(self._parts[row.change_id], (row.before_path, row.after_path), strict=True):
                    names += [] if path is None else [name_path(path)]

    def write(self, diff: ModuleDiff, pair: ModulePair, *, is_container: bool) -> Note:
        """The note of a row, from its path before to its own cost."""
        before, after = pair
        texts = [(kind, text) for kind, text in self._describe(diff, before, after, is_container=is_container) if text]
        texts += [("", text) for text in (describe_own(pair) if is_container else ())]
        kinds = [kind for kind in diff.changes if kind != "same"]
        missing = [kind for kind in kinds if kind not in _ALWAYS_SHOWN and kind not in {kind for kind, _ in texts}]
        return Note("; ".join(text for _, text in texts), tuple(missing or (() if texts else kinds)))

    def _describe(
        self, diff: ModuleDiff, before: ModuleRecord | None, after: ModuleRecord | None, *, is_container: bool
    ) -> Iterator[tuple[str, str]]:
        """Texts with the kind of change that each one shows; empty where it shows none completely."""
        if diff.before_path is not None and diff.after_path is not None and diff.before_path != diff.after_path:
            yield "", f"was {name_path(diff.before_path)}"
        if before is None or after is None:
            yield "", self._describe_part(diff)
            return
        yield "repeated", "; ".join(format_repeats(diff.repeats))
        yield "", "; ".join(_describe_settings(diff, before, after))
        yield from _describe_tensors(diff, before, after, is_container=is_container)
        yield from _describe_ties(diff, before, after)
        yield "called" if after.calls else "uncalled", self._describe_calls(before, after)
        yield "", _describe_inputs(diff)
        yield "forward", "; ".join(_describe_forward(diff))
        yield "", "; ".join(_describe_causes(diff))

    def _describe_part(self, diff: ModuleDiff) -> str:
        """`split from decoder.0`, `merged into attn.qkv`: for a part without a counterpart of its own."""
        if diff.change_id is None:
            return ""
        before, after = self._parts[diff.change_id]
        if "split" in diff.changes and before and diff.before_path is None:
            return f"split from {join_names(before, _MOST_NAMED)}"
        if "merged" in diff.changes and after and diff.after_path is None:
            return f"merged into {join_names(after, _MOST_NAMED)}"
        return ""

    def _describe_calls(self, before: ModuleRecord, after: ModuleRecord) -> str:
        """How often a module is called, where that changed; empty if the calls of a module above it changed too.

        A container of another type is left out if only one of the two is called itself: that says nothing about its submodules.
        """
        runs = self._runs[after.path]
        if runs.before == runs.after or (before.type != after.type and not all(runs)):
            return ""
        for above in self._indexes.after.walk_up(after.path):
            outer = self._runs.get(above, runs)
            if outer.before != outer.after and outer is not runs and all(outer) == all(runs):
                return ""
        if not runs.after:
            return f"no longer called (before: {_format_times(runs.before)})"
        return f"called {_format_times(runs.after)} (before: {_format_times(runs.before)})"


def _describe_inputs(diff: ModuleDiff) -> str:
    """`input from norm2 instead of attn`."""
    if not diff.inputs_changed:
        return ""
    added, removed = (
        join_names(list(map(name_path, paths)), _MOST_NAMED) for paths in (diff.inputs_changed.added, diff.inputs_changed.removed)
    )
    if added and removed:
        return f"input from {added} instead of {removed}"
    return f"new input from {added}" if added else f"no longer input from {removed}" if removed else ""


def _describe_forward(diff: ModuleDiff) -> list[str]:
    """`relu → gelu` for each change of what the module runs itself."""
    counts = {change.text: change.count for change in diff.forward_changes or () if change.kind != "call"}
    folded = [(make_visible(text), sum(counts[each] for each in texts)) for text, texts in fold_numbered(counts)]
    texts = [text if number == 1 else f"{number} × {text}" for text, number in folded]
    more = len(texts) - _MOST_FORWARD
    return [*texts[:_MOST_FORWARD], f"{more:,} more changes in its forward"] if more > 0 else texts


def _describe_settings(diff: ModuleDiff, before: ModuleRecord, after: ModuleRecord) -> list[str]:
    """`out_channels 256 → 128` for each changed setting; `-` for a setting that the class does not have."""
    texts = []
    for name, values in list(diff.settings_changed.items())[:_MOST_SETTINGS]:
        old, new = (
            format_setting(value) if name in module.settings else NOTHING for value, module in zip(values, (before, after), strict=True)
        )
        texts.append(f"{make_visible(name)} {old} {ARROW} {new}")
    more = len(diff.settings_changed) - len(texts)
    return [*texts, f"{more:,} more settings changed"] if more > 0 else texts


def _describe_tensors(diff: ModuleDiff, before: ModuleRecord, after: ModuleRecord, *, is_container: bool) -> Iterator[tuple[str, str]]:
    """`dtype float32 → float16`, `buffer mean added`, `weight [2, 4] → [3, 4]`.

    Tensors that differ because of a setting, or because the layer has another type, are left out.
    """
    old, new = ({tensor.name: tensor for tensor in module.tensors} for module in (before, after))
    kept = [(tensor, new[name]) for name, tensor in old.items() if name in new]
    for one, other in dict.fromkeys((one.dtype, other.dtype) for one, other in kept if one.dtype != other.dtype):
        yield "dtype", f"dtype {make_visible(one)} {ARROW} {make_visible(other)}"
    if before.type == after.type or is_container:
        for verb, here, there in (("added", new, old), ("removed", old, new)):
            listed = _list_tensors([each for name, each in here.items() if name not in there | diff.settings_changed], verb)
            yield "", "; ".join(listed)
    # The settings of a library's layer determine its shapes.
    if is_container or not diff.settings_changed:
        texts = [
            f"{make_visible(one.name)} {list(one.shape)} {ARROW} {list(other.shape)}" for one, other in kept if one.shape != other.shape
        ]
        yield "", join_names(texts, _MOST_NAMED)


def _list_tensors(tensors: Sequence[TensorRecord], verb: str) -> Iterator[str]:
    for kind in ("parameter", "buffer"):
        names = [make_visible(tensor.name) for tensor in tensors if tensor.kind == kind]
        if names:
            yield f"{kind if len(names) == 1 else f'{kind}s'} {join_names(names, _MOST_NAMED)} {verb}"


def _describe_ties(diff: ModuleDiff, before: ModuleRecord, after: ModuleRecord) -> Iterator[tuple[str, str]]:
    """`weight is tied to tok_emb.weight`."""
    for kind, module, text in (("tied", after, "is tied to"), ("untied", before, "was tied to")):
        tied = [tensor for tensor in module.tensors if tensor.tied_to is not None] if kind in diff.changes else []
        names = [f"{make_visible(tensor.name)} {text} {make_visible(tensor.tied_to or '')}" for tensor in tied]
        yield kind, join_names(names, _MOST_NAMED)


def _format_times(number: int) -> str:
    return {0: "not at all", 1: "once", 2: "twice"}.get(number, count(number, "time"))


def _describe_causes(diff: ModuleDiff) -> Iterator[str]:
    """`params -309,000 from inputs 304→160, -141,312 from outputs 256→128`, where the change has more than one cause.

    The same for FLOPs, if they have a cause that the parameters do not have.
    """
    if len(diff.causes) > 1:
        yield "params " + ", ".join(f"{format_signed(cause.delta)} from {make_visible(cause.text)}" for cause in diff.causes)
    alike = {cause.text for cause in diff.flop_causes} <= {cause.text for cause in diff.causes}
    if len(diff.flop_causes) > 1 and not alike:
        yield "FLOPs " + ", ".join(
            f"{make_delta(cause.delta, 'flops').short} from {make_visible(cause.text)}" for cause in diff.flop_causes
        )


def describe_own(pair: ModulePair) -> tuple[str, ...]:
    """A container's own cost: the parameters that it holds and the operators that it runs itself."""
    parts = []
    for noun, show in (("params", format_exact), ("flops", format_short)):
        values = [show(getattr(module.own, noun)) for module in pair if module is not None]
        if any(value != "0" for value in values):
            parts.append(f"{f' {ARROW} '.join(dict.fromkeys(values))} {'FLOPs' if noun == 'flops' else noun}")
    return (f"excluding submodules: {', '.join(parts)}",) if parts else ()
