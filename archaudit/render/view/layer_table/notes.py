"""What a row of the layer table says in words: what has no column, and is not plain from its figures.

A kind of change alone (`dtype`, `tied`, `rewired`) says that something happened; the note says what it was before, and what it is now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from archaudit.metrics.quantities import format_exact, format_short, format_signed
from archaudit.render.formatting import ARROW, NOTHING, count, format_repeats, format_setting, join_names, make_visible, name_path
from archaudit.render.view.figures import make_delta
from archaudit.render.view.layer_table.columns import Pair
from archaudit.schema import ModuleDiff, ModuleRecord, TensorRecord

_MOST_SETTINGS = 6
_MOST_NAMED = 3


class Notes:
    """Writes the notes of the rows of one comparison."""

    def __init__(self, rows: Sequence[ModuleDiff], before: Mapping[str, ModuleRecord], after: Mapping[str, ModuleRecord]) -> None:
        # by path after, how often it ran on either side
        self._runs = {
            row.after_path: (len(before[row.before_path].calls), len(after[row.after_path].calls))
            for row in rows
            if row.before_path is not None and row.after_path is not None
        }
        self._after_of = {row.before_path: row.after_path for row in rows if row.before_path is not None}
        self._divided: defaultdict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for row in rows:
            if row.change_id is not None:
                for side, path in enumerate((row.before_path, row.after_path)):
                    if path is not None:
                        self._divided[row.change_id][side].append(name_path(path))

    def write(self, diff: ModuleDiff, pair: Pair, *, is_container: bool) -> str:
        """All that is to be said of a row, from what it was called to what it costs itself."""
        before, after = pair
        parts = list(_describe_path(diff))
        if before is None or after is None:
            parts += self._describe_division(diff)
        else:
            parts += [
                *_describe_counts(diff),
                *_describe_settings(diff, before, after),
                *_describe_tensors(diff, before, after, is_container=is_container),
            ]
            parts += [
                *_describe_ties(diff, before, after),
                *self._describe_calls(before, after),
                *self._describe_inputs(diff, before, after),
            ]
            parts += _describe_causes(diff)
        return "; ".join([*parts, *(describe_own(pair) if is_container else ())])

    def _describe_division(self, diff: ModuleDiff) -> Iterator[str]:
        """`split from decoder.0`, `merged into attn.qkv`: of a part that has no counterpart of its own."""
        before, after = self._divided[diff.change_id] if diff.change_id is not None else ([], [])
        if "split" in diff.changes and before and diff.before_path is None:
            yield f"split from {join_names(before, _MOST_NAMED)}"
        elif "merged" in diff.changes and after and diff.after_path is None:
            yield f"merged into {join_names(after, _MOST_NAMED)}"

    def _describe_calls(self, before: ModuleRecord, after: ModuleRecord) -> Iterator[str]:
        """How often a module runs, where that changed; what it stands in says it for all below.

        Whether a container of another type is called itself, or only what it holds, is no news."""
        one, other = self._runs[after.path]
        if one == other or (before.type != after.type and not (one and other)):
            return
        above = after.path
        while above:
            above = above.rpartition(".")[0]
            runs = self._runs.get(above, (0, 0))
            if runs[0] != runs[1] and all(runs) == all((one, other)):
                return
        yield f"called {_times(other)} (before: {_times(one)})" if other else f"no longer called (before: {_times(one)})"

    def _describe_inputs(self, diff: ModuleDiff, before: ModuleRecord, after: ModuleRecord) -> Iterator[str]:
        """`input from norm2 instead of attn`, with the names of the after side where it has them."""
        if "rewired" not in diff.changes:
            return
        known = [_list_inputs(before), _list_inputs(after)]
        named = [self._after_of.get(path) or path for path in known[0]]
        gained = [name_path(path) for path in known[1] if path not in named]
        lost = [name_path(path) for path in named if path not in known[1]]
        if gained and lost:
            yield f"input from {join_names(gained, _MOST_NAMED)} instead of {join_names(lost, _MOST_NAMED)}"
        elif gained:
            yield f"new input from {join_names(gained, _MOST_NAMED)}"
        elif lost:
            yield f"no more input from {join_names(lost, _MOST_NAMED)}"


def _list_inputs(module: ModuleRecord) -> list[str]:
    return list(dict.fromkeys(feeder for call in module.calls for feeder in call.inputs_from))


def _describe_path(diff: ModuleDiff) -> tuple[str, ...]:
    if diff.before_path is None or diff.after_path is None or diff.before_path == diff.after_path:
        return ()
    return (f"was {name_path(diff.before_path)}",)


def _describe_counts(diff: ModuleDiff) -> tuple[str, ...]:
    """`Block ×4 → ×7`."""
    return tuple(format_repeats(diff.repeats))


def _describe_settings(diff: ModuleDiff, before: ModuleRecord, after: ModuleRecord) -> tuple[str, ...]:
    """`out_channels 256 → 128`, one for each setting that differs; what a class does not have is no None."""
    texts = []
    for name, values in list(diff.settings_changed.items())[:_MOST_SETTINGS]:
        sides = zip(values, (before, after), strict=True)
        told = [format_setting(value) if name in module.settings else NOTHING for value, module in sides]
        texts.append(f"{make_visible(name)} {told[0]} {ARROW} {told[1]}")
    left = len(diff.settings_changed) - len(texts)
    return (*texts, f"{left:,} more settings changed") if left > 0 else tuple(texts)


def _describe_tensors(diff: ModuleDiff, before: ModuleRecord, after: ModuleRecord, *, is_container: bool) -> Iterator[str]:
    """`dtype float32 → float16`, `buffer mean added`; what a setting says, and what another type of layer holds anyway, is left out."""
    held = [{tensor.name: tensor for tensor in module.tensors} for module in (before, after)]
    kept = [(tensor, held[1][name]) for name, tensor in held[0].items() if name in held[1]]
    for one, other in dict.fromkeys((one.dtype, other.dtype) for one, other in kept if one.dtype != other.dtype):
        yield f"dtype {make_visible(one)} {ARROW} {make_visible(other)}"
    if before.type == after.type or is_container:
        for verb, here, there in (("added", held[1], held[0]), ("removed", held[0], held[1])):
            yield from _list_tensors([each for name, each in here.items() if name not in there | diff.settings_changed], verb)
    # What a layer of a library is made from says its shapes.
    if is_container or not diff.settings_changed:
        texts = [
            f"{make_visible(one.name)} {list(one.shape)} {ARROW} {list(other.shape)}" for one, other in kept if one.shape != other.shape
        ]
        if texts:
            yield join_names(texts, _MOST_NAMED)


def _list_tensors(tensors: Sequence[TensorRecord], verb: str) -> Iterator[str]:
    for kind in ("parameter", "buffer"):
        names = [make_visible(tensor.name) for tensor in tensors if tensor.kind == kind]
        if names:
            yield f"{kind if len(names) == 1 else f'{kind}s'} {join_names(names, _MOST_NAMED)} {verb}"


def _describe_ties(diff: ModuleDiff, before: ModuleRecord, after: ModuleRecord) -> Iterator[str]:
    """`weight is tied to tok_emb.weight`."""
    for kind, module, text in (("tied", after, "is tied to"), ("untied", before, "was tied to")):
        tied = [tensor for tensor in module.tensors if tensor.tied_to is not None] if kind in diff.changes else []
        names = [f"{make_visible(tensor.name)} {text} {make_visible(tensor.tied_to or '')}" for tensor in tied]
        if names:
            yield join_names(names, _MOST_NAMED)


def _times(number: int) -> str:
    return {0: "not at all", 1: "once", 2: "twice"}.get(number, count(number, "time"))


def _describe_causes(diff: ModuleDiff) -> tuple[str, ...]:
    """`params -309,000 from inputs 304→160, -141,312 from outputs 256→128`, where the change has more than one cause; the same for FLOPs,
    where they have causes of their own."""
    params = [f"{format_signed(cause.delta)} from {make_visible(cause.text)}" for cause in diff.causes]
    flops = [f"{make_delta(cause.delta, 'flops').short} from {make_visible(cause.text)}" for cause in diff.flop_causes]
    alike = {cause.text for cause in diff.flop_causes} <= {cause.text for cause in diff.causes}
    return (
        *([f"params {', '.join(params)}"] if len(params) > 1 else ()),
        *([f"FLOPs {', '.join(flops)}"] if len(flops) > 1 and not alike else ()),
    )


def describe_own(pair: Pair) -> tuple[str, ...]:
    """What a container costs itself, beyond its children: parameters that it holds and operators that it runs."""
    parts = []
    for noun, show in (("params", format_exact), ("flops", format_short)):
        values = [show(getattr(module.own, noun)) for module in pair if module is not None]
        if any(value != "0" for value in values):
            parts.append(f"{f' {ARROW} '.join(dict.fromkeys(values))} {'FLOPs' if noun == 'flops' else noun}")
    return (f"excluding submodules: {', '.join(parts)}",) if parts else ()
