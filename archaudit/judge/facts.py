"""FACT_COMPARISONS: shapes, settings and the presence of modules, each compared with the figure as written.

A shape may be symbolic, `[B, 128, H/8, W/8]`: B, H and W are the sizes of the model's first input image, and a quotient must be exact.
Any other name (`num_classes`) matches any size, but the same size everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from archaudit.errors import CannotJudge
from archaudit.judge.comparisons import Finding
from archaudit.metrics.catalog import read_setting
from archaudit.metrics.selection import find_nearest_paths, select_modules, select_named
from archaudit.schema import Profile, Record, Setting, Shape

PRESENCES = ("present", "absent", "new", "gone")

_DIMENSION = re.compile(r"(?P<number>[0-9]+)|(?P<name>[^\W\d]\w*)(?:\s*(?P<operator>//?|\*)\s*(?P<factor>[0-9]+))?")
_BATCH = ("B", "N", "batch", "batch_size", "bs")
_SHOWN = 3  # shapes in a reason: a reused module may have many


class Subject(Record, frozen=True, kw_only=True):
    """Where a fact is looked up: a scope of a profile, and the scope of the other side, if there is one."""

    profile: Profile
    scope: tuple[str, ...]
    other: Profile | None = None
    other_scope: tuple[str, ...] = ()


def _compare_shape(subject: Subject, argument: str, figure: str) -> Finding:
    """Whether every module of the scope has an output (an input, for `in`) of that shape, or its operator `argument` has."""
    written = parse_shape(figure)
    defined = symbols = _define_symbols(subject.profile)
    if all(_evaluate(each, defined) is None for each in written):
        raise CannotJudge(f"{figure!r} has no size to compare: only B, H and W have a value")
    candidates = _list_shapes(subject, argument)
    for shapes in candidates.values():
        for shape in shapes:
            if (free := _match_shape(written, shape, symbols)) is not None:
                symbols = symbols | free
                break
        else:
            return _make_finding(False, figure, _describe_shapes(shapes))
    where = "".join(f", {name} = {size}" for name, size in symbols.items() if name not in defined)
    evaluated = "[" + ", ".join(str(_evaluate(each, symbols)) for each in written) + "]"
    return _make_finding(True, figure, evaluated + where)


def _compare_setting(subject: Subject, argument: str, figure: str) -> Finding:
    """Whether the modules have that setting; a list may be the settings of several modules in order, as in dilation rates [1, 6, 12]."""
    modules = [module for module in select_named(subject.profile, subject.scope) if argument in module.settings]
    if len(modules) > 1 and figure.startswith("[") and figure.count(",") == len(modules) - 1:
        values: Setting = [_collapse(module.settings[argument]) for module in modules]
        return _make_finding(_matches_text(figure, values), figure, _format_setting(values))
    value = read_setting(subject.profile, subject.scope, argument)
    return _make_finding(_matches_text(figure, value), figure, _format_setting(value))


def _compare_presence(subject: Subject, argument: str, figure: str) -> Finding:
    """Whether each pattern of the scope matches a module; with `argument`, whether the scope has a module of that type."""
    here = _is_present(subject.profile, subject.scope, argument)
    if subject.other is None:
        if figure not in PRESENCES[:2]:
            raise CannotJudge(f"{figure!r} needs a second model: name one in `against`")
        found = "present" if here else "absent"
        near = [] if here or argument else [path for each in subject.scope for path in find_nearest_paths(subject.profile, each)]
        hint = f" (the nearest: {', '.join(near[:_SHOWN])})" if near and figure == "present" else ""
        return _make_finding(found == figure, figure, found + hint)
    other = _is_present(subject.other, subject.other_scope, argument)
    found = {(False, True): "new", (True, False): "gone", (True, True): "present", (False, False): "absent"}[other, here]
    where = f"{'in' if other else 'not in'} {subject.other.name}, {'in' if here else 'not in'} this"
    return _make_finding(found == figure, figure, f"{found} ({where})")


FACT_COMPARISONS: dict[str, Callable[[Subject, str, str], Finding]] = {
    "shape": _compare_shape,
    "setting": _compare_setting,
    "presence": _compare_presence,
}


def _make_finding(holds: bool, figure: str, measured: str) -> Finding:
    return Finding(holds=holds, measured=measured, reason=f"document says {figure}, measured {measured}")


# --- presence ---------------------------------------------------------------------------------------------------------


def _is_present(profile: Profile, scope: tuple[str, ...], type_name: str) -> bool:
    if type_name:
        return any(module.type == type_name for module in select_modules(profile, scope))
    return all(select_named(profile, (pattern,)) for pattern in scope)


# --- settings ---------------------------------------------------------------------------------------------------------


def _collapse(value: Setting) -> Setting:
    """6 for a dilation of [6, 6]."""
    return value[0] if isinstance(value, list) and value and all(each == value[0] for each in value) else value


def _format_setting(value: Setting) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "[" + ", ".join(_format_setting(each) for each in value) + "]" if isinstance(value, list) else str(value)


def _matches_text(figure: str, value: Setting) -> bool:
    """Whether the figure is that value as text: `zeros`, `true`, `[3, 3]` or `3x3`; upper and lower case are the same."""
    text = figure.strip().strip("[]()").casefold()
    if isinstance(value, list):
        parts = [part.strip() for part in re.split(r"[,x×]", text)]
        return len(parts) == len(value) and all(_matches_text(part, each) for part, each in zip(parts, value, strict=True))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text == _format_setting(value).casefold()


# --- shapes -----------------------------------------------------------------------------------------------------------


def parse_shape(figure: str) -> list[str]:
    """The sizes in `[B, 128, H/8, W/8]`, `(1, 3, 8, 8)` or `1x3x8x8`, as texts. Raises CannotJudge for anything else."""
    inner = figure.strip()
    if inner[:1] in "[(" and inner[-1:] in ")]":
        inner = inner[1:-1]
    separator = r"," if "," in inner else r"[x×]"
    parts = [part.strip() for part in re.split(separator, inner.rstrip(", "))]
    if not all(_DIMENSION.fullmatch(part) for part in parts):
        raise CannotJudge(f"{figure[:60]!r} is not a shape; write for example [B, 128, H/8, W/8] or 1x3x512x512")
    return parts


def _define_symbols(profile: Profile) -> dict[str, int]:
    images = [record.shape for record in profile.inputs if len(record.shape) == 4]
    shapes = [*images, *(record.shape for record in profile.inputs if record.shape)]
    symbols = dict.fromkeys(_BATCH, shapes[0][0]) if shapes else {}
    return symbols | ({"H": images[0][2], "W": images[0][3]} if images else {})


def _evaluate(written: str, symbols: dict[str, int]) -> int | None:
    """The size that is written; None for a name without a value. Raises CannotJudge where it has no exact value."""
    part = _DIMENSION.fullmatch(written)
    assert part is not None
    if part["number"]:
        return int(part["number"])
    size = symbols.get(part["name"])
    if part["operator"] is None:
        return size
    if size is None:
        raise CannotJudge(f"{written!r} has no value: only B, H and W are known, not {part['name']}")
    factor = int(part["factor"])
    if part["operator"] == "*":
        return size * factor
    if factor == 0 or size % factor:
        raise CannotJudge(f"{written!r} has no exact value: {part['name']} is {size}")
    return size // factor


def _match_shape(written: list[str], shape: Shape, symbols: dict[str, int]) -> dict[str, int] | None:
    """The sizes of names without a value, if `shape` is what is written; None if it is not."""
    if len(written) != len(shape):
        return None
    free: dict[str, int] = {}
    for part, size in zip(written, shape, strict=True):
        expected = _evaluate(part, symbols | free)
        if expected is None:
            free[part] = size
        elif expected != size:
            return None
    return free


def _list_shapes(subject: Subject, argument: str) -> dict[str, list[Shape]]:
    """By module: the shapes of its outputs, or of its inputs (`in`); by operator: the shapes of its results."""
    modules = select_named(subject.profile, subject.scope)
    if not modules:
        near = [path for each in subject.scope for path in find_nearest_paths(subject.profile, each)]
        raise CannotJudge(
            f"no module of {subject.profile.name} matches {' + '.join(map(repr, subject.scope))}"
            + (f"; the nearest are {', '.join(near[:_SHOWN])}" if near else "")
        )
    if argument in ("", "in"):
        shapes = {
            module.path: [shape for call in module.calls for shape in (call.inputs if argument else call.outputs)] for module in modules
        }
    else:
        shapes = _list_operator_shapes(subject.profile, {module.path for module in modules}, argument)
    empty = [path for path, found in shapes.items() if not found]
    if empty or not shapes:
        raise CannotJudge(f"no shape was recorded for {', '.join(path or 'the model' for path in empty) or argument}")
    return shapes


def _list_operator_shapes(profile: Profile, paths: set[str], argument: str) -> dict[str, list[Shape]]:
    """For `cat`, every result of `cat` that the modules computed themselves; for `cat:2`, the second only."""
    operator, colon, position = argument.partition(":")
    shapes = [node.shape for node in profile.flow if node.op == operator and node.module in paths and node.shape is not None]
    if colon:
        number = int(position) if position.isdecimal() else 0
        shapes = shapes[number - 1 : number] if number else []
    return {argument: shapes}


def _describe_shapes(shapes: list[Shape]) -> str:
    distinct = list(dict.fromkeys(shapes))
    texts = ["[" + ", ".join(map(str, shape)) + "]" for shape in distinct[:_SHOWN]]
    return " and ".join(texts) + (f" and {len(distinct) - _SHOWN} more" if len(distinct) > _SHOWN else "")
