"""The cases, one file for each subject. The models need torch; each has its answer beside it."""

from __future__ import annotations

from archaudit.conformance.case import Case


def all_cases() -> tuple[Case, ...]:
    """Every case that this release of torch can run, in a fixed order."""
    from archaudit.conformance.models import (
        attention,
        contractions,
        convolution,
        dynamic,
        loops,
        operators,
        parametrized,
        recurrent,
        rewritten,
        routing,
        sharing,
        side_effects,
        special_tensors,
        structure,
        wrappers,
        zeros,
    )

    subjects = (
        contractions,
        operators,
        convolution,
        attention,
        recurrent,
        sharing,
        structure,
        parametrized,
        zeros,
        special_tensors,
        dynamic,
        rewritten,
        routing,
        loops,
        wrappers,
        side_effects,
    )
    return tuple(case for subject in subjects for case in subject.CASES if case.exists())
