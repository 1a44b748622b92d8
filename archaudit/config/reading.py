"""Config files: found, opened, and read as a whole."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from archaudit.config.budgets import read_budgets, read_gated
from archaudit.config.claims import CLAIM_KEYS, read_claim
from archaudit.config.latency import read_latency
from archaudit.config.names import Draft, Known, read_id, tell_apart
from archaudit.config.records import BASELINE, COMPUTED_SECTIONS, AlignPin, Config, ModelConfig, Section
from archaudit.config.tables import Table, describe, join_key, quote
from archaudit.errors import ConfigError
from archaudit.schema import Check

CONFIG_FILE = "archaudit.toml"
PYPROJECT_FILE = "pyproject.toml"
EXAMPLE_SOURCE = "built-in example"  # what messages call the example's config, which is no file of the user's

TABLES = ("baselines", "formulas", "gated", "models", "defaults", "budgets", "unchanged", "sections", "align", "claims", "latency")
MODEL_KEYS = ("reference", "input", "inputs")
_MODEL_NAME = re.compile(r"[A-Za-z_][\w-]*")  # nothing that would make it another kind of reference: no `:`, `@`, `(`, `.`, `/`


def find_config(start: Path) -> Path | None:
    """The config file nearest to the folder `start`, upwards: in each folder `archaudit.toml`, else a pyproject with [tool.archaudit]."""
    folder = start.absolute()
    for candidate in (folder, *folder.parents):
        if _is_file(candidate / CONFIG_FILE):
            return candidate / CONFIG_FILE
        if _has_our_table(candidate / PYPROJECT_FILE):
            return candidate / PYPROJECT_FILE
    return None


def load_config(path: Path) -> Config:
    """Reads a config file; of one called `pyproject.toml`, the table [tool.archaudit].

    Raises ConfigError with one line for each fault: the file, the key, and what is wrong.
    """
    source = _show_path(path)
    content = _read_toml(path, f"Give the path of a TOML file: --config {CONFIG_FILE}")
    if path.name != PYPROJECT_FILE:
        return _read_config(Table(content, "", [], TABLES), source, path.absolute().parent)
    ours = _take_our_table(content)
    if not isinstance(ours, dict):
        raise ConfigError(f"{source}: has no table [tool.archaudit]")
    return _read_config(Table(ours, "tool.archaudit", [], TABLES), source, path.absolute().parent)


def load_example_config() -> Config:
    """The config of the built-in example. Its baselines are in the folder `baselines` of the current folder."""
    content = _parse_toml(resources.files("archaudit.examples.segmentation").joinpath("audit.toml").read_bytes())
    return _read_config(Table(content, "", [], TABLES), EXAMPLE_SOURCE, Path.cwd())


def load_claims(path: Path, models: Iterable[str]) -> tuple[Check, ...]:
    """The claims of a file that holds nothing else, about models that go by the names `models`. Raises ConfigError."""
    content = _read_toml(path, "A file of claims holds [[claims]] tables.")
    return _read_claim_tables(Table(content, "", [], ("claims",)), models, _show_path(path))


def read_claims(tables: Sequence[Mapping[str, Any]], models: Iterable[str], source: str) -> tuple[Check, ...]:
    """The claims in tables that came from elsewhere, `source` being what messages call it. Raises ConfigError."""
    return _read_claim_tables(Table({"claims": [dict(table) for table in tables]}, "", [], ("claims",)), models, source)


def _read_claim_tables(top: Table, models: Iterable[str], source: str) -> tuple[Check, ...]:
    checks = read_claims_alone(top, Known(models=tuple(models), sections=()))
    if top.faults:
        raise ConfigError("\n".join(f"{source}: {fault}" for fault in top.faults))
    return checks


def _read_toml(path: Path, hint: str) -> dict[str, Any]:
    """A TOML file's content. Raises ConfigError, with the hint where there is no such file."""
    source = _show_path(path)
    try:
        return _parse_toml(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}", hint) from error
    except ValueError as error:
        raise ConfigError(f"{source}: is not TOML: {error}") from error


def _parse_toml(content: bytes) -> dict[str, Any]:
    """A TOML file's content; ValueError, whatever is wrong with it."""
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be searched
        return False


def _has_our_table(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    if b"archaudit" not in content:
        return False
    try:
        return _take_our_table(_parse_toml(content)) is not None
    except ValueError:
        return b"[tool.archaudit" in content  # broken, but meant for us: loading it says what is wrong


def _take_our_table(content: dict[str, Any]) -> Any:
    tool = content.get("tool")
    return tool.get("archaudit") if isinstance(tool, dict) else None


def _show_path(path: Path) -> str:
    """A path as messages name it: from the current folder where it lies below that."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _read_config(top: Table, source: str, folder: Path) -> Config:
    baselines = top.read_text("baselines") or "baselines"
    formulas = tuple(str(folder / text) if text.endswith(".py") else text for text in top.read_texts("formulas"))
    models = _read_models(top)
    sections = _read_sections(top)
    pins = read_pins(top)
    known = _list_known(models, sections)
    checks = read_checks(top, known)
    gated = read_gated(top)
    latency = read_latency(top, known)
    if top.faults:
        raise ConfigError("\n".join(f"{source}: {fault}" for fault in top.faults))
    return Config(
        source=source,
        folder=folder,
        baselines=folder / baselines,
        formulas=formulas,
        models=models,
        sections=sections,
        pins=pins,
        checks=checks,
        gated=gated,
        latency=latency,
    )


def _list_known(models: Mapping[str, ModelConfig], sections: Iterable[Section]) -> Known:
    scopes = {section.name: section.after or section.before for section in sections}
    scenarios = dict.fromkeys(name for model in models.values() for name in model.scenarios)
    return Known(models=tuple(models), sections=tuple(scopes), scenarios=tuple(scenarios), section_scopes=scopes)


def _read_models(top: Table) -> dict[str, ModelConfig]:
    key = join_key(top.key, "models")
    tables = top.values.get("models", {})
    if not isinstance(tables, dict):
        top.fault("models", f"expected a table for each model, [{key}.NAME], not {describe(tables)}")
        return {}
    models = {}
    for name, values in tables.items():
        models[name] = ModelConfig(name=name, reference="")
        if not _MODEL_NAME.fullmatch(name) or name == BASELINE:
            top.fault("models", f"{quote(name)} cannot name a model; letters, digits, _ and - can, but not {BASELINE!r}")
        if not isinstance(values, dict):
            top.fault("models", f"expected a table [{join_key(key, name)}] with a reference, not {describe(values)}")
            continue
        table = Table(values, join_key(key, name), top.faults, MODEL_KEYS)
        reference, inputs, scenarios = table.read_text("reference", required=True), table.read_texts("input"), _read_scenarios(table)
        first = next(iter(scenarios.values()), inputs)
        models[name] = ModelConfig(name=name, reference=reference, inputs=first, scenarios=scenarios)
    return models


def _read_scenarios(table: Table) -> dict[str, tuple[str, ...]]:
    """Named sets of inputs: [models.NAME.inputs] with a line for each."""
    values = table.values.get("inputs", {})
    key = join_key(table.key, "inputs")
    if not isinstance(values, dict) or ("inputs" in table.values and not values):
        table.fault("inputs", f"expected a table [{key}] with a name for each scenario, not {describe(values)}")
        return {}
    if values and "input" in table.values:
        table.fault("input", "says again what `inputs` says; leave one of them out")
    for name in values:
        if not _MODEL_NAME.fullmatch(name):
            table.fault("inputs", f"{quote(name)} cannot name a scenario; letters, digits, _ and - can")
    scenarios = Table(values, key, table.faults, values)
    return {name: scenarios.read_texts(name) for name in values}


def _read_sections(top: Table) -> tuple[Section, ...]:
    sections: dict[str, Section] = {}
    for key, values in top.list_tables("sections"):
        table = Table(values, key, top.faults, ("name", "before", "after"))
        section = Section(
            name=table.read_text("name", required=True),
            before=table.read_texts("before", may_be_empty=True),
            after=table.read_texts("after", may_be_empty=True),
        )
        if section.name in sections:
            table.fault("name", f"{quote(section.name)} is the name of another section too")
        if section.name.casefold() in COMPUTED_SECTIONS:
            table.fault("name", f"{quote(section.name)} is in every breakdown already; choose another name")
        if not values.get("before") and not values.get("after"):
            table.fault("before", "is missing; a section has modules before, after, or both")
        if section.name:
            sections.setdefault(section.name, section)
    return tuple(sections.values())


# --- all checks of a config together: budgets, pins, claims ---


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


# --- [[align]]: what the user says about which module after is which module before ---


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
