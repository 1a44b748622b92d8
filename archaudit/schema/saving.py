"""Records as JSON, written and read."""

from __future__ import annotations

import msgspec

from archaudit.errors import SavedFileError
from archaudit.schema.baseline import read_lock
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
            return msgspec.convert(read_lock(msgspec.json.decode(data)), kind)
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise SavedFileError(f"{source} is not {noun}: {error}", hint) from error
