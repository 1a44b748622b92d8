"""docs/configuration.md is what the config's schema says, and explains every key."""

from __future__ import annotations

from pathlib import Path

from docs.config_reference import write_reference

from archaudit.config.declaration import CONFIG, TableType

PAGE = Path(__file__).parent.parent.parent / "docs" / "configuration.md"


def test_the_configuration_reference_is_fresh(request):
    if request.config.getoption("--update-docs"):
        PAGE.write_text(write_reference(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == write_reference(), "to write it again: pytest tests/docs --update-docs"


def test_every_key_of_a_table_has_a_row_with_a_meaning():
    tables = {part.partition("\n")[0]: part for part in write_reference().split("\n## ")[1:]}
    declared = {name: list(table.fields) for name, table in CONFIG.fields.items() if isinstance(table, TableType)}
    assert {"budgets", "claims", "latency", "align"} < declared.keys()
    for name, keys in declared.items():
        rows = [row.split(" | ") for row in tables[name].splitlines() if row.startswith("| `")]
        assert [row[0].removeprefix("| ").removesuffix(" (required)").strip("`") for row in rows] == keys
        assert all(len(row[2]) > len(" |") + 10 for row in rows)


def test_required_keys_are_marked():
    assert "| `reference` (required) | text |" in write_reference()
    assert "| `max` | text or number |" in write_reference()
