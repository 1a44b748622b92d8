"""[[align]]: what the user says about which module after is which module before."""

from __future__ import annotations

from archaudit.config.records import AlignPin
from archaudit.config.tables import Table


def read_pins(top: Table) -> tuple[AlignPin, ...]:
    """The pins of [[align]]: `before` and `after` are paths, of which one may be missing; `forbid = true` turns a pin round."""
    pins = []
    for key, values in top.list_tables("align"):
        table = Table(values, key, top.faults, ("before", "after", "forbid"))
        sides = [table.read_text(side) or None for side in ("before", "after")]
        forbid = values.get("forbid", False)
        if not isinstance(forbid, bool):
            table.fault("forbid", "expected true or false")
        elif forbid and None in sides:
            table.fault("forbid", "is for a pair; leave it out to leave a single module unmatched")
        if sides == [None, None] and not values.keys() & {"before", "after"}:
            table.fault("before", "is missing; a pin names a module before, a module after, or both")
        pins.append(AlignPin(key=key, before=sides[0], after=sides[1], forbid=forbid is True))
    return tuple(pins)
