"""Which sizes of the input a model accepts: every one, multiples of a step, several only together, or just its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from archaudit.errors import MeasureError
from archaudit.measure.model_run import Run
from archaudit.measure.size_variables import Place, find_variables
from archaudit.measure.sized_runs import run_sized
from archaudit.scaling.samples import Sample

# Tried in this order: strides of convolutions, patches, and windows of them.
_STEPS = (1, 2, 4, 8, 16, 32, 14, 28, 64, 7, 12, 24, 48, 96, 128, 224)
_WIDE = 96
# Beyond these a run takes long on a model that loops over tokens or windows.
_FIRST_GROWTH = {"B": 2, "T": 37, "L": 37, "H": 43, "W": 21}


@dataclass(slots=True)
class Domain:
    """The variables that can vary with their sizes in the model's own input, the steps of each, and what is fixed.

    `low` and `high` limit the sizes that are tried. `samples` are the runs that were made on the way.
    """

    run: Run
    places: dict[str, list[Place]]
    base: dict[str, int]
    steps: dict[str, int] = field(default_factory=dict)
    shrinks: set[str] = field(default_factory=set)
    fixed: list[str] = field(default_factory=list)
    tied: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    reaches_far: bool = False

    def try_sizes(self, sizes: Mapping[str, int]) -> Sample | None:
        """A run; None if the model does not accept these sizes."""
        for sample in self.samples:
            if sample.sizes == {**self.base, **sizes}:
                return sample
        try:
            sample = run_sized(self.run, self.places, {**self.base, **sizes})
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - a model may raise anything on another size
            return None
        self.samples.append(sample)
        return sample


def find_domain(run: Run) -> Domain:
    """Tries the sizes of the inputs. Raises MeasureError if no input has a size that can vary."""
    base, places = find_variables(run)
    if not base:
        raise MeasureError("the model's input has no size that can vary", "Give it an input with a batch: --input 1x3x224x224.")
    domain = Domain(run, places, base)
    if all(domain.try_sizes(sizes) for sizes in _grow_all(base)):
        domain.steps = dict.fromkeys(base, 1)
        return domain
    for name in list(base):
        step = _find_step(domain, lambda size, name=name: {name: size}, name)  # type: ignore[misc]
        if step is not None:
            domain.steps[name] = step
    _tie_square(domain)
    _tie_lengths(domain)
    given = dict(domain.base)
    for name in [name for name in base if name not in domain.steps]:
        domain.fixed.append(name)
        domain.places.pop(name)
        domain.base.pop(name)
    kept = [sample for sample in domain.samples if all(sample.sizes[name] == given[name] for name in domain.fixed)]
    domain.samples = [dataclasses.replace(sample, sizes=_keep(sample.sizes, domain.base)) for sample in kept]
    if domain.base and domain.try_sizes(next(_grow_each(domain))) is None:
        raise MeasureError("the sizes of the model's input vary one by one, but not together")
    return domain


def _keep(sizes: Mapping[str, int], names: Mapping[str, int]) -> dict[str, int]:
    return {name: size for name, size in sizes.items() if name in names}


def _grow_all(base: Mapping[str, int]) -> Iterator[dict[str, int]]:
    yield {name: size + _FIRST_GROWTH.get(name.rstrip("0123456789"), 29) for name, size in base.items()}


def _grow_each(domain: Domain) -> Iterator[dict[str, int]]:
    sign = {name: -1 if name in domain.shrinks else 1 for name in domain.base}
    yield {name: size + sign[name] * domain.steps[name] for name, size in domain.base.items()}


def _find_step(domain: Domain, place: Callable[[int], dict[str, int]], name: str) -> int | None:
    """The smallest step in which a size varies; None if there is none. A size that cannot grow may shrink."""
    size = domain.base[name]
    if name == "B":
        return 1 if domain.try_sizes(place(size + 2)) is not None else None
    for step in _STEPS:
        # a size that only varies within one window of the model (193 to 224 are seven tokens) has no law: the last trial leaves it
        grown = (size + step, size + 3 * step, size + step * max(5, _WIDE // step))
        shrunk = (size - step, size - 3 * step, size - step * max(3, size // 3 // step))
        for sizes in (grown, shrunk):
            if min(sizes) > 0 and all(domain.try_sizes(place(each)) is not None for each in sizes):
                if sizes is shrunk:
                    domain.shrinks.add(name)
                return step
    return None


def _tie_square(domain: Domain) -> None:
    """Height and width that only vary together become one variable, H."""
    names = [name for name in ("H", "W") if name in domain.base and name not in domain.steps]
    if len(names) == 2 and domain.base["H"] == domain.base["W"]:
        step = _find_step(domain, lambda size: {"H": size, "W": size}, "H")
        if step is not None:
            _join(domain, "H", ["W"], step)


def _tie_lengths(domain: Domain) -> None:
    """Lengths that only vary together become one variable."""
    names = [name for name in domain.base if name[0] in "TL" and name not in domain.steps]
    for first in names:
        others = [name for name in names if name != first and name in domain.base and domain.base[name] == domain.base.get(first)]
        if others:
            same = (first, *others)
            step = _find_step(domain, lambda size: dict.fromkeys(same, size), first)  # noqa: B023 - called before the next round
            if step is not None:
                _join(domain, first, others, step)
                return


def _join(domain: Domain, name: str, others: list[str], step: int) -> None:
    for other in others:
        domain.places[name] = domain.places[name] + domain.places.pop(other)
        domain.base.pop(other)
        domain.tied.append(f"{other} = {name}")
    domain.steps[name] = step
    domain.samples = [sample for sample in domain.samples if all(sample.sizes.get(other) == sample.sizes[name] for other in others)]
