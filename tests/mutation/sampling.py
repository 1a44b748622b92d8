"""A seeded sample of mutants, tried two at a time, and the score."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from random import Random

from mutation.coverage_map import CoverageMap, find_statement
from mutation.mutants import Mutant, group_places, list_changed, list_mutants
from mutation.packages import PACKAGES, ROOT, list_sources
from mutation.trial import Outcome, copy_tree, run_tests, try_mutant

SURVIVORS = Path(__file__).with_name("survivors.toml")
_AT_ONCE = 2


@dataclass(frozen=True)
class Accepted:
    """A survivor that may stay: `kind` is `equivalent` (no behaviour differs), `performance` or `wording`; `why` says how that is known."""

    path: str
    before: str
    after: str
    kind: str
    why: str


@dataclass(frozen=True)
class Result:
    """Outcomes by package, and which accepted survivors were among them."""

    outcomes: dict[str, list[Outcome]]
    accepted: dict[Mutant, Accepted]

    def count(self, package: str | None = None) -> tuple[int, int, int]:
        """Mutants, killed ones and accepted survivors, of a package or of all."""
        listed = [each for name, outcomes in self.outcomes.items() if package in (None, name) for each in outcomes]
        killed = sum(each.killed_by is not None for each in listed)
        return len(listed), killed, sum(each.mutant in self.accepted for each in listed)


def draw_sample(packages: Collection[str], size: int, seed: int) -> dict[str, list[Mutant]]:
    """So many places of the packages' code, drawn alike, and one mutant of each."""
    places = [(package, place) for package in PACKAGES if package in packages for place in _list_places(package)]
    random = Random(seed)
    drawn = sorted(random.sample(range(len(places)), min(size, len(places))))
    sample: dict[str, list[Mutant]] = {package: [] for package in packages}
    for number in drawn:
        package, place = places[number]
        sample[package].append(random.choice(place))
    return sample


def _list_places(package: str) -> list[list[Mutant]]:
    return [place for path in list_sources(package) for place in group_places(list_mutants(path, (ROOT / path).read_text()))]


def try_sample(sample: dict[str, list[Mutant]], covered: CoverageMap, notify: Callable[[Outcome], None] = lambda outcome: None) -> Result:
    """Tries every mutant. Raises AssertionError when a test that noticed one fails without it, too."""
    waiting = [mutant for mutants in sample.values() for mutant in mutants]
    with ExitStack() as stack, ThreadPoolExecutor(_AT_ONCE) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for _ in range(_AT_ONCE):
            copies.put(stack.enter_context(copy_tree()))
        _check_without_mutant(copies, covered)

        def run(mutant: Mutant) -> Outcome:
            tests = covered.list_tests(mutant.path, find_statement((ROOT / mutant.path).read_text(), mutant.line))
            copy = copies.get()
            try:
                outcome = try_mutant(copy, mutant, [(test, covered.seconds[test]) for test in tests])
            finally:
                copies.put(copy)
            notify(outcome)
            return outcome

        tried = dict(zip(waiting, pool.map(run, waiting), strict=True))
        killers = Counter(outcome.killed_by for outcome in tried.values() if outcome.killed_by in covered.seconds)
        if killers:
            failed = run_tests(copies.get(), {killer: covered.seconds[killer] for killer in sorted(killers, key=str) if killer})
            assert failed is None, f"{failed} fails without a mutant, too, so it says nothing about {killers[failed]} of them"
    outcomes = {package: [tried[mutant] for mutant in mutants] for package, mutants in sample.items()}
    return Result(outcomes, find_accepted([outcome.mutant for outcome in tried.values() if outcome.killed_by is None]))


def _check_without_mutant(copies: SimpleQueue[Path], covered: CoverageMap) -> None:
    """Raises AssertionError where a test of any file fails in a copy as it is, since then every mutant would seem to be noticed."""
    fastest: dict[str, str] = {}
    for test in sorted(covered.seconds, key=lambda test: covered.seconds[test]):
        fastest.setdefault(test.partition("::")[0], test)
    copy = copies.get()
    failed = run_tests(copy, {test: covered.seconds[test] for test in fastest.values()})
    copies.put(copy)
    assert failed is None, f"{failed}: a test fails in a copy of the tree without a mutant"


def read_accepted() -> list[Accepted]:
    """The survivors that are written down."""
    return [Accepted(**each) for each in tomllib.loads(SURVIVORS.read_text()).get("survivor", [])]


def find_accepted(survivors: Sequence[Mutant]) -> dict[Mutant, Accepted]:
    """Those survivors that are written down, known by the changed lines, wherever in their file these are now."""
    listed = {(each.path, each.before, each.after): each for each in read_accepted()}
    found = {}
    for mutant in survivors:
        key = (mutant.path, *list_changed((ROOT / mutant.path).read_text(), mutant))
        if key in listed:
            found[mutant] = listed[key]
    return found
