"""The contributor's page names files, packages and tables that exist, and the layers of the import contract."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import archaudit

ROOT = Path(__file__).parents[2]
PACKAGE = Path(archaudit.__file__).parent  # of the wheel, where that is tested
PAGE = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")


def locate(path: str) -> Path:
    return PACKAGE.parent / path if path.startswith("archaudit/") else ROOT / path


def test_every_path_on_the_page_exists() -> None:
    paths = set(re.findall(r"`((?:archaudit|tests|docs|\.ci)/[\w./]*)`", PAGE))
    assert len(paths) > 10
    assert [path for path in sorted(paths) if not locate(path).exists()] == []


def test_every_package_is_described_once() -> None:
    described = re.findall(r"^\| ((?:`[\w.]+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    named = [name for cell in described for name in re.findall(r"`([\w.]+)`", cell)]
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} - {"examples"}
    assert packages <= set(named)
    assert len(named) == len(set(named))


def test_the_tables_that_the_page_names_are_in_the_files_that_it_names() -> None:
    tables = re.findall(r"([A-Z]{4,}), `(archaudit/[\w./]+\.py)`", PAGE)
    assert {table for table, _ in tables} == {"METRICS", "SOURCES", "FORMATS", "OUTPUTS", "COMMANDS", "FAMILIES"}
    for table, path in tables:
        assert re.search(rf"^{table}\b", locate(path).read_text(encoding="utf-8"), re.MULTILINE), (table, path)


def test_the_layers_are_those_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = [name.strip() for layer in contracts[0]["layers"] for name in layer.split("|")]
    start = PAGE.index("imports only what is below")
    named = [name for name in layers if name in ("cli", "api", "pipeline", "worker", "timing", "metrics", "index", "schema")]
    positions = [PAGE.index(f"`{name}`", start) for name in named]
    assert len(named) == 8
    assert positions == sorted(positions)
