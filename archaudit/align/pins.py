"""What the user says about single modules: matched to this one, never to that one, or to none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from archaudit.errors import ConfigError
from archaudit.metrics.catalog import nearest_paths
from archaudit.schema import Match, Profile


class Pin(NamedTuple):
    """`before` became `after`; with `forbid` it did not. A side that is None: the other side's module has no counterpart.

    `source` says where it was written, for messages.
    """

    before: str | None = None
    after: str | None = None
    forbid: bool = False
    source: str = "align"


def check_pins(before: Profile, after: Profile, pins: Iterable[Pin]) -> tuple[Pin, ...]:
    """The pins, each about modules that there are. Raises ConfigError for an unknown path, and for two pins that contradict each other."""
    checked = tuple(pins)
    claimed: dict[tuple[str, str], Pin] = {}
    faults = []
    for pin in checked:
        for side, profile, path in (("before", before, pin.before), ("after", after, pin.after)):
            if path is None:
                continue
            if all(path != module.path for module in profile.modules):
                near = nearest_paths(profile, path)
                hint = f"; the nearest are {', '.join(near)}" if near else ""
                faults.append(f"{pin.source}.{side}: {profile.name} has no module {path!r}{hint}")
            elif not pin.forbid:
                other = claimed.setdefault((side, path), pin)
                if other is not pin:
                    faults.append(f"{pin.source}.{side}: {path!r} is pinned by {other.source} already")
    if faults:
        raise ConfigError("\n".join(faults), "A pin names one module of each side by its path, and each module once.")
    return checked


def tell_pins(matches: Iterable[Match], pins: Iterable[Pin]) -> tuple[Match, ...]:
    """The matches, each with what pins say of it among its reasons."""
    notes: tuple[defaultdict[str, list[str]], defaultdict[str, list[str]]] = (defaultdict(list), defaultdict(list))
    for pin in pins:
        for side, path, other in ((0, pin.before, pin.after), (1, pin.after, pin.before)):
            if path is None:
                continue
            if pin.forbid:
                notes[side][path].append(f"not matched with {other or 'the root'} ({pin.source})")
            elif other is None:
                notes[side][path].append(f"left unmatched ({pin.source})")
            elif side == 0:
                notes[side][path].append(f"pinned ({pin.source})")
    return tuple(_add_notes(match, notes) for match in matches)


def _add_notes(match: Match, notes: tuple[defaultdict[str, list[str]], defaultdict[str, list[str]]]) -> Match:
    paths = match.before_path, match.after_path
    found = [note for side, path in enumerate(paths) if path is not None for note in notes[side].get(path, ())]
    reasons = [match.reason, *found] if match.reason else found
    return msgspec.structs.replace(match, reason="; ".join(reasons)) if found else match
