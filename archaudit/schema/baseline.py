"""The text of a baseline: JSON in a layout for code review.

`modules` has a line for each module, with its own figures first; totals of modules follow from them. What several modules have in common is
written once, under a key made of its content: `definitions` (settings and tensors), `shapes` (of a call's inputs and outputs), `programs`.
`calls` lists every call of a module in order; `flow` the forward graph, where `inputs_back` says how many nodes back an input is. In both,
`{"times": 3, "next": 2}` means that the next two entries repeat three times. So two more blocks add lines, and change few others. A line
has at most 200 characters, unless a single name or text is longer.

`digest` is a hash of everything else: a file that was edited by hand does not have the digest of its content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from archaudit.schema.profile import Cost, Profile

LAYOUT = 2
_WIDEST = 200
# Loops with longer bodies are written out.
_LONGEST_PERIOD = 64
_KEY_LENGTH = 8

# The order of the keys; any other follows in alphabetical order, the digest last.
_ORDER = (
    *("format_version", "lock_version", "name", "reference", "device", "inputs", "totals", "peaks", "flops_complete", "params_complete"),
    *("memory_complete", "unknown", "ledger", "ties", "modules", "definitions", "shapes", "programs", "calls", "flow"),
)
_BY_LINE = ("inputs", "ties", "modules", "definitions", "shapes", "programs", "calls", "flow")
# Keys with these values are left out.
_TOP_DEFAULTS: dict[str, Any] = {"params_complete": True, "memory_complete": True}
_MODULE_DEFAULTS: dict[str, Any] = {"aliases": [], "flops_complete": True, "params_complete": True, "memory_complete": True}
_TENSOR_DEFAULTS: dict[str, Any] = {
    **{"kind": "parameter", "persistent": True, "dtype": "float32", "trainable": True, "used": True},
    **{"tied_to": None, "init": None, "logical_elements": None},
}
_NODE_DEFAULTS: dict[str, Any] = {"op": "call", "dtype": "float32", "symbolic": None, "inputs_back": [1]}
_FIGURES = ("params", "macs", "activation_bytes", "moved_bytes", "buffers", "trainable_params", "param_bytes")


def encode_baseline(profile: Profile) -> bytes:
    """A profile as the text of a baseline; equal profiles give equal bytes."""
    content = _lay_out(msgspec.json.decode(msgspec.json.encode(_shorten_training(profile))))
    content["digest"] = compute_digest(content)
    return _format(content).encode()


def _shorten_training(profile: Profile) -> Profile:
    """The profile without the curve and the operators of its training step: versions of torch name and order operators differently."""
    if profile.training is msgspec.UNSET:
        return profile
    memory = msgspec.structs.replace(profile.training.memory, curve=(), saved=())
    training = msgspec.structs.replace(profile.training, memory=memory, operators=())
    return msgspec.structs.replace(profile, training=training)


def compute_digest(content: dict[str, Any]) -> str:
    """The digest of a baseline's content; it depends on values only, not on spaces or the order of keys."""
    values = {name: value for name, value in content.items() if name != "digest"}
    return "sha256:" + hashlib.sha256(msgspec.json.encode(values, order="sorted")).hexdigest()


def verify_digest(content: dict[str, Any]) -> None:
    """Raises ValueError if the content of a baseline does not have its digest."""
    if content.get("digest") != compute_digest(content):
        raise ValueError("it was edited by hand, or merged: its content does not have the digest that it was written with")


# --- a profile in the layout -----------------------------------------------------------------------------------------


def _lay_out(profile: dict[str, Any]) -> dict[str, Any]:
    definitions, shapes, programs = _Shared(), _Shared(), _Shared()
    program_keys = [programs.add("", program) for program in profile.get("programs", ())]
    totals = _sum_totals(profile["modules"])
    content = _drop(profile, _TOP_DEFAULTS)
    content["lock_version"] = LAYOUT
    content["modules"] = [_lay_out_module(module, totals, definitions, program_keys) for module in profile["modules"]]
    content["calls"] = list(_fold(_list_calls(profile["modules"], shapes)))
    content["flow"] = list(_fold(_list_nodes(profile["flow"])))
    content["definitions"], content["shapes"] = definitions.entries, shapes.entries
    if "programs" in profile:
        content["programs"] = programs.entries
    return content


def _lay_out_module(
    module: dict[str, Any], totals: dict[str, dict[str, int]], definitions: _Shared, program_keys: Sequence[str]
) -> dict[str, Any]:
    own = module["own"]
    standard = _complete_figures({name: value for name, value in own.items() if name in ("params", "macs")})
    figures = {name: own[name] for name in _FIGURES if own[name] != standard[name] or (name in ("params", "macs") and own[name])}
    line = {"path": module["path"], **figures, "type": module["type"]}
    if module["total"] != totals[module["path"]]:
        line["total"] = module["total"]
    tensors = [_drop(tensor, _TENSOR_DEFAULTS) for tensor in module["tensors"]]
    definition = {"defined_in": module["defined_in"], "settings": module["settings"], "tensors": tensors}
    line["definition"] = definitions.add(module["type"], _drop(definition, {"defined_in": "torch", "settings": {}, "tensors": []}))
    rest = {name: value for name, value in _drop(module, _MODULE_DEFAULTS).items() if name not in _PLACED}
    if "programs" in module:
        rest["programs"] = [program_keys[position] for position in module["programs"]]
    return line | rest


_PLACED = ("path", "type", "own", "total", "settings", "tensors", "defined_in", "calls", "programs")


def _complete_figures(figures: dict[str, int]) -> dict[str, int]:
    """All costs, from those that are written: all parameters are trainable and have four bytes unless the line says otherwise."""
    params, macs = figures.get("params", 0), figures.get("macs", 0)
    standard = dict.fromkeys(Cost.__struct_fields__, 0) | {"trainable_params": params, "param_bytes": 4 * params}
    return standard | figures | {"flops": 2 * macs}


def _sum_totals(modules: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """The total cost of each module, by path: its own cost, and that of every module below it."""
    totals = {module["path"]: dict(module["own"]) for module in modules}
    for module in modules:
        for path in _walk_up(module["path"]):
            if path in totals:
                above = totals[path]
                for name, value in module["own"].items():
                    above[name] += value
    return totals


def _walk_up(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition(".")[0]
        yield path


def _list_calls(modules: Sequence[dict[str, Any]], shapes: _Shared) -> list[dict[str, Any]]:
    """Every call with its module, in order. `order` is written only where the positions are not 0, 1, 2, ..."""
    calls = sorted(
        ((call["order"], place, module["path"], call) for place, module in enumerate(modules) for call in module["calls"]), key=_order
    )
    plain = [order for order, *_ in calls] == list(range(len(calls)))
    listed = []
    for order, _, path, call in calls:
        key = shapes.add("", {"inputs": call["inputs"], "outputs": call["outputs"]})
        entry = {"module": path, "from": call["inputs_from"], "shapes": key, "order": order}
        listed.append(_without(_drop(entry, {"from": []}), *(("order",) if plain else ())))
    return listed


def _order(call: tuple[Any, ...]) -> tuple[int, int]:
    return call[0], call[1]


def _list_nodes(nodes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The forward graph; with `inputs_back` in place of `id` and `inputs` where the ids are 0, 1, 2, ..."""
    if [node["id"] for node in nodes] != list(range(len(nodes))):
        return [dict(node) for node in nodes]
    relative = (_without(node, "id", "inputs") | {"inputs_back": [node["id"] - each for each in node["inputs"]]} for node in nodes)
    return [_drop(node, _NODE_DEFAULTS) for node in relative]


class _Shared:
    """What several lines refer to: each content once, under a key made of it."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self._keys: dict[bytes, str] = {}

    def add(self, prefix: str, content: Any) -> str:
        """The key of the content; a new one if it was not added before."""
        data = msgspec.json.encode((prefix, content), order="sorted")
        if data not in self._keys:
            digest, length = hashlib.sha256(data).hexdigest(), _KEY_LENGTH
            while (key := "-".join(filter(None, (prefix, digest[:length])))) in self.entries:
                length += 1
            self._keys[data] = key
            self.entries[key] = content
        return self._keys[data]


def _fold(entries: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The entries; a run of entries that repeats is written once, after `{"times": ..., "next": ...}`."""
    numbers: dict[bytes, int] = {}
    ids = [numbers.setdefault(msgspec.json.encode(entry, order="sorted"), len(numbers)) for entry in entries]
    place = 0
    while place < len(ids):
        period, times = _find_repeat(ids, place)
        if times > 1:
            yield {"times": times, "next": period}
        yield from entries[place : place + period]
        place += period * times


def _find_repeat(ids: Sequence[int], place: int) -> tuple[int, int]:
    """The period and the number of repeats at a place that save most lines; 1 and 1 if none saves any."""
    best, saved = (1, 1), 1
    for period in range(1, min(_LONGEST_PERIOD, (len(ids) - place) // 2) + 1):
        if ids[place] != ids[place + period] or ids[place : place + period] != ids[place + period : place + 2 * period]:
            continue
        end = place + period
        while end < len(ids) and ids[end] == ids[end - period]:
            end += 1
        times = (end - place) // period
        if (times - 1) * period > saved:
            best, saved = (period, times), (times - 1) * period
    return best


# --- the layout as the keys of a profile ------------------------------------------------------------------------------


# A file of a few lines must not ask for more memory than any real profile needs.
_MOST_ENTRIES = 10_000_000


def read_baseline(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a baseline as the keys of a profile. Raises ValueError, KeyError and others for lines that contradict each other."""
    programs = list(content.get("programs", {}))
    places = {key: place for place, key in enumerate(programs)}
    modules = []
    for line in content["modules"]:
        definition = content["definitions"][line["definition"]]
        tensors = [_TENSOR_DEFAULTS | tensor for tensor in definition.get("tensors", ())]
        figures = {name: line[name] for name in _FIGURES if name in line}
        rest = {name: value for name, value in line.items() if name not in (*_FIGURES, "definition")}
        if "programs" in line:
            rest["programs"] = [places[key] for key in line["programs"]]
        plain = {"settings": {}, "defined_in": "torch", **definition, "tensors": tensors, "own": _complete_figures(figures), "calls": []}
        modules.append(plain | rest)
    totals = _sum_totals(modules)
    for module in modules:
        module.setdefault("total", totals[module["path"]])
    by_path = {module["path"]: module for module in modules}
    for position, entry in enumerate(_unfold(content["calls"])):
        call = {**content["shapes"][entry["shapes"]], "inputs_from": entry.get("from", []), "order": entry.get("order", position)}
        by_path[entry["module"]]["calls"].append(call)
    restored = _without(content, "lock_version", "digest", "definitions", "shapes", "calls")
    restored |= {"modules": modules, "flow": [_restore_node(node, place) for place, node in enumerate(_unfold(content["flow"]))]}
    if "programs" in content:
        restored["programs"] = [content["programs"][key] for key in programs]
    return restored


def _restore_node(node: dict[str, Any], place: int) -> dict[str, Any]:
    if "id" in node:
        return node
    node = _NODE_DEFAULTS | node
    return _without(node, "inputs_back") | {"id": place, "inputs": [place - each for each in node["inputs_back"]]}


def _unfold(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries with every repeated run written out."""
    unfolded: list[dict[str, Any]] = []
    waiting = list(entries)
    place = 0
    while place < len(waiting):
        times, period = (waiting[place]["times"], waiting[place]["next"]) if "times" in waiting[place] else (1, 1)
        place += "times" in waiting[place]
        if not 0 < period <= len(waiting) - place or not 0 < times * period <= _MOST_ENTRIES:
            raise ValueError(f"{times} times the next {period} entries is not possible")
        unfolded += waiting[place : place + period] * times
        place += period
    return unfolded


# --- text ------------------------------------------------------------------------------------------------------------


def _drop(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The values without keys that have their default."""
    return {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _format(content: dict[str, Any]) -> str:
    known = [name for name in _ORDER if name in content]
    names = [*known, *sorted(name for name in content if name not in (*_ORDER, "digest")), "digest"]
    lines = [_format_key(name, content[name]) for name in names]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _format_key(name: str, value: Any) -> str:
    if name not in _BY_LINE or not value:
        return _break(value, f" {json.dumps(name)}: ", 1)
    if isinstance(value, dict):
        inner = ",\n".join(_break(each, f"  {json.dumps(key)}: ", 2) for key, each in value.items())
        return f" {json.dumps(name)}: {{\n{inner}\n }}"
    return f" {json.dumps(name)}: [\n" + ",\n".join(_break(each, "  ", 2) for each in value) + "\n ]"


def _break(value: Any, head: str, indent: int) -> str:
    """The value after `head` on one line; if that is too long, its parts on lines of their own, as many on each as fit."""
    text = head + json.dumps(value)
    if len(text) < _WIDEST or not isinstance(value, (dict, list)) or not value:  # a comma may follow
        return text
    margin = " " * (indent + 1)
    pairs = [(f"{json.dumps(name)}: ", each) for name, each in value.items()] if isinstance(value, dict) else [("", each) for each in value]
    lines: list[str] = []
    for name, each in pairs:
        part = _break(each, margin + name, indent + 1)
        if lines and "\n" not in part and "\n" not in lines[-1] and len(lines[-1]) + 1 + len(part.lstrip()) < _WIDEST - 1:
            lines[-1] += f", {part.lstrip()}"
        else:
            lines.append(part)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{head}{opening}\n" + ",\n".join(lines) + f"\n{margin[:-1]}{closing}"
