"""The user's own formulas for operators of their own: files or modules that register them when they are imported."""

from __future__ import annotations

from collections.abc import Iterable

from archaudit.load.reference import Reference


def import_formulas(sources: Iterable[str]) -> None:
    """Imports each file (`formulas.py`) or module (`pkg.formulas`). Raises LoadError for one that is not there or does not import."""
    for source in sources:
        from archaudit.load.python_source import import_source

        import_source(Reference(text=source, kind="file" if source.endswith(".py") else "module", target=source))
