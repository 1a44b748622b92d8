"""How many mutants the tests detect: `python tests/mutation/run.py --sample 200 --seed 1`.

A sample of mutants is drawn from the core packages; `--seed` chooses which. Each mutant is applied to a copy of the tree. Then the tests
that run its line are run, the fastest first, until one fails. The output is the score of each package, and each survivor as a diff.
`--place FILE:LINE` tries every mutant of a line instead. The first run in a tree records which test runs which line. That takes several
minutes; later runs read it from `.cache/mutation`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import click
from mutation.coverage_map import load_map
from mutation.mutants import Mutant, list_mutants, show_mutant
from mutation.packages import PACKAGES, ROOT, list_sources
from mutation.sampling import Result, draw_sample, try_sample
from mutation.trial import Outcome


@click.command()
@click.option("--sample", "size", default=200, show_default=True, help="How many mutants.")
@click.option("--seed", default=0, show_default=True, help="Which of all mutants are drawn.")
@click.option(
    "--package", "--room", "packages", multiple=True, type=click.Choice(list(PACKAGES)), help="Only mutants of this package (repeatable)."
)
@click.option("--place", "places", multiple=True, metavar="FILE:LINE", help="Every mutant of this line instead (repeatable).")
def main(size: int, seed: int, packages: tuple[str, ...], places: tuple[str, ...]) -> None:
    """Applies mutants and counts those that the tests detect."""
    sample = _list_at(places) if places else draw_sample(packages or tuple(PACKAGES), size, seed)
    covered = load_map(tuple(sample))
    result = try_sample(sample, covered, _show_outcome)
    _show_survivors(result)
    for package in [*sample, None]:
        tried, killed, accepted = result.count(package)
        if tried:
            click.echo(
                f"{package or 'all':10} {killed:4} of {tried:4} killed, {100 * killed / tried:5.1f} %; accepted survivors: {accepted}"
            )


def _list_at(places: tuple[str, ...]) -> dict[str, list[Mutant]]:
    sample: dict[str, list[Mutant]] = {}
    for place in places:
        path, _, line = place.rpartition(":")
        package = next(package for package in PACKAGES if path in list_sources(package))
        found = [mutant for mutant in list_mutants(path, (ROOT / path).read_text()) if mutant.line == int(line)]
        sample.setdefault(package, []).extend(found)
    return sample


def _show_outcome(outcome: Outcome) -> None:
    mutant = outcome.mutant
    verdict = f"killed by {outcome.killed_by}" if outcome.killed_by else f"SURVIVED {outcome.tests} tests"
    click.echo(f"{mutant.path}:{mutant.line} {mutant.operator}: {verdict}", err=True)


def _show_survivors(result: Result) -> None:
    for outcomes in result.outcomes.values():
        for outcome in outcomes:
            if outcome.killed_by is None:
                click.echo(show_mutant((ROOT / outcome.mutant.path).read_text(), outcome.mutant))
                if outcome.mutant in result.accepted:
                    accepted = result.accepted[outcome.mutant]
                    click.echo(f"  accepted ({accepted.kind}): {accepted.why}")
                elif not outcome.tests:
                    click.echo("  no test runs this line")
                click.echo("")


if __name__ == "__main__":
    main()
