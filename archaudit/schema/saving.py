"""Records as JSON, written and read. What is read is verified: a file that contradicts itself is refused, with the place.

Baselines are read in the layout of `archaudit.schema.baseline`, and in the first layout, which listed the calls in `call_order`.
"""

from __future__ import annotations

import errno
import json
import os
import select
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from archaudit.errors import SavedFileError
from archaudit.schema.baseline import LAYOUT, read_baseline, verify_digest
from archaudit.schema.latency import LatencyFile
from archaudit.schema.profile import Profile
from archaudit.schema.record import FORMAT_VERSION, AnyRecord, Record
from archaudit.schema.report import Report
from archaudit.schema.study import History, Sweep
from archaudit.schema.validation import verify_history, verify_latencies, verify_profile, verify_report, verify_sweep


def strip_provenance(profile: Profile, *, other_counters: bool = False) -> Profile:
    """The profile as it is committed: without what differs between machines and versions.

    Operator lists are removed, since versions of torch name operators differently (the ledger keeps its three counts). The numbers of
    other counters depend on their libraries' versions: baselines leave them out, reports keep them (`other_counters`).
    """
    ledger = msgspec.structs.replace(profile.ledger, operators=())
    return msgspec.structs.replace(profile, ledger=ledger, other_counters=profile.other_counters if other_counters else {}, provenance=None)


def encode(record: Record) -> bytes:
    """A record as JSON: sorted keys, indented, a newline at the end; equal records give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=1) + b"\n"


def decode_profile(data: bytes, source: str) -> Profile:
    """A saved profile or a baseline. Raises SavedFileError, which names `source`, for anything else."""
    return _decode(data, source, Profile, "a saved profile", "Write it again: archaudit baseline, or archaudit profile -o.", verify_profile)


def decode_report(data: bytes, source: str) -> Report:
    """A saved report. Raises SavedFileError, which names `source`, for anything else."""
    return _decode(data, source, Report, "a saved report", "Write it again: archaudit compare BEFORE AFTER --format json.", verify_report)


def decode_rendered(data: bytes, source: str) -> Report | History | Sweep:
    """A saved report, history or sweep. Raises SavedFileError, which names `source`, for anything else."""
    try:
        found = msgspec.json.decode(data, type=_Kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return decode_report(data, source)  # raises the error
    if found.steps is not msgspec.UNSET:
        hint = "Write it again: archaudit history REF --format json."
        return _decode(data, source, History, "a saved history", hint, verify_history)
    if found.variants is not msgspec.UNSET:
        return _decode(data, source, Sweep, "a saved sweep", "Write it again: archaudit sweep REF --format json.", verify_sweep)
    return decode_report(data, source)


def decode_latencies(data: bytes, source: str) -> LatencyFile:
    """Recorded times. Raises SavedFileError, which names `source`, for anything else."""
    hint = "Record them again: archaudit latency BEFORE AFTER --record."
    return _decode(data, source, LatencyFile, "a file of recorded times", hint, verify_latencies)


class _Kind(msgspec.Struct):
    steps: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    variants: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Version(msgspec.Struct):
    format_version: int
    lock_version: int = 0


def _decode(data: bytes, source: str, kind: type[AnyRecord], noun: str, hint: str, verify: Callable[[AnyRecord], None]) -> AnyRecord:
    try:
        found = msgspec.json.decode(data, type=_Version)
        if found.format_version != FORMAT_VERSION:
            raise SavedFileError(f"{source} has format version {found.format_version}; this archaudit reads version {FORMAT_VERSION}", hint)
        _refuse_repeated_keys(data)
        if found.lock_version and kind is Profile:
            content = msgspec.json.decode(data)
            record = msgspec.convert(_read_layout(content), kind)
            verify(record)
            if found.lock_version == LAYOUT:  # last: what contradicts itself is named with its place
                verify_digest(content)
        else:
            record = msgspec.json.decode(data, type=kind)
            verify(record)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise SavedFileError(f"{source} is not {noun}: {error}", hint) from error
    except RecursionError as error:
        raise SavedFileError(f"{source} is not {noun}: its values are nested too deeply", hint) from error
    return record


def _refuse_repeated_keys(data: bytes) -> None:
    """Raises ValueError for a key that an object has twice: programs disagree about which value holds.

    Without such keys, the decoded text has the length of the text without spaces, unless numbers or letters are written in another way:
    only then are all keys compared.
    """
    if len(msgspec.json.format(data, indent=-1)) != len(msgspec.json.encode(msgspec.json.decode(data))):
        json.loads(data, object_pairs_hook=_expect_different_keys)


def _expect_different_keys(pairs: list[tuple[str, Any]]) -> None:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {repeated[:80]!r} is there twice in one object")


def _read_layout(content: dict[str, Any]) -> dict[str, Any]:
    """A baseline as the keys of a profile. Raises ValueError for an unknown layout, or lines that contradict each other."""
    readers = {_FIRST_LAYOUT: _read_first_layout, LAYOUT: read_baseline}
    read = readers.get(content.get("lock_version", 0))
    if read is None:
        raise ValueError(f"it has the layout {content.get('lock_version')!r}; this archaudit reads layouts up to {LAYOUT}")
    try:
        return read(content)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"its lines contradict each other ({type(error).__name__}: {error})") from error


# --- the first layout of baselines -------------------------------------------------------------------------------------


_FIRST_LAYOUT = 1


def _read_first_layout(content: dict[str, Any]) -> dict[str, Any]:
    """It lists the modules of all calls in `call_order`, and a node says how many nodes back its inputs are (`inputs_back`)."""
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


# --- reading files that a user names: a path can also name a pipe without a writer, or a device without an end


_LARGEST_FILE_BYTES = 2**29
_LONGEST_WAIT_S = 10.0
_BLOCK_BYTES = 2**20


def read_file(path: Path) -> bytes:
    """The content of a file, or of a pipe (`<(command)`) that somebody writes to.

    Raises OSError, also if it is larger than 512 MiB, or if nothing can be read from it for ten seconds.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        parts: list[bytes] = []
        size = 0
        while True:
            if not is_file and not select.select([descriptor], [], [], _LONGEST_WAIT_S)[0]:
                raise OSError(errno.ETIMEDOUT, f"nothing came from it for {_LONGEST_WAIT_S:g} s", str(path))
            part = os.read(descriptor, _BLOCK_BYTES)
            size += len(part)
            if not part:
                break
            if size > _LARGEST_FILE_BYTES:
                raise OSError(errno.EFBIG, f"it is larger than {_LARGEST_FILE_BYTES >> 20} MiB", str(path))
            parts.append(part)
        if not size and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise OSError(errno.EPIPE, "it is a pipe that nothing is written to", str(path))
        return b"".join(parts)
    finally:
        os.close(descriptor)
