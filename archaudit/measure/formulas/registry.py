"""The formulas by operator name, the cost of one operator, and what formulas read from their arguments.

A formula is a short function over shapes. It receives the operator's arguments as torch passes them, and the keyword `out` (the operator's
result). It returns the multiply-accumulates as a sum of products whose factors may be grouped, so that a reader can check the products:

    (((1, 32, 32), 256, (64, 3, 3)),)      # output positions * output channels * (input channels * kernel)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar

import msgspec
import torch
from torch import Tensor
from torch._guards import detect_fake_mode

from archaudit.errors import ConfigError

Status = Literal["counted", "zero", "unknown"]
Factor = int | tuple[int, ...]
Product = tuple[Factor, ...]
Products = tuple[Product, ...]
Formula = Callable[..., Any]

_F = TypeVar("_F", bound=Formula)

_FORMULAS: dict[str, Formula] = {}
_listeners: list[Callable[[], None]] = []


class Work(msgspec.Struct, frozen=True):
    """The cost of one operator: `counted` by a formula, `zero` by convention, or `unknown`.

    `products` is the sum of products, with the factors grouped as the formula returned them. `note` is the kind of zero ("view", "norm"),
    the reason why the work is unknown, or an assumption of a counted number.
    """

    status: Status
    products: Products = ()
    note: str | None = None

    @property
    def terms(self) -> tuple[tuple[int, ...], ...]:
        """The sum of products without the grouping: one flat tuple of factors for each product."""
        return tuple(tuple(_flatten(product)) for product in self.products)

    @property
    def macs(self) -> int:
        """Multiply-accumulates. Unknown work has 0 too, so read `status` first."""
        return sum(math.prod(term) for term in self.terms)


class NoFormulaAppliesError(Exception):
    """Raised by a formula for arguments that it cannot count; the message becomes the note of the unknown work."""


def formula(*names: str) -> Callable[[_F], _F]:
    """Registers the decorated function for operators, named `namespace::operator` or `namespace::operator.overload`.

    A name without overload covers every overload, the in-place variant (`addmm_`) and the `out=` variant. Raises ConfigError for a name of
    another form.
    """

    def register(function: _F) -> _F:
        for name in names:
            register_formula(name, function)
        return function

    return register


def register_formula(name: str, function: Formula) -> None:
    """Uses `function` for the operator `name` (`namespace::operator`, optionally `.overload`); it replaces an earlier formula.

    The function receives the operator's arguments and the keyword `out` (its result). It returns multiply-accumulates: a number, or a sum
    of products such as `((rows, inputs, outputs),)`, or None where it cannot count them (the work is then unknown). Raises ConfigError for
    a name of another form.
    """
    namespace, separator, operator = name.partition("::")
    if not (namespace and separator and operator) or not callable(function):
        raise ConfigError(f"cannot register a formula for {name!r}", "Name the operator as namespace::operator and pass a function.")
    _FORMULAS[name] = function
    for clear in _listeners:
        clear()


def find_formula(name: str, overload: str) -> Formula | None:
    """The formula of the overload, else of the operator, else of the operator that an in-place operator is the variant of."""
    found = _FORMULAS.get(f"{name}.{overload}") or _FORMULAS.get(name)
    if found is None and name.endswith("_") and not name.endswith("__"):
        return find_formula(name[:-1], overload)
    return found


def formula_names() -> tuple[str, ...]:
    """The names of all operators that have a formula, sorted."""
    return tuple(sorted(_FORMULAS))


def on_change(clear: Callable[[], None]) -> None:
    """Calls `clear` whenever a formula is registered, to drop cached classifications."""
    _listeners.append(clear)


def read_products(answer: object) -> Products:
    """The result of a formula as products. Raises ValueError where it is not a sum of products of whole numbers."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        return ((_read_size(answer),),)
    if not isinstance(answer, tuple | list):
        raise ValueError(f"it returned {answer!r}, which is neither a number nor a sum of products")
    return tuple(_read_product(product) for product in answer)


def _read_product(product: object) -> Product:
    if not isinstance(product, tuple | list):
        raise ValueError(f"{product!r} is not a product: write ((rows, inputs, outputs),)")
    return tuple(
        tuple(_read_size(size) for size in factor) if isinstance(factor, tuple | list) else _read_size(factor) for factor in product
    )


def _read_size(size: object) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"{size!r} is not a size")
    return size


def _flatten(product: Iterable[Factor]) -> Iterable[int]:
    for factor in product:
        if isinstance(factor, int):
            yield factor
        else:
            yield from factor


# --- what formulas read from their arguments ---


# The note on a product whose sparse operand has no values. A run with values knows the number of stored entries.
SPARSE_WITHOUT_VALUES = "sparse operand without values: the number of stored entries is not known"

_SPARSE_LAYOUTS = frozenset({torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc})


def sizes(tensor: Tensor) -> tuple[int, ...]:
    """The shape as plain ints. No formula applies to nested tensors, nor to sizes that are known only at run time."""
    if tensor.is_nested:
        raise NoFormulaAppliesError("nested tensor: its sizes differ from row to row")
    shape = tensor.shape
    for size in shape:
        if type(size) is not int:
            return tuple(_to_int(size) for size in shape)
    return tuple(shape)


def dense_sizes(tensor: Tensor) -> tuple[int, ...]:
    """The shape of an operand whose every element is multiplied. No formula applies to sparse tensors."""
    if is_sparse(tensor):
        raise NoFormulaAppliesError("sparse operand: the formula covers dense operands only")
    return sizes(tensor)


def _to_int(size: int) -> int:
    try:
        return int(size)
    except RuntimeError as error:
        raise NoFormulaAppliesError("a size depends on the data") from error


def count(shape: Sequence[int]) -> int:
    """The number of elements of a shape."""
    return math.prod(shape)


def result(out: Tensor | Sequence[Tensor]) -> Tensor:
    """The operator's result, or the first of several."""
    return out if isinstance(out, Tensor) else out[0]


def is_sparse(tensor: Tensor) -> bool:
    """Whether the tensor has a sparse layout (COO, CSR, CSC, BSR, BSC)."""
    layout = tensor.layout
    return layout is not torch.strided and layout in _SPARSE_LAYOUTS


def stored_entries(tensor: Tensor) -> int:
    """The number of entries that a sparse tensor stores, including whole blocks and dense dimensions.

    Unknown on meta tensors and in a fake mode.
    """
    if tensor.device.type == "meta" or detect_fake_mode() is not None:
        raise NoFormulaAppliesError(SPARSE_WITHOUT_VALUES)
    return count(sizes(tensor._values() if tensor.layout is torch.sparse_coo else tensor.values()))


# Finds the values of a tensor without values; None for those that are not known. The tape sets it while a model runs.
_find_value: list[Callable[[Tensor], Tensor | None]] = []

# The note on an operator whose work depends on values that are not known. A run with values knows them.
LENGTHS_WITHOUT_VALUES = "packed sequences: the pairs of queries and keys follow from the lengths, whose values are not known"


@contextmanager
def find_values_by(find: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """While open, formulas read the values of tensors by `find`."""
    _find_value.append(find)
    try:
        yield
    finally:
        _find_value.pop()


def read_lengths(offsets: Tensor) -> list[int]:
    """The lengths of packed sequences, from the offsets at which they start and end. No formula applies where the values are not known."""
    known = _find_value[-1](offsets) if _find_value else None
    if known is None and (offsets.is_meta or detect_fake_mode() is not None):
        raise NoFormulaAppliesError(LENGTHS_WITHOUT_VALUES)
    ends = (offsets if known is None else known).tolist()
    return [after - before for before, after in itertools.pairwise(ends)]


# --- formulas of other packages: entry points of the group `archaudit.formulas` ---


GROUP = "archaudit.formulas"

_loaded: set[EntryPoint] = set()


def load_plugins() -> tuple[str, ...]:
    """Loads every installed plugin once and returns the names of all, sorted. Raises ConfigError for a plugin that fails."""
    found = entry_points(group=GROUP)
    for entry in found:
        if entry not in _loaded:
            _load(entry)
            _loaded.add(entry)
    return tuple(sorted({entry.name for entry in found}))


def _load(entry: EntryPoint) -> None:
    try:
        plugin = entry.load()
        if callable(plugin):
            plugin()
    except Exception as error:
        raise ConfigError(
            f"the formulas plugin {entry.name!r} ({entry.value}) failed: {type(error).__name__}: {error}",
            "Fix or uninstall the package that provides it.",
        ) from error
