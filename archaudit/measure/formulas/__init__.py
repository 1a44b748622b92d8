"""The cost of operators: formulas over shapes, operators that count as zero, and all others as unknown. Nothing is zero by accident.

A new operator gets its formula as one function in the file of its kind:

    @formula("aten::mm")
    def count_mm(left, right, *, out):
        return ((left.shape[0], left.shape[1], right.shape[1]),)

Other packages register theirs through `register_formula`, or the entry points that `load_plugins` reads.
"""

from __future__ import annotations

from archaudit.measure.formulas import (
    attention,
    backward,
    contraction,
    convolution,
    counting,
    fourier,
    linear_solvers,
    quantized,
    quantized_libraries,
    recurrent,
    sparse,
)
from archaudit.measure.formulas.backward import RECOMPUTED
from archaudit.measure.formulas.counting import count_operator, format_work, status_of
from archaudit.measure.formulas.registry import (
    LENGTHS_WITHOUT_VALUES,
    SPARSE_WITHOUT_VALUES,
    NoFormulaAppliesError,
    Status,
    Work,
    find_values_by,
    formula,
    formula_names,
    load_plugins,
    register_formula,
)

# Importing these files is what registers their formulas.
FORMULA_FILES = (
    attention, backward, contraction, convolution, counting, fourier, linear_solvers, quantized, quantized_libraries, recurrent, sparse,
)  # fmt: skip

__all__ = [
    "FORMULA_FILES",
    "LENGTHS_WITHOUT_VALUES",
    "RECOMPUTED",
    "SPARSE_WITHOUT_VALUES",
    "NoFormulaAppliesError",
    "Status",
    "Work",
    "count_operator",
    "find_values_by",
    "format_work",
    "formula",
    "formula_names",
    "load_plugins",
    "register_formula",
    "status_of",
]
