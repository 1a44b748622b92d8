"""How costs grow: exact expressions in the sizes of a model's input, found from a few runs. It knows no torch."""

from archaudit.scaling.expressions import Expression
from archaudit.scaling.reading import parse_expression, parse_growth, parse_sizes

# The metrics that have a formula in the sizes of the input.
SCALED = ("macs", "flops", "activation_bytes", "peak_activation_bytes", "saved_bytes")

__all__ = ["SCALED", "Expression", "parse_expression", "parse_growth", "parse_sizes"]
