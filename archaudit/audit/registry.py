"""Every rule of the audit by its code. A family is one file in this package and one line in FAMILIES."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from archaudit.errors import ConfigError
from archaudit.schema import Finding, Rule

if TYPE_CHECKING:
    from archaudit.audit.evidence import Evidence


class Family(NamedTuple):
    """The name of a family, its files in this package, and what its rules are about."""

    name: str
    files: tuple[str, ...]
    about: str


# The families by the first characters of their codes.
FAMILIES: dict[str, Family] = {
    "AR1": Family("dead", ("dead", "dead_values"), "parameters, modules and compute that no output needs"),
    "AR2": Family("redundant", ("redundant", "repeated"), "layers that another one cancels, repeats or could hold"),
    "AR3": Family("ties", ("ties",), "weights that are shared, or should be"),
    "AR4": Family("shape", ("shape",), "sizes that waste work, or are probably a mistake"),
    "AR5": Family("training", ("training",), "what makes training unstable, or different from inference"),
    "AR6": Family("numerics", ("numerics",), "operators whose result is inexact, or not what was meant"),
}

Find = Callable[["Evidence"], Iterable[Finding]]


class Judge(NamedTuple):
    """A rule, and the function that finds what violates it. It raises CannotJudge where the evidence is missing."""

    rule: Rule
    find: Find


_judges: dict[str, Judge] = {}


def rule(described: Rule) -> Callable[[Find], Find]:
    """Registers the decorated function as the finder of a rule. The function yields findings, in any order."""

    def register(find: Find) -> Find:
        if described.code in _judges and _judges[described.code].find.__module__ != find.__module__:
            raise ValueError(f"two rules have the code {described.code}")
        _judges[described.code] = Judge(described, find)
        return find

    return register


@cache
def list_rules() -> dict[str, Judge]:
    """Every rule by its code, in the order of the codes."""
    for file in (file for family in FAMILIES.values() for file in family.files):
        import_module(f"archaudit.audit.{file}")
    return dict(sorted(_judges.items()))


def find_rule(code: str) -> Rule:
    """The rule of a code. Raises ConfigError for an unknown one."""
    judge = list_rules().get(code.upper())
    if judge is None:
        raise ConfigError(f"there is no rule {code}", f"Rules: {', '.join(list_rules())}.")
    return judge.rule


def select_rules(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> tuple[str, ...]:
    """The codes that are judged. A selector is a code or the beginning of one (`AR1` is the family), or the name of a family, or `all`.

    Without `select` it is every rule that is not off by default; a rule that is off is selected by its whole code or by `all` only.
    Raises ConfigError for a selector that selects no rule.
    """
    chosen = set(_expand(select)) or {code for code, judge in list_rules().items() if not judge.rule.off}
    chosen -= set(_expand(ignore))
    return tuple(sorted(chosen))


def is_selector(selector: str) -> bool:
    """Whether it selects a rule."""
    return any(_selects(selector, judge.rule) for judge in list_rules().values())


def _expand(selectors: Iterable[str]) -> Iterator[str]:
    for selector in selectors:
        found = [code for code, judge in list_rules().items() if _selects(selector, judge.rule)]
        if not found:
            raise ConfigError(f"{selector!r} selects no rule of the audit", "Write a code (AR101), a family (AR1 or dead), or all.")
        yield from found


def _selects(selector: str, described: Rule) -> bool:
    if selector in ("all", described.code):
        return True
    return not described.off and (selector == described.family or (selector[:2] == "AR" and described.code.startswith(selector)))
