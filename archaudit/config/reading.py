"""Finds config files and reads them as a whole."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, cast

from archaudit.audit import is_selector, list_rules
from archaudit.config import claims
from archaudit.config.budgets import read_budgets, read_latency
from archaudit.config.declaration import CLAIMS_FILE, CONFIG
from archaudit.config.names import KnownNames, make_ids_unique
from archaudit.config.records import BASELINE, COMPUTED_SECTIONS, AlignPin, AuditConfig, Config, ModelConfig, Section, TableClaim
from archaudit.config.tables import Table, quote
from archaudit.errors import ConfigError
from archaudit.schema import Check, Level, TrainingSettings, read_file

CONFIG_FILE = "archaudit.toml"
PYPROJECT_FILE = "pyproject.toml"
EXAMPLE_SOURCE = "built-in example"  # the name of the example's config in messages: it is not a file of the user's


def find_config(start: Path) -> Path | None:
    """The config file nearest to the folder `start`, upwards: in each folder `archaudit.toml`, else a pyproject with [tool.archaudit]."""
    folder = start.absolute()
    for candidate in (folder, *folder.parents):
        if _is_file(candidate / CONFIG_FILE):
            return candidate / CONFIG_FILE
        if _has_tool_table(candidate / PYPROJECT_FILE):
            return candidate / PYPROJECT_FILE
    return None


def load_config(path: Path) -> Config:
    """Reads a config file; of one called `pyproject.toml`, the table [tool.archaudit].

    Raises ConfigError with one line for each fault: the file, the key, and what is wrong.
    """
    source = _show_path(path)
    content = _read_toml(path, f"Give the path of a TOML file: --config {CONFIG_FILE}")
    if path.name != PYPROJECT_FILE:
        return read_config(content, source, path.absolute().parent)
    table = _find_tool_table(content)
    if not isinstance(table, dict):
        raise ConfigError(f"{source}: has no table [tool.archaudit]")
    return read_config(table, source, path.absolute().parent, key="tool.archaudit")


def load_example_config() -> Config:
    """The config of the built-in example. Its baselines are in the folder `baselines` of the current folder."""
    content = _parse_toml(resources.files("archaudit.examples.segmentation").joinpath("audit.toml").read_bytes())
    return read_config(content, EXAMPLE_SOURCE, Path.cwd())


def load_claims(path: Path, models: Iterable[str]) -> tuple[Check, ...]:
    """The claims of a file that holds only claims, about the models with the names `models`. Raises ConfigError."""
    content = _read_toml(path, "A file of claims holds [[claims]] tables.")
    return _read_claims(content, models, _show_path(path))


def load_table_claims(path: Path) -> tuple[TableClaim, ...]:
    """The tables of documents in a file that holds only claims. Raises ConfigError."""
    top = Table(_read_toml(path, "A file of claims holds [[claims]] and [[tables]]."), "", [], CLAIMS_FILE)
    found = claims.read_table_claims(top)
    _raise_faults(top, _show_path(path))
    return found


def read_claims(tables: Sequence[Mapping[str, Any]], models: Iterable[str], source: str) -> tuple[Check, ...]:
    """The claims in tables that do not come from a file; messages name `source`. Raises ConfigError."""
    return _read_claims({"claims": [dict(table) for table in tables]}, models, source)


def _read_claims(content: dict[str, Any], models: Iterable[str], source: str) -> tuple[Check, ...]:
    top = Table(content, "", [], CLAIMS_FILE)
    checks = make_ids_unique(claims.read_claims(top, KnownNames(models=tuple(models), sections=()), {}))
    _raise_faults(top, source)
    return checks


def _raise_faults(top: Table, source: str) -> None:
    """Raises ConfigError with a line for each fault, if there is one."""
    if top.faults:
        raise ConfigError("\n".join(f"{source}: {fault}" for fault in top.faults))


def _read_toml(path: Path, hint: str) -> dict[str, Any]:
    """A TOML file's content. Raises ConfigError, with the hint if the file cannot be read."""
    source = _show_path(path)
    try:
        return _parse_toml(read_file(path))
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}", hint) from error
    except ValueError as error:
        raise ConfigError(f"{source}: is not TOML: {error}") from error


def _parse_toml(content: bytes) -> dict[str, Any]:
    """A TOML file's content. Raises ValueError for every fault."""
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no permission to search the folder
        return False


def _has_tool_table(path: Path) -> bool:
    try:
        content = read_file(path)
    except OSError:
        return False
    if b"archaudit" not in content:
        return False
    try:
        return _find_tool_table(_parse_toml(content)) is not None
    except ValueError:
        return b"[tool.archaudit" in content  # broken, but a config of archaudit: loading it says what is wrong


def _find_tool_table(content: dict[str, Any]) -> Any:
    tool = content.get("tool")
    return tool.get("archaudit") if isinstance(tool, dict) else None


def _show_path(path: Path) -> str:
    """A path for messages: relative where it is below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def read_config(content: dict[str, Any], source: str, folder: Path, key: str = "") -> Config:
    """The config that a file in `folder` has as `content`; messages name `source`, and keys below `key`. Raises ConfigError."""
    top = Table(content, key, [], CONFIG)
    baselines = top.read_text("baselines")
    formulas = tuple(str(folder / text) if text.endswith(".py") else text for text in top.read_texts("formulas"))
    models = _read_models(top)
    sections = _read_sections(top)
    pins = _read_pins(top)
    known = _list_known_names(models, sections)
    keys_by_id: dict[str, str] = {}
    budgets, overridden = read_budgets(top, known, keys_by_id)
    drafts = [*budgets, *claims.read_claims(top, known, keys_by_id)]
    tables = claims.read_table_claims(top)
    gated = tuple(dict.fromkeys(top.read_texts("gated")))
    strict = top.read_flag("strict")
    latency = read_latency(top, known)
    audit = _read_audit(top)
    training = _read_training(top)
    _raise_faults(top, source)
    return Config(
        source=source,
        folder=folder,
        baselines=folder / baselines,
        formulas=formulas,
        models=models,
        sections=sections,
        pins=pins,
        checks=make_ids_unique(drafts),
        tables=tables,
        gated=gated,
        overridden=overridden,
        strict=strict,
        latency=latency,
        audit=audit,
        training=training,
    )


def _read_training(top: Table) -> TrainingSettings | None:
    """The table [training]; None where the config has none."""
    table = top.open_table("training")
    if table is None:
        return None
    return TrainingSettings(
        optimizer=table.read_text("optimizer"),
        amp=table.read_text("amp") or None,
        checkpoint=table.read_text("checkpoint"),
        reentrant=table.read_flag("reentrant"),
    )


def _read_audit(top: Table) -> AuditConfig | None:
    """The table [audit]; None where the config has none."""
    table = top.open_table("audit")
    if table is None:
        return None
    select, ignore, suppress = table.read_texts("select"), table.read_texts("ignore"), table.read_text_table("suppress")
    for name, selectors in (("select", select), ("ignore", ignore)):
        for selector in selectors:
            if not is_selector(selector):
                table.fault(name, f"{quote(selector)} selects no rule of the audit")
    for selector in suppress:
        if selector.partition(":")[0] not in list_rules():
            table.fault("suppress", f"{quote(selector)} does not begin with the code of a rule")
    most = table.read_number("max")
    if most is not None and (most.unit or most.value < 0 or most.value != int(most.value)):
        table.fault("max", f"{quote(most.text)} is not a number of findings")
        most = None
    level = cast(Level, table.read_text("level"))
    return AuditConfig(select=select, ignore=ignore, most=int(most.value) if most else 0, level=level, suppress=suppress)


def _list_known_names(models: Mapping[str, ModelConfig], sections: Iterable[Section]) -> KnownNames:
    scopes = {section.name: section.after or section.before for section in sections}
    scenarios = dict.fromkeys(name for model in models.values() for name in model.scenarios)
    return KnownNames(models=tuple(models), sections=tuple(scopes), scenarios=tuple(scenarios), section_scopes=scopes)


def _read_models(top: Table) -> dict[str, ModelConfig]:
    models = {}
    for name, table in top.open_named_tables("models").items():
        models[name] = ModelConfig(name=name, reference="")
        if name == BASELINE:
            top.fault("models", f"{quote(name)} cannot be the name of a model: it names a model's saved profile")
        if table is not None:
            reference, inputs, scenarios = table.read_text("reference"), table.read_texts("input"), table.read_named_texts("inputs")
            first = next(iter(scenarios.values()), inputs)
            models[name] = ModelConfig(name=name, reference=reference, inputs=first, scenarios=scenarios)
    return models


def _read_sections(top: Table) -> tuple[Section, ...]:
    sections: dict[str, Section] = {}
    for table in top.open_tables("sections"):
        section = Section(name=table.read_text("name"), before=table.read_texts("before"), after=table.read_texts("after"))
        if section.name in sections:
            table.fault("name", f"{quote(section.name)} is already the name of another section")
        if section.name.casefold() in COMPUTED_SECTIONS:
            table.fault("name", f"{quote(section.name)} is a row of every breakdown; choose another name")
        if [table.values.get(side) for side in ("before", "after")] == [[], []]:
            table.fault("before", "is empty; a section has modules before, after, or both")
        if section.name:
            sections.setdefault(section.name, section)
    return tuple(sections.values())


def _read_pins(top: Table) -> tuple[AlignPin, ...]:
    """The pins of [[align]]: which module after is which module before."""
    pins = []
    for table in top.open_tables("align"):
        before, after, forbid = table.read_text("before") or None, table.read_text("after") or None, table.read_flag("forbid")
        if forbid and None in (before, after):
            table.fault("forbid", "needs a pair; remove it to leave a single module without a counterpart")
        pins.append(AlignPin(key=table.key, before=before, after=after, forbid=forbid))
    return tuple(pins)
