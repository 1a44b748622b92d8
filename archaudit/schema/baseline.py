"""Baselines as files that people review: one line for each module and each node of the forward graph.

A change of one layer changes few lines. So positions are stored relatively: calls are listed in `call_order` in place of numbers, and a
node of the forward graph says how many nodes back its inputs are. All other keys are the profile's.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from archaudit.schema.profile import Profile

LOCK_VERSION = 1

# Keys with these values are left out.
_DEFAULTS: dict[str, list[str] | None] = {
    "aliases": [],
    "defined_in": None,
    "tied_to": None,
    "init": None,
    "used": None,
    "logical_elements": None,
    "symbolic": None,
}
_BY_LINE = ("modules", "flow", "call_order", "ties")


def encode_lock(profile: Profile) -> bytes:
    """A profile as the text of a baseline: sorted keys; equal profiles give equal bytes."""
    content: dict[str, Any] = msgspec.to_builtins(profile)
    content["lock_version"] = LOCK_VERSION
    calls = sorted((call["order"], module["path"]) for module in content["modules"] for call in module["calls"])
    if [order for order, _ in calls] == list(range(len(calls))):
        content["call_order"] = [path for _, path in calls]
        for module in content["modules"]:
            module["calls"] = [_without(call, "order") for call in sorted(module["calls"], key=lambda call: call["order"])]
    if [node["id"] for node in content["flow"]] == list(range(len(content["flow"]))):
        content["flow"] = [
            _without(node, "id", "inputs") | {"inputs_back": [node["id"] - each for each in node["inputs"]]} for node in content["flow"]
        ]
    lines = [f" {json.dumps(key)}: {_format_value(key, content[key])}" for key in sorted(content)]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def read_lock(content: dict[str, Any]) -> dict[str, Any]:
    """A baseline as the keys of a profile. Raises ValueError for an unknown version, or lines that contradict each other."""
    if content.get("lock_version") != LOCK_VERSION:
        raise ValueError(f"it has the layout {content.get('lock_version')!r}; this archaudit reads {LOCK_VERSION}")
    try:
        return _restore(content)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"its lines contradict each other ({type(error).__name__}: {error})") from error


def _restore(content: dict[str, Any]) -> dict[str, Any]:
    if "call_order" in content:
        waiting = {module["path"]: list(module.get("calls", ())) for module in content["modules"]}
        ordered: dict[str, list[dict[str, Any]]] = {path: [] for path in waiting}
        for order, path in enumerate(content["call_order"]):
            ordered[path].append({**waiting[path].pop(0), "order": order})
        if any(waiting.values()):
            raise ValueError("a module has more calls than call_order lists")
        content["modules"] = [{**module, "calls": ordered[module["path"]]} for module in content["modules"]]
    if any("inputs_back" in node for node in content["flow"]):
        content["flow"] = [
            _without(node, "inputs_back") | {"id": position, "inputs": [position - each for each in node["inputs_back"]]}
            for position, node in enumerate(content["flow"])
        ]
    return _without(content, "lock_version", "call_order")


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _format_value(key: str, value: Any) -> str:
    if key not in _BY_LINE or not value:
        return _format_line(value)
    return "[\n" + ",\n".join(f"  {_format_line(each)}" for each in value) + "\n ]"


def _format_line(value: Any) -> str:
    return json.dumps(_drop_defaults(msgspec.json.decode(msgspec.json.encode(value))), sort_keys=True, ensure_ascii=True)


def _drop_defaults(value: Any) -> Any:
    """The value without keys that have their default; settings are the user's, and stay as they are."""
    if isinstance(value, dict):
        return {
            name: each if name == "settings" else _drop_defaults(each)
            for name, each in value.items()
            if name not in _DEFAULTS or each != _DEFAULTS[name]
        }
    return [_drop_defaults(each) for each in value] if isinstance(value, (list, tuple)) else value
