"""Claims of documents collected from configs, files of claims and the document's own comments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from archaudit.config import Config, TableClaim, load_claims, load_example_config, load_table_claims, read_claims
from archaudit.errors import InputError
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import Target, resolve
from archaudit.schema import Check, read_file
from archaudit.schema.documents import Binding, Document

# The models that claims are about if a pair of models is given, or if they name none.
SIDES = ("before", "after")
CLAIMS_SUFFIX = ".claims.toml"  # of the file of claims next to a document
_LARGEST_DOCUMENT = 16 * 2**20  # bytes; documents that people read are a thousandth of it


class Origin(NamedTuple):
    """The file that a claim was written in, and its position among the claims there."""

    path: Path
    position: int


class Claims(NamedTuple):
    """The claims about a document; where those of files are written; those in comments of the document; and tables claimed as a whole."""

    checks: tuple[Check, ...]
    origins: dict[str, Origin]
    inline: tuple[tuple[Binding, Check], ...]
    tables: tuple[TableClaim, ...] = ()


def read_text(path: Path) -> str:
    """The text of a document. Raises InputError."""
    try:
        content = read_file(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}", "Name a Markdown document: archaudit claims check NOTES.md"
        ) from error
    if len(content) > _LARGEST_DOCUMENT:
        raise InputError(f"{path}: is larger than {_LARGEST_DOCUMENT >> 20} MiB", "Split it, or name the part that states numbers.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text in UTF-8 (byte {error.start})") from error


def collect_claims(path: Path, document: Document, options: Options) -> Claims:
    """The claims about a document. Raises ConfigError for a faulty claim."""
    example = load_example_config()
    configs = [options.config] if options.config is not None else []
    models = [*dict.fromkeys([*(name for config in (*configs, example) for name in config.models), *SIDES])]
    checks: list[Check] = []
    origins: dict[str, Origin] = {}
    for config in (*configs, example):
        found = [check for check in config.checks if check.origin == "claim"]
        about = [(position, check) for position, check in enumerate(found) if _is_about(check, config, path, is_example=config is example)]
        for position, check in about:
            checks.append(_make_unique(check, origins))
            origins[checks[-1].id] = Origin(Path(config.source), position)
    tables = [
        msgspec.structs.replace(table, key=f"{config.source}: {table.key}")
        for config in configs
        for table in config.tables
        if table.document is not None and (config.folder / table.document).resolve() == path.resolve()
    ]
    claims_file = path.with_name(path.name + CLAIMS_SUFFIX)
    if claims_file.exists():
        tables += [msgspec.structs.replace(table, key=f"{claims_file.name}: {table.key}") for table in load_table_claims(claims_file)]
        for position, check in enumerate(load_claims(claims_file, models)):
            checks.append(_make_unique(check, origins))
            origins[checks[-1].id] = Origin(claims_file, position)
    taken = dict.fromkeys(origins, True)
    inline = []
    for binding in document.bindings:
        check = read_claims([binding.table], models, f"{path.name}:{binding.line}")[0]
        inline.append((binding, _make_unique(check, taken)))
        taken[inline[-1][1].id] = True
    written = [_complete(check, path) for check in (*checks, *(check for _, check in inline))]
    by_id = {check.id: check for check in written}
    return Claims(tuple(written), origins, tuple((binding, by_id[check.id]) for binding, check in inline), tuple(tables))


def _is_about(check: Check, config: Config, path: Path, *, is_example: bool) -> bool:
    """Whether a claim of a config is about this document: by its path from the config's folder; for the built-in example, by its name."""
    if check.document is None:
        return False
    return check.document == path.name if is_example else (config.folder / check.document).resolve() == path.resolve()


def _make_unique(check: Check, taken: Mapping[str, object]) -> Check:
    """The check with an id that no check before it has: ids are unique within one file only."""
    number, name = 1, check.id
    while name in taken:
        number += 1
        name = f"{check.id}-{number}"
    return msgspec.structs.replace(check, id=name)


def _complete(check: Check, path: Path) -> Check:
    return msgspec.structs.replace(check, model=check.model or SIDES[1], document=path.name)


# --- the names of a pair of models ---


def list_names(pair: tuple[str, str], options: Options) -> dict[str, str]:
    """The names by which a document can call the two models of a pair of references, each with its side."""
    return name_sides([resolve(reference, options.config, options.inputs) for reference in pair])


def name_sides(targets: Sequence[Target]) -> dict[str, str]:
    """The names by which a document can call the two models, each with its side. Names that both have are left out."""
    names: dict[str, str] = {}
    shared: set[str] = set()
    for side, target in zip(SIDES, targets, strict=True):
        reference = target.reference
        own = {target.name.rpartition(":")[2].partition("(")[0]}
        if reference is None and target.saved is not None and target.config is None:  # a saved profile: its file, and the model in it
            own = {Path(target.name).stem, target.saved.reference.rpartition(":")[2].partition("(")[0]}
        if reference is not None and reference.kind != "name":
            own = {reference.attribute or Path(reference.target).stem}
            own |= {Path(each).stem for each in own if each.endswith(".json")} | {
                Path(each).parent.name for each in own if each.endswith("config.json")
            }
        for name in own - {*SIDES, "", "config"}:
            if name in names:
                shared.add(name)
            names[name] = side
    return {name: side for name, side in names.items() if name not in shared}
