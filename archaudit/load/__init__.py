"""Loading: from a reference, as the user types it, to a recipe. No model is built here, and only sources that need torch import it."""

from __future__ import annotations

from archaudit.load.inputs import parse_inputs
from archaudit.load.reference import Reference, parse_reference
from archaudit.load.sources import SOURCES, import_formulas, load_recipe

__all__ = ["SOURCES", "Reference", "import_formulas", "load_recipe", "parse_inputs", "parse_reference"]
