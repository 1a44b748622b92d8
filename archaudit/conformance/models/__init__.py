"""The cases, one file a subject. The models live here and need torch; each stands beside its answer."""

from __future__ import annotations

from archaudit.conformance.case import Case


def all_cases() -> tuple[Case, ...]:
    """Every case of the battery that this torch can run, in a fixed order."""
    from archaudit.conformance.models import (
        attention,
        contractions,
        convolution,
        dynamic,
        parametrized,
        products,
        recurrent,
        sharing,
        side_effects,
        signatures,
        structure,
        unknowns,
        wrappers,
        zeros,
    )

    rooms = (
        contractions,
        products,
        convolution,
        attention,
        recurrent,
        sharing,
        structure,
        signatures,
        parametrized,
        zeros,
        unknowns,
        dynamic,
        wrappers,
        side_effects,
    )
    return tuple(case for room in rooms for case in room.CASES if case.exists())
