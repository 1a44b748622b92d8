"""Whom to blame for a limit that does not hold: the modules that grew, or those that cost most."""

from __future__ import annotations

from archaudit.judge.comparisons import Case, format_amount
from archaudit.judge.sides import Sides, resolve_scope
from archaudit.metrics import select_modules
from archaudit.schema import Contributor

# As many as fit in a sentence; the verdict holds a few more for tables.
_NAMED, _LISTED = 3, 5


def blame(case: Case, sides: Sides, growth: int) -> tuple[tuple[Contributor, ...], str]:
    """The modules that grew (or shrank) most against the other side; where there is none, those that cost most. Largest first."""
    check, of_cost = case.check, case.metric.of_cost
    if of_cost is None or not growth:
        return (), ""
    side = sides.find_reference(check)
    profile = sides.find_profile(check.model, check.scenario)
    now = {module.path: of_cost(module.own) for module in select_modules(profile, resolve_scope(check, profile))}
    was = {}
    if side is not None:
        other_scope = resolve_scope(check, side, check.against_scope)
        was = {module.path: of_cost(module.own) for module in select_modules(side, other_scope)}
    changes = {path: now.get(path, 0) - was.get(path, 0) for path in (*now, *(path for path in was if path not in now))}
    signed, word = side is not None and any(change * growth > 0 for change in changes.values()), "mostly"
    if not signed:
        changes, word = (now if growth > 0 else {}), "largest:"
    ranked = sorted(((path, change) for path, change in changes.items() if change * growth > 0), key=lambda pair: -pair[1] * growth)
    named = [
        f"{path or 'the root module'} ({('+' if change > 0 else '-') if signed else ''}{format_amount(abs(change), case.metric)})"
        for path, change in ranked[:_NAMED]
    ]
    contributors = tuple(Contributor(path=path, delta=change) for path, change in ranked[:_LISTED])
    return contributors, f"; {word} {', '.join(named)}" if named else ""
