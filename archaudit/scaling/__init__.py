"""How costs grow: exact expressions in the sizes of a model's input, found from a few runs. It knows no torch."""

from archaudit.scaling.expressions import Expression
from archaudit.scaling.reading import parse_expression, parse_sizes

__all__ = ["Expression", "parse_expression", "parse_sizes"]
