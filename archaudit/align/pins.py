"""What the user says about single modules: matched with this one, never matched with that one, or not matched at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from archaudit.align.matching import Matching
from archaudit.errors import ConfigError
from archaudit.index import index_modules
from archaudit.metrics.selection import find_nearest_paths
from archaudit.schema import Match, Pair, Profile


class Pin(NamedTuple):
    """`before` became `after`; with `forbid` it did not. Where one side is None, the module of the other side has no counterpart.

    `source` says where the pin was written, for messages.
    """

    before: str | None = None
    after: str | None = None
    forbid: bool = False
    source: str = "align"


def check_pins(profiles: Pair[Profile], pins: Iterable[Pin]) -> tuple[Pin, ...]:
    """The pins. Raises ConfigError with every unknown path, and every module that is pinned twice."""
    checked = tuple(pins)
    pinned: dict[tuple[str, str], Pin] = {}
    faults = []
    for pin in checked:
        for side, profile, path in (("before", profiles.before, pin.before), ("after", profiles.after, pin.after)):
            if path is None:
                continue
            if path not in index_modules(profile):
                near = find_nearest_paths(profile, path)
                hint = f"; the nearest are {', '.join(near)}" if near else ""
                faults.append(f"{pin.source}.{side}: {profile.name} has no module {path!r}{hint}")
            elif not pin.forbid:
                first = pinned.setdefault((side, path), pin)
                if first is not pin:
                    faults.append(f"{pin.source}.{side}: {path!r} is pinned by {first.source} already")
    if faults:
        raise ConfigError("\n".join(faults), "A pin names one module of each side by its path, and each module once.")
    return checked


def apply_pins(matching: Matching, pins: Iterable[Pin], *, swapped: bool) -> None:
    """Applies the pins to an empty matching, whose left side is after where `swapped`."""
    found = []
    for pin in pins:
        paths = (pin.after, pin.before) if swapped else (pin.before, pin.after)
        one, other = (None if path is None else side.positions[path] for side, path in zip(matching.sides, paths, strict=True))
        found.append((one, other, pin.forbid))
    for one, other, forbid in found:
        for side, module, partner in ((0, one, other), (1, other, one)):
            if module is not None and partner is None:
                matching.exclude(side, module)
        if one is not None and other is not None and forbid:
            matching.forbid(one, other)
    for one, other, forbid in found:
        if one is not None and other is not None and not forbid:
            matching.pin(one, other)


def add_pin_reasons(matches: Iterable[Match], pins: Iterable[Pin]) -> tuple[Match, ...]:
    """The matches, with what the pins say about each of them added to its reason."""
    notes: Pair[defaultdict[str, list[str]]] = Pair(defaultdict(list), defaultdict(list))
    for pin in pins:
        for of_side, path, other in ((notes.before, pin.before, pin.after), (notes.after, pin.after, pin.before)):
            if path is None:
                continue
            if pin.forbid:
                of_side[path].append(f"not matched with {other or 'the root'} ({pin.source})")
            elif other is None:
                of_side[path].append(f"left unmatched ({pin.source})")
            elif of_side is notes.before:
                of_side[path].append(f"pinned ({pin.source})")
    return tuple(_add_notes(match, notes) for match in matches)


def _add_notes(match: Match, notes: Pair[defaultdict[str, list[str]]]) -> Match:
    before = notes.before.get(match.before_path, []) if match.before_path is not None else []
    after = notes.after.get(match.after_path, []) if match.after_path is not None else []
    found = [*before, *after]
    return msgspec.structs.replace(match, reason="; ".join(filter(None, [match.reason, *found]))) if found else match
