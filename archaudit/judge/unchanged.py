"""[[unchanged]] checks: nothing in a scope may change. Compared path by path, so a rename is a change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from archaudit.errors import CannotJudge
from archaudit.index import Names, Texts, build_program_graph, compare_programs, has_programs, index_modules, is_opened, read_programs
from archaudit.judge.comparisons import Finding
from archaudit.judge.evidence import Evidence, describe_inputs, resolve_scope
from archaudit.metrics.quantities import format_signed
from archaudit.metrics.selection import select_modules
from archaudit.schema import Check, Contributor, ModuleRecord, Pair, Profile, TensorRecord

# As many modules as fit in a sentence; the verdict has a few more for tables.
_NAMED, _LISTED = 5, 12
_LONGEST_VALUE = 40
# An output shape mostly changes because of another module: such modules are listed last, and not if a module in them changed.
_SHAPE = "has another output shape"


class _Change(NamedTuple):
    """A module that changed: how its own parameters changed, and in words."""

    path: str
    delta: int
    text: str


def compare_structure(check: Check, evidence: Evidence) -> Finding:
    """Whether every module of the scope equals the other side's: path, type, settings, tensors, and what its forward runs: operators with
    their constants and the order of their operands, and the modules that it calls.

    With the same inputs, output shapes are compared too. The number found is how many modules changed.
    """
    after, before = evidence.find_profile(check.model, check.scenario), evidence.find_other(check)
    name = "the baseline" if check.against == "baseline" else before.name
    before_scope = check.scope if check.against_scope is None else check.against_scope
    scopes = Pair(resolve_scope(check, before, before_scope, name), resolve_scope(check, after))
    profiles = Pair(before, after)
    modules = Pair(*({module.path: module for module in select_modules(*side)} for side in zip(profiles, scopes, strict=True)))
    if not modules.before and not modules.after:
        raise CannotJudge("the check is about no module: its scope is empty")
    with_shapes = describe_inputs(before) == describe_inputs(after)
    forward = _ForwardComparison(profiles, same_inputs=with_shapes)
    changes = []
    for path in dict.fromkeys([*modules.before, *modules.after]):
        records = Pair(modules.before.get(path), modules.after.get(path))
        with_calls = with_shapes and not (None not in records and forward.is_opened(path))
        texts = list(_describe_changes(records.before, records.after, with_shapes=with_calls))
        if None not in records:
            texts += forward.describe(path)
        if texts:
            params = records.map(lambda record: record.own.params if record else 0)
            changes.append(_Change(path, params.after - params.before, ", ".join(texts)))
    parents = {parent for profile in profiles for change in changes for parent in index_modules(profile).walk_up(change.path)}
    changes = [change for change in changes if change.text != _SHAPE or change.path not in parents]
    if not changes:
        return Finding(holds=True, actual=0, limit=0, reason=f"{len(modules.after):,} modules, each as in {name}")
    ranked = sorted(changes, key=lambda change: (change.text == _SHAPE, -abs(change.delta)))
    named = [
        f"{path or 'the root module'} {text}" + (f" ({format_signed(delta)} params)" if delta else "")
        for path, delta, text in ranked[:_NAMED]
    ]
    more = f"; and {len(ranked) - _NAMED:,} more" if len(ranked) > _NAMED else ""
    count = f"{len(changes):,} of {len(modules.before | modules.after):,} modules did since {name}"
    return Finding(
        holds=False,
        actual=len(changes),
        limit=0,
        reason=f"nothing may change, and {count}: {'; '.join(named)}{more}",
        contributors=tuple(Contributor(path=path, delta=delta) for path, delta, _ in ranked[:_LISTED]),
    )


def _describe_changes(before: ModuleRecord | None, after: ModuleRecord | None, *, with_shapes: bool) -> Iterator[str]:
    if before is None or after is None:
        yield f"is new: {after.type}" if after is not None else f"is gone: {before.type if before else ''}"
        return
    if before.type != after.type:
        yield f"{before.type} → {after.type}"
    sides = Pair(before, after)
    for key in sorted(before.settings.keys() | after.settings.keys()):
        values = _format_setting(before, key), _format_setting(after, key)
        if values[0] != values[1]:
            yield f"{key} {values[0]} → {values[1]}"
    tensors = sides.map(lambda side: {tensor.name: _describe_tensor(tensor) for tensor in side.tensors})
    for key in sorted(tensors.before.keys() | tensors.after.keys()):
        if tensors.before.get(key) != tensors.after.get(key):
            yield f"{key} {tensors.before.get(key, 'absent')} → {tensors.after.get(key, 'gone')}"
    if tensors.before == tensors.after and before.own.params != after.own.params:
        yield f"params {before.own.params:,} → {after.own.params:,}"
    if with_shapes:
        outputs = sides.map(lambda side: [call.outputs for call in side.calls])
        if len(outputs.before) != len(outputs.after):
            yield f"called {len(outputs.after)} times instead of {len(outputs.before)}"
        elif outputs.before != outputs.after:
            yield _SHAPE
        elif before.own.macs != after.own.macs and before.own.params == after.own.params:
            yield f"MACs {before.own.macs:,} → {after.own.macs:,}"


def _format_setting(record: ModuleRecord, key: str) -> str:
    text = str(record.settings[key]) if key in record.settings else "unset"
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _describe_tensor(tensor: TensorRecord) -> str:
    shape = "x".join(map(str, tensor.shape)) or "scalar"
    marks = [] if tensor.trainable or tensor.kind == "buffer" else ["frozen"]
    marks += [f"tied to {tensor.tied_to}"] if tensor.tied_to else []
    return " ".join([tensor.dtype, f"[{shape}]", tensor.kind, *marks])


class _ForwardComparison:
    """Compares what the modules of both sides run, path by path. Older baselines have only the names of operators."""

    def __init__(self, profiles: Pair[Profile], *, same_inputs: bool) -> None:
        self._profiles = profiles
        self._same_inputs = same_inputs
        self._recorded = all(map(has_programs, profiles))
        self._operators = profiles.map(_list_operators) if not self._recorded else Pair({}, {})
        self._indexes = profiles.map(index_modules)
        self._names = Names(
            lambda path: path if path in self._indexes.after else None,
            lambda name: name if name in self._indexes.after.tensors else None,
            lambda _side, _path: False,
        )

    def describe(self, path: str) -> list[str]:
        """The changes of one module in words."""
        if not self._recorded:
            operators = self._operators.map(lambda known: known.get(path))
            if operators.before == operators.after:
                return []
            return [f"runs {_list_short(operators.after)} instead of {_list_short(operators.before)}"]
        texts: dict[str, None] = {}
        for one, other in zip(*(read_programs(profile, path) for profile in self._profiles), strict=False):
            if one != other:
                graphs = Pair(
                    build_program_graph(self._profiles.before, path, one, self._is_opened_after),
                    build_program_graph(self._profiles.after, path, other, self._is_opened_before),
                )
                changes = compare_programs(graphs, self._names, same_inputs=self._same_inputs)
                texts |= dict.fromkeys(text.text for text in Texts(graphs, changes, Pair(path, path), self._find_counterpart).write())
        listed = list(texts)
        return listed if len(listed) <= _NAMED else [*listed[:_NAMED], f"{len(listed) - _NAMED} more changes in its forward"]

    def _find_counterpart(self, side: int, path: str) -> str | None:
        return path if path in self._indexes[1 - side] else None

    def is_opened(self, path: str) -> bool:
        """Whether only one side calls a module of both, and the other calls its children in its place."""
        return self._is_opened_after(path) or self._is_opened_before(path)

    def _is_opened_after(self, path: str) -> bool:
        return path in self._indexes.after and is_opened(self._indexes.before, path, self._indexes.after, path)

    def _is_opened_before(self, path: str) -> bool:
        return path in self._indexes.before and is_opened(self._indexes.after, path, self._indexes.before, path)


def _list_operators(profile: Profile) -> dict[str, list[str]]:
    """The operators that each module runs itself, in order, by its path."""
    listed: dict[str, list[str]] = {}
    for node in profile.flow:
        if node.op not in ("input", "call"):
            listed.setdefault(node.module, []).append(node.op)
    return listed


def _list_short(operators: list[str] | None) -> str:
    if not operators:
        return "nothing"
    return ", ".join(operators[:_NAMED]) + (", ..." if len(operators) > _NAMED else "")
