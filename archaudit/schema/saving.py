"""Records to JSON and back."""

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
    """The profile as it is committed: without what varies by machine and version.

    Operator lists go since another torch names operators otherwise (the ledger keeps its three counts). Witnesses follow their own
    versions: a baseline goes without, a report keeps them (`witnesses`).
    """
    ledger = msgspec.structs.replace(profile.ledger, operators=())
    return msgspec.structs.replace(profile, ledger=ledger, witnesses=profile.witnesses if witnesses else {}, provenance=None)


def encode(record: Record) -> bytes:
    """A record as JSON: indented, a newline at the end, the same bytes for the same record."""
    return msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=1) + b"\n"


def decode_profile(data: bytes, source: str) -> Profile:
    """A saved profile or a baseline; SavedFileError, naming `source`, when it is none."""
    return _decode(data, source, Profile, "a saved profile", "Write it again: archaudit baseline, or archaudit profile -o.")


def decode_report(data: bytes, source: str) -> Report:
    """A saved report; SavedFileError, naming `source`, when it is none."""
    return _decode(data, source, Report, "a saved report", "Write it again: archaudit compare BEFORE AFTER --format json.")


def decode_rendered(data: bytes, source: str) -> Report | History | Sweep:
    """Whatever of a report, a history and a sweep was saved; SavedFileError, naming `source`, when it is none of them."""
    try:
        found = msgspec.json.decode(data, type=_Kind)
    except msgspec.MsgspecError:
        return decode_report(data, source)  # which says what is wrong
    if found.steps is not msgspec.UNSET:
        return _decode(data, source, History, "a saved history", "Write it again: archaudit history REF --format json.")
    if found.variants is not msgspec.UNSET:
        return _decode(data, source, Sweep, "a saved sweep", "Write it again: archaudit sweep REF --format json.")
    return decode_report(data, source)


def decode_latencies(data: bytes, source: str) -> LatencyFile:
    """Recorded times; SavedFileError, naming `source`, when it is none."""
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
