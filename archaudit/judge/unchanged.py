"""Structural pins: nothing of a scope may change. Judged path by path, so that a rename is a change too."""

from __future__ import annotations

from collections.abc import Iterator

from archaudit.judge.comparisons import Finding
from archaudit.judge.measured import Sides, describe_inputs, resolve_scope
from archaudit.metrics.catalog import select_modules
from archaudit.metrics.quantities import format_signed
from archaudit.schema import Check, Contributor, ModuleRecord, Profile, TensorRecord

# As many modules as fit in a sentence; the verdict holds a few more for tables.
_NAMED, _LISTED = 5, 12
_LONGEST_VALUE = 40
# What follows from a change elsewhere as a rule: told last, and not of a module that holds another that changed.
_SHAPE = "puts out another shape"


def compare_structure(check: Check, sides: Sides) -> tuple[Finding, tuple[tuple[Contributor, ...], str]]:
    """Whether every module of the scope is as in the other side: path, type, settings, tensors, and the operators run between modules.

    With the same inputs the shapes that modules put out are compared too. The number found is how many modules changed.
    """
    profile, other = sides.find_profile(check.model, check.scenario), sides.find_other(check)
    name = "the baseline" if check.against == "baseline" else other.name
    now = {module.path: module for module in select_modules(profile, resolve_scope(check, profile))}
    other_scope = check.scope if check.against_scope is None else check.against_scope
    was = {module.path: module for module in select_modules(other, resolve_scope(check, other, other_scope, name))}
    with_shapes = describe_inputs(profile) == describe_inputs(other)
    operators = _list_operators(other), _list_operators(profile)
    changed: list[tuple[str, int, str]] = []
    for path in dict.fromkeys([*was, *now]):
        before, after = was.get(path), now.get(path)
        texts = list(_tell_module(before, after, with_shapes=with_shapes))
        if before is not None and after is not None and operators[0].get(path) != operators[1].get(path):
            texts.append(f"runs {_list_short(operators[1].get(path))} instead of {_list_short(operators[0].get(path))}")
        if texts:
            delta = (after.own.params if after else 0) - (before.own.params if before else 0)
            changed.append((path, delta, ", ".join(texts)))
    holding = {parent for path, _, _ in changed for parent in _list_parents(path)}
    changed = [each for each in changed if each[2] != _SHAPE or each[0] not in holding]
    if not changed:
        return Finding(holds=True, actual=0, limit=0, reason=f"{len(now):,} modules, each as in {name}"), ((), "")
    ranked = sorted(changed, key=lambda each: (each[2] == _SHAPE, -abs(each[1])))
    told = [
        f"{path or 'the root module'} {text}" + (f" ({format_signed(delta)} params)" if delta else "")
        for path, delta, text in ranked[:_NAMED]
    ]
    more = f"; and {len(ranked) - _NAMED:,} more" if len(ranked) > _NAMED else ""
    reason = f"nothing may change, and {len(changed):,} of {len(now | was):,} modules did since {name}: {'; '.join(told)}{more}"
    contributors = tuple(Contributor(path=path, delta=delta) for path, delta, _ in ranked[:_LISTED])
    return Finding(holds=False, actual=len(changed), limit=0, reason=reason), (contributors, "")


def _tell_module(before: ModuleRecord | None, after: ModuleRecord | None, *, with_shapes: bool) -> Iterator[str]:
    if before is None or after is None:
        yield f"is new: {after.type}" if after is not None else f"is gone: {before.type if before else ''}"
        return
    if before.type != after.type:
        yield f"{before.type} → {after.type}"
    for key in sorted(before.settings.keys() | after.settings.keys()):
        values = [_show(side.settings[key]) if key in side.settings else "unset" for side in (before, after)]
        if values[0] != values[1]:
            yield f"{key} {values[0]} → {values[1]}"
    tensors = [{tensor.name: _describe_tensor(tensor) for tensor in side.tensors} for side in (before, after)]
    for key in sorted(tensors[0].keys() | tensors[1].keys()):
        if tensors[0].get(key) != tensors[1].get(key):
            yield f"{key} {tensors[0].get(key, 'absent')} → {tensors[1].get(key, 'gone')}"
    if tensors[0] == tensors[1] and before.own.params != after.own.params:
        yield f"params {before.own.params:,} → {after.own.params:,}"
    if with_shapes:
        outputs = [[call.outputs for call in side.calls] for side in (before, after)]
        if len(outputs[0]) != len(outputs[1]):
            yield f"called {len(outputs[1])} times instead of {len(outputs[0])}"
        elif outputs[0] != outputs[1]:
            yield _SHAPE
        elif before.own.macs != after.own.macs and before.own.params == after.own.params:
            yield f"MACs {before.own.macs:,} → {after.own.macs:,}"


def _list_parents(path: str) -> list[str]:
    """The paths of the modules that hold the one at `path`, the root's last."""
    parents = []
    while path:
        path = path.rpartition(".")[0]
        parents.append(path)
    return parents


def _show(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _describe_tensor(tensor: TensorRecord) -> str:
    shape = "x".join(map(str, tensor.shape)) or "scalar"
    marks = [] if tensor.trainable or tensor.kind == "buffer" else ["frozen"]
    marks += [f"tied to {tensor.tied_to}"] if tensor.tied_to else []
    return " ".join([tensor.dtype, f"[{shape}]", tensor.kind, *marks])


def _list_operators(profile: Profile) -> dict[str, list[str]]:
    """The operators that each module runs itself, in order."""
    listed: dict[str, list[str]] = {}
    for node in profile.flow:
        if node.op not in ("input", "call"):
            listed.setdefault(node.module, []).append(node.op)
    return listed


def _list_short(operators: list[str] | None) -> str:
    if not operators:
        return "nothing"
    return ", ".join(operators[:_NAMED]) + (", ..." if len(operators) > _NAMED else "")
