"""Records as JSON, written and read; and baselines, which are JSON in a layout for code review.

A baseline has one line for each module and each node of the forward graph, and a change of one layer changes few lines. So positions are
stored relatively: calls are listed in `call_order` in place of numbers, and a node of the forward graph says how many nodes back its inputs
are. All other keys are the profile's.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from archaudit.errors import SavedFileError
from archaudit.schema.latency import LatencyFile
from archaudit.schema.profile import Profile
from archaudit.schema.record import FORMAT_VERSION, AnyRecord, Record
from archaudit.schema.report import Report
from archaudit.schema.study import History, Sweep


def strip_provenance(profile: Profile, *, witnesses: bool = False) -> Profile:
    """The profile as it is committed: without what differs between machines and versions.

    Operator lists are removed, since versions of torch name operators differently (the ledger keeps its three counts). Witnesses depend on
    their libraries' versions: baselines leave them out, reports keep them (`witnesses`).
    """
    ledger = msgspec.structs.replace(profile.ledger, operators=())
    return msgspec.structs.replace(profile, ledger=ledger, witnesses=profile.witnesses if witnesses else {}, provenance=None)


def encode(record: Record) -> bytes:
    """A record as JSON: sorted keys, indented, a newline at the end; equal records give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=1) + b"\n"


def decode_profile(data: bytes, source: str) -> Profile:
    """A saved profile or a baseline. Raises SavedFileError, which names `source`, for anything else."""
    return _decode(data, source, Profile, "a saved profile", "Write it again: archaudit baseline, or archaudit profile -o.")


def decode_report(data: bytes, source: str) -> Report:
    """A saved report. Raises SavedFileError, which names `source`, for anything else."""
    return _decode(data, source, Report, "a saved report", "Write it again: archaudit compare BEFORE AFTER --format json.")


def decode_rendered(data: bytes, source: str) -> Report | History | Sweep:
    """A saved report, history or sweep. Raises SavedFileError, which names `source`, for anything else."""
    try:
        found = msgspec.json.decode(data, type=_Kind)
    except msgspec.MsgspecError:
        return decode_report(data, source)  # raises the error
    if found.steps is not msgspec.UNSET:
        return _decode(data, source, History, "a saved history", "Write it again: archaudit history REF --format json.")
    if found.variants is not msgspec.UNSET:
        return _decode(data, source, Sweep, "a saved sweep", "Write it again: archaudit sweep REF --format json.")
    return decode_report(data, source)


def decode_latencies(data: bytes, source: str) -> LatencyFile:
    """Recorded times. Raises SavedFileError, which names `source`, for anything else."""
    return _decode(data, source, LatencyFile, "a file of recorded times", "Record them again: archaudit latency BEFORE AFTER --record.")


class _Kind(msgspec.Struct):
    steps: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    variants: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Version(msgspec.Struct):
    format_version: int
    lock_version: int = 0


def _decode(data: bytes, source: str, kind: type[AnyRecord], noun: str, hint: str) -> AnyRecord:
    try:
        found = msgspec.json.decode(data, type=_Version)
        version = found.format_version
    except msgspec.MsgspecError as error:
        raise SavedFileError(f"{source} is not {noun}: {error}", hint) from error
    if version != FORMAT_VERSION:
        raise SavedFileError(f"{source} has format version {version}; this archaudit reads version {FORMAT_VERSION}", hint)
    try:
        if found.lock_version and kind is Profile:
            return msgspec.convert(_read_baseline(msgspec.json.decode(data)), kind)
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise SavedFileError(f"{source} is not {noun}: {error}", hint) from error


# --- baselines --------------------------------------------------------------------------------------------------------


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
_BY_LINE = ("modules", "flow", "programs", "call_order", "ties")


def encode_baseline(profile: Profile) -> bytes:
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


def _read_baseline(content: dict[str, Any]) -> dict[str, Any]:
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
