"""The ids of checks, and the names that checks refer to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from archaudit.config.records import BASELINE
from archaudit.config.tables import Table, quote, suggest
from archaudit.schema import Check


class KnownNames(NamedTuple):
    """The names that a check can refer to. They include those of faulty tables, so that one fault gives one message.

    `section_scopes` are the patterns of each section's after side, or of its before side where it has no after side.
    """

    models: tuple[str, ...]
    sections: tuple[str, ...]
    scenarios: tuple[str, ...] = ()
    section_scopes: Mapping[str, tuple[str, ...]] = {}


class Draft(NamedTuple):
    """A check, and whether its id was given and is final, or was derived and can still change."""

    check: Check
    id_is_given: bool


def expect_model(table: Table, name: str, model: str, known: KnownNames) -> None:
    """Notes a fault if `model` is neither in [models] nor a reference such as torchvision:resnet50."""
    if model and model not in known.models and not is_reference(model):
        table.fault(name, f"{quote(model)} is not in [models]{suggest(model, known.models)}")


def is_reference(text: str) -> bool:
    """Whether a text names a model's code, file or library, and not a name in [models]."""
    return ":" in text or text.endswith((".json", ".safetensors", ".gguf", ".onnx", ".pt2"))


def read_against(table: Table, known: KnownNames) -> str:
    """The name of what a check compares with: a model, the baseline, or empty."""
    against = table.read_text("against")
    if against and against != BASELINE and against not in known.models and not is_reference(against):
        table.fault("against", f"{quote(against)} is neither {BASELINE!r} nor in [models]{suggest(against, (BASELINE, *known.models))}")
    return against


def read_id(table: Table, keys_by_id: dict[str, str]) -> str:
    """The id that was given, empty if none. Notes a fault if another table has it; `keys_by_id` are the ids given so far."""
    given = table.read_text("id")
    if given in keys_by_id:
        table.fault("id", f"{quote(given)} is already the id of {keys_by_id[given]}")
    elif given:
        keys_by_id[given] = table.key
    return given


def derive_id(*parts: str) -> str:
    """A readable id: `after-classifier-params-max`, `section-6-884736`."""
    words = [re.sub(r"[^\w.]+", "-", part.casefold()).strip("-") for part in parts]
    return "-".join(word for word in words if word)


def make_ids_unique(drafts: list[Draft]) -> tuple[Check, ...]:
    """The checks with unique ids: a derived id that another check has gets a number, `section-6-21k-2`. Given ids stay the same."""
    taken = {draft.check.id for draft in drafts if draft.id_is_given}
    checks = []
    for check, id_is_given in drafts:
        number, name = 1, check.id
        while not id_is_given and name in taken:
            number += 1
            name = f"{check.id}-{number}"
        taken.add(name)
        checks.append(check if name == check.id else msgspec.structs.replace(check, id=name))
    return tuple(checks)
