"""The formulas by operator name, and the record of what one operator cost.

A formula is a short function over shapes. It gets the operator's arguments as torch passes them, plus the keyword `out`
(the operator's result), and returns the multiply-accumulates as a sum of products whose factors may be grouped:

    (((1, 32, 32), 256, (64, 3, 3)),)      # output positions * output channels * (input channels * kernel)

so that a doubter can be shown the product and not only its value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar

import msgspec

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
    """What one operator costs: `counted` by a formula, `zero` by convention, or `unknown`.

    `products` is the sum of products with its factors grouped as the formula gave them; `note` is the kind of zero ("view",
    "norm"), or why the work is unknown, or what a counted number assumes.
    """

    status: Status
    products: Products = ()
    note: str | None = None

    @property
    def terms(self) -> tuple[tuple[int, ...], ...]:
        """The same sum of products with the grouping taken out: one flat tuple of factors a product."""
        return tuple(tuple(_flatten(product)) for product in self.products)

    @property
    def macs(self) -> int:
        """Multiply-accumulates. 0 for unknown work too: read `status` before believing a 0."""
        return sum(math.prod(term) for term in self.terms)


class NoFormulaAppliesError(Exception):
    """Raised by a formula for arguments that it cannot price; the message becomes the unknown work's note."""


def formula(*names: str) -> Callable[[_F], _F]:
    """Register the decorated function for operators, named `namespace::operator` or `namespace::operator.overload`.

    The name without overload holds for every overload, the in-place twin (`addmm_`) and the `out=` variant.
    Raises ConfigError for a name of another form.
    """

    def register(function: _F) -> _F:
        for name in names:
            register_formula(name, function)
        return function

    return register


def register_formula(name: str, function: Formula) -> None:
    """Use `function` for the operator `name` (`namespace::operator`, optionally `.overload`); it replaces an earlier one.

    The function gets the operator's arguments and the keyword `out` (its result). It returns multiply-accumulates: a number,
    or a sum of products such as `((rows, inputs, outputs),)`, or None where it cannot tell (the work is then unknown).
    Raises ConfigError for a name of another form.
    """
    namespace, separator, operator = name.partition("::")
    if not (namespace and separator and operator) or not callable(function):
        raise ConfigError(f"cannot register a formula for {name!r}", "Name the operator as namespace::operator and give a function.")
    _FORMULAS[name] = function
    for forget in _listeners:
        forget()


def find_formula(name: str, overload: str) -> Formula | None:
    """The formula for an operator: that of the overload, else of the operator, else of what an in-place operator is the twin of."""
    found = _FORMULAS.get(f"{name}.{overload}") or _FORMULAS.get(name)
    if found is None and name.endswith("_") and not name.endswith("__"):
        return find_formula(name[:-1], overload)
    return found


def formula_names() -> tuple[str, ...]:
    """The names of all operators that have a formula now, sorted."""
    return tuple(sorted(_FORMULAS))


def on_change(forget: Callable[[], None]) -> None:
    """Have `forget` called whenever a formula is registered, so that cached verdicts are dropped."""
    _listeners.append(forget)


def read_products(answer: object) -> Products:
    """What a formula returned, as products. Raises ValueError where it is not a sum of products of whole numbers."""
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


# --- formulas of other packages: entry points of the group `archaudit.formulas` ---


GROUP = "archaudit.formulas"

_loaded: set[EntryPoint] = set()


def load_plugins() -> tuple[str, ...]:
    """Load every installed plugin once; returns the names of all, sorted.

    Raises ConfigError naming the plugin that cannot be imported or that fails.
    """
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
            "Repair or uninstall the package that provides it.",
        ) from error
