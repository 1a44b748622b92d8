"""All checks of a config together: budgets, pins, claims."""

from __future__ import annotations

from archaudit.config.budgets import read_budgets
from archaudit.config.claims import CLAIM_KEYS, read_claim
from archaudit.config.naming import Draft, Known, read_id, tell_apart
from archaudit.config.tables import Table
from archaudit.schema import Check


def read_checks(top: Table, known: Known) -> tuple[Check, ...]:
    """The checks of [[budgets]] and [[unchanged]], then of [[claims]], each with an id of its own."""
    drafts: list[Draft] = []
    keys_by_id: dict[str, str] = {}
    drafts += read_budgets(top, known, keys_by_id)
    drafts += _read_claims(top, known, keys_by_id)
    return tell_apart(drafts)


def read_claims_alone(top: Table, known: Known) -> tuple[Check, ...]:
    """The checks of [[claims]] only."""
    return tell_apart(_read_claims(top, known, {}))


def _read_claims(top: Table, known: Known, keys_by_id: dict[str, str]) -> list[Draft]:
    drafts = []
    for key, values in top.list_tables("claims"):
        table = Table(values, key, top.faults, CLAIM_KEYS)
        drafts.append(read_claim(table, known, read_id(table, keys_by_id)))
    return drafts
