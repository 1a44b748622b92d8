"""Baselines as files that people review: a line for each module and each step of the forward pass.

A change of one layer is to change few lines. So what counts along the whole model is left out and found again on reading: the place of each
call stands in `call_order`, and a step of the forward pass says how many steps back its inputs are. Every other key is the profile's own.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from archaudit.schema.profile import Profile

LOCK_VERSION = 1

# Left out where they say nothing.
_SILENT: dict[str, list[str] | None] = {
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
    """A profile as the text of a baseline: sorted keys, the same bytes for the same profile."""
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
    lines = [f" {json.dumps(key)}: {_lay_out(key, content[key])}" for key in sorted(content)]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def read_lock(content: dict[str, Any]) -> dict[str, Any]:
    """The keys of the profile that a baseline's are. Raises ValueError for a version that is not known, or what does not fit together."""
    if content.get("lock_version") != LOCK_VERSION:
        raise ValueError(f"it has the layout {content.get('lock_version')!r}; this archaudit reads {LOCK_VERSION}")
    try:
        return _restore(content)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"its lines do not fit together ({type(error).__name__}: {error})") from error


def _restore(content: dict[str, Any]) -> dict[str, Any]:
    if "call_order" in content:
        waiting = {module["path"]: list(module.get("calls", ())) for module in content["modules"]}
        ordered: dict[str, list[dict[str, Any]]] = {path: [] for path in waiting}
        for order, path in enumerate(content["call_order"]):
            ordered[path].append({**waiting[path].pop(0), "order": order})
        if any(waiting.values()):
            raise ValueError("a module is called more often than call_order says")
        content["modules"] = [{**module, "calls": ordered[module["path"]]} for module in content["modules"]]
    if any("inputs_back" in node for node in content["flow"]):
        content["flow"] = [
            _without(node, "inputs_back") | {"id": position, "inputs": [position - each for each in node["inputs_back"]]}
            for position, node in enumerate(content["flow"])
        ]
    return _without(content, "lock_version", "call_order")


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _lay_out(key: str, value: Any) -> str:
    if key not in _BY_LINE or not value:
        return _write(value)
    return "[\n" + ",\n".join(f"  {_write(each)}" for each in value) + "\n ]"


def _write(value: Any) -> str:
    return json.dumps(_drop_silent(msgspec.json.decode(msgspec.json.encode(value))), sort_keys=True, ensure_ascii=True)


def _drop_silent(value: Any) -> Any:
    """The value without keys that say nothing; settings are the user's own, and stay as they are."""
    if isinstance(value, dict):
        return {
            name: each if name == "settings" else _drop_silent(each)
            for name, each in value.items()
            if name not in _SILENT or each != _SILENT[name]
        }
    return [_drop_silent(each) for each in value] if isinstance(value, (list, tuple)) else value
