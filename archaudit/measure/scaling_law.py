"""Finds how the costs of a model grow: runs it without values at a few sizes, expresses each cost, and checks that at further sizes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple

from archaudit.errors import MeasureError
from archaudit.measure.fallbacks import run_with_fallbacks
from archaudit.measure.formulas import load_plugins
from archaudit.measure.model_run import Run
from archaudit.measure.process_state import check_counting_methods, paused_gc, unchanged_globals
from archaudit.measure.size_trials import Domain, find_domain
from archaudit.measure.size_variables import MEANINGS
from archaudit.measure.sized_runs import list_saved_sizes
from archaudit.measure.tensors import list_tensors_within
from archaudit.scaling.explaining import Doubt
from archaudit.scaling.expressions import Expression, compile_text, evaluate_code, sum_expressions
from archaudit.scaling.fitting import Fitter, Laws
from archaudit.scaling.peaks import fit_peak
from archaudit.scaling.samples import Sample
from archaudit.schema import Law, ModuleLaws, Recipe, ScalingLaws, SizeVariable

_MODES_WITHOUT_VALUES = ("meta", "deferred", "fake", "routed", "answered")
# Runs from which the laws are found. With fewer, wrong expressions fit by coincidence; a rounded share takes up to six more.
_FIRST_RUNS = 8
_MOST_RUNS = 20
# How often runs that show a law to be wrong are added.
_MOST_ROUNDS = 4
# Runs that are only compared with the laws.
DEFAULT_CHECKS = 3
# Runs with grad; the sizes are known by then.
_SAVED_RUNS = 6
_SEED = 0
_CANDIDATES = 60
_GRID = 120
# How far the sizes are from the model's own. Some are far: 1/31 and 1/32 of a size are the same until it grows by a thousand.
_SHARE_SINGLE, _LARGEST_BATCH = 0.3, 40
_NEAR, _FAR, _SHARE_FAR = 256, 1500, 0.3


def find_laws(recipe: Recipe, *, checks: int = DEFAULT_CHECKS) -> ScalingLaws:
    """The laws of the recipe's model, checked in `checks` runs that were not used to find them.

    Raises the errors of building and running the model, and MeasureError if it only runs with values or with one size of input.
    """
    load_plugins()
    with unchanged_globals(), paused_gc():
        check_counting_methods()
        run = run_with_fallbacks(recipe)
        if run.build_mode not in _MODES_WITHOUT_VALUES:
            raise MeasureError(
                f"{recipe.reference} only runs with values: its costs depend on data, and have no law",
                "archaudit profile counts one input.",
            )
        domain = find_domain(run)
        if not domain.base:
            raise MeasureError(f"{recipe.reference} runs with one size of input only: {', '.join(domain.fixed)} cannot vary")
        return _Search(recipe, run, domain).find(checks)


class _Found(NamedTuple):
    macs: Laws
    activations: Laws
    peak: Law


class _Search:
    """The laws of one model."""

    def __init__(self, recipe: Recipe, run: Run, domain: Domain) -> None:
        self.recipe, self.run, self.domain = recipe, run, domain
        self._random = random.Random(_SEED)
        self.notes: list[str] = []

    def find(self, checks: int) -> ScalingLaws:
        """Runs, expresses, and checks. A run that shows a law to be wrong becomes one of those that it is found from."""
        samples = self._run_first()
        for _ in range(_MOST_ROUNDS):
            fitter = self._fit(samples)
            found = _Found(fitter.fit_macs(), fitter.fit_activation_bytes(), self._find_peak(fitter, samples))
            checked = self._check(samples, checks)
            wrong = {number: text for number, sample in enumerate(checked) for text in self._compare(sample, found)}
            if not wrong:
                break
            samples += [checked[number] for number in wrong]
        laws = {"macs": self._write_total(found.macs)}
        laws["flops"] = self._double(laws["macs"])
        laws["activation_bytes"] = self._write_total(found.activations)
        laws["peak_activation_bytes"] = found.peak
        laws["saved_bytes"] = self._find_saved(fitter, samples)
        cache = self._find_cache(fitter, samples)
        if cache is not None:
            laws["kv_bytes"] = cache
        return ScalingLaws(
            name=self.recipe.name,
            reference=self.recipe.reference,
            variables=tuple(self._describe_variables(samples + checked)),
            laws=laws,
            modules=tuple(self._write_modules({"macs": found.macs, "activation_bytes": found.activations})),
            fixed=tuple(self.domain.fixed),
            points=tuple(sample.sizes for sample in samples),
            checked=tuple(sample.sizes for sample in checked),
            counts=tuple(map(_count, checked)),
            wrong=tuple(wrong.values()),
            notes=(*self._list_notes(samples), *self.notes),
        )

    # --- runs ---

    def _draw(self) -> dict[str, int]:
        """Random sizes that the model accepts; some of them far from its own, where similar expressions differ most."""
        sizes = {}
        reach = _FAR if self._random.random() < _SHARE_FAR and self.domain.reaches_far else _NEAR
        for name, base in self.domain.base.items():
            step = self.domain.steps[name]
            if name == "B":
                sizes[name] = 1 if self._random.random() < _SHARE_SINGLE else self._random.randint(2, _LARGEST_BATCH)
                continue
            most = max(4, min(base, reach) // step if reach == _NEAR else reach // step)
            low = -min(most // 2, (base - 1) // step)
            high = 0 if name in self.domain.shrinks else most
            if name in self.domain.shrinks:
                low = -min(most * 3 // 4, (base - 1) // step)
            sizes[name] = base + step * self._random.randint(low, high)
        return sizes

    def _draw_near(self, doubts: Sequence[Doubt]) -> dict[str, int]:
        """Random sizes that decide one doubt for each variable."""
        sizes = self._draw()
        for doubt in self._random.sample(doubts, min(3, len(doubts))):
            sizes[doubt.variable] = doubt.move(sizes[doubt.variable], self.domain.steps[doubt.variable])
        return sizes

    def _run_first(self) -> list[Sample]:
        base = self.domain.try_sizes({})
        if base is None:
            raise MeasureError(f"{self.recipe.reference} ran once, but not again")
        counts = {len(sample.products) for sample in self.domain.samples}
        far = {
            name: size + self.domain.steps[name] * (_FAR // self.domain.steps[name])
            for name, size in self.domain.base.items()
            if name != "B"
        }
        # a loop over tokens takes long where they are many
        self.domain.reaches_far = len(counts) == 1 and self.domain.try_sizes(far) is not None
        for _ in range(4 * _FIRST_RUNS):
            if len(self.domain.samples) >= _FIRST_RUNS:
                break
            self.domain.try_sizes(self._draw())
        return list(self.domain.samples)

    def _fit(self, samples: list[Sample]) -> Fitter:
        """A fitter without doubts, after further runs where several expressions fit."""
        fitter = Fitter(samples, self.domain.steps)
        most = max(_MOST_RUNS, len(samples) + 2)
        while (doubts := fitter.explain_sizes()) and len(samples) < most:
            best = max((self._draw_near(doubts) for _ in range(_CANDIDATES)), key=lambda sizes: _score(sizes, doubts))
            sample = self.domain.try_sizes(best) if _score(best, doubts) else None
            if sample is None or any(each is sample for each in samples):
                break
            samples.append(sample)
            fitter = Fitter(samples, self.domain.steps, fitter)
        return fitter

    def _check(self, samples: Sequence[Sample], count: int) -> list[Sample]:
        """Runs at sizes that were not used before."""
        used = [sample.sizes for sample in samples]
        found: list[Sample] = []
        for _ in range(4 * count):
            if len(found) == count:
                break
            sizes = self._draw()
            if sizes in used:
                continue
            sample = self.domain.try_sizes(sizes)
            if sample is not None:
                used.append(sizes)
                found.append(sample)
        return found

    # --- laws ---

    def _write_total(self, laws: Laws) -> Law:
        total = laws.total
        if total is not None:
            return Law(expression=total.format())
        return Law(reason=self._explain_unresolved(laws))

    def _explain_unresolved(self, laws: Laws) -> str:
        named = [f"{operator} in {self.run.tree.paths[position] or 'the model itself'}" for position, operator in laws.unresolved.items()]
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        return f"no expression fits {', '.join(named[:3])}{more}"

    @staticmethod
    def _double(law: Law) -> Law:
        from archaudit.scaling.reading import parse_expression

        return law if law.expression is None else Law(expression=(parse_expression(law.expression) * 2).format())

    def _find_peak(self, fitter: Fitter, samples: Sequence[Sample]) -> Law:
        points = [sample.sizes for sample in samples] + [self._draw() for _ in range(_GRID)]
        found = fit_peak(fitter, points)
        if found is None:
            return Law(reason="the order in which tensors are allocated and freed depends on the sizes")
        text, pieces = found
        return Law(expression=text, pieces=tuple((each, self.run.tree.paths[position]) for each, position in pieces if len(pieces) > 1))

    def _find_saved(self, fitter: Fitter, samples: Sequence[Sample]) -> Law:
        """Bytes that are kept for the backward pass, in training mode if the model runs so; compared at one size that is not used."""
        chosen = samples[: _SAVED_RUNS + 1]
        for training in (True, False):
            try:
                rows = [list_saved_sizes(self.run, self.domain.places, sample.sizes, training=training) for sample in chosen]
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - a model may fail with grad for any reason; then the bytes are not known
                failure = error
                continue
            if not training:
                self.notes.append("bytes saved for backward are those of eval mode: the model does not run in training mode")
            expression = fitter.take(range(_SAVED_RUNS)).fit_rows(rows[:_SAVED_RUNS]) if len(chosen) > _SAVED_RUNS else None
            if expression is None:
                return Law(reason="no expression fits the tensors that are kept")
            if expression.evaluate(chosen[-1].sizes) != sum(map(prod, rows[-1])):
                return Law(reason=f"the expression that fits {_SAVED_RUNS} runs does not hold in another")
            return Law(expression=expression.format())
        return Law(reason=f"the forward pass with grad raised {type(failure).__name__}")

    def _find_cache(self, fitter: Fitter, samples: Sequence[Sample]) -> Law | None:
        if not any(sample.cache for sample in samples):
            return None
        expression = fitter.fit_rows([sample.cache for sample in samples])
        return Law(expression=expression.format()) if expression is not None else Law(reason="no expression fits the cache")

    def _write_modules(self, laws: dict[str, Laws]) -> Iterator[ModuleLaws]:
        tree = self.run.tree
        sums: dict[str, list[Expression | None]] = {}
        for name, each in laws.items():
            own: list[Expression | None] = [each.own.get(position, Expression()) for position in range(len(tree))]
            for position in each.unresolved:
                own[position] = None
            for position in range(len(tree) - 1, 0, -1):  # a parent comes before its children
                parent, value, above = tree.parents[position], own[position], own[tree.parents[position]]
                own[parent] = None if value is None or above is None else sum_expressions((above, value)) if value.terms else above
            sums[name] = own
        for position, module in enumerate(tree.modules):
            found = {}
            for name, own in sums.items():
                value = own[position]
                if value is None:
                    found[name] = Law(reason=self._explain_unresolved(laws[name]))
                elif value.terms:
                    found[name] = Law(expression=value.format())
            yield ModuleLaws(path=tree.paths[position], type=type(module).__name__, laws=found)

    def _compare(self, sample: Sample, found: _Found) -> Iterator[str]:
        """Where the laws differ from what a run cost."""
        for name, laws, counts in (
            ("macs", found.macs, sample.count_macs()),
            ("activation_bytes", found.activations, sample.count_activation_bytes()),
        ):
            for position in sorted({*counts, *laws.own} - laws.unresolved.keys()):
                value = laws.own.get(position, Expression()).evaluate(sample.sizes)
                if value != counts.get(position, 0):
                    yield _describe_wrong(name, self.run.tree.paths[position], sample.sizes, value, counts.get(position, 0))
        text = found.peak.expression
        if text is not None and (value := evaluate_code(compile_text(text), sample.sizes)) != sample.find_peak():
            yield _describe_wrong("peak_activation_bytes", "", sample.sizes, value, sample.find_peak())

    # --- descriptions ---

    def _describe_variables(self, samples: Sequence[Sample]) -> Iterator[SizeVariable]:
        from archaudit.measure.building import describe_inputs

        records = describe_inputs(self.run.args, self.run.kwargs)
        assert len(records) == len(list_tensors_within((self.run.args, self.run.kwargs)))
        for name, base in self.domain.base.items():
            sizes = [sample.sizes[name] for sample in samples]
            yield SizeVariable(
                name=name,
                meaning=MEANINGS.get(name, MEANINGS.get(name.rstrip("0123456789"), "")),
                base=base,
                low=min(sizes),
                high=max(sizes),
                step=self.domain.steps[name],
                inputs=tuple(f"{records[place.tensor].name}.{place.dimension}" for place in self.domain.places[name]),
            )

    def _list_notes(self, samples: Sequence[Sample]) -> Iterator[str]:
        yield from self.run.assumptions
        if self.run.build_mode == "routed":
            yield from self.run.shape_cache.known_values.choices
        yield from self.domain.tied
        for position, operator in sorted({each for sample in samples for each in sample.unknown}):
            yield f"{operator} in {self.run.tree.paths[position] or 'the model itself'} has no formula: the laws of MACs leave it out"


def _score(sizes: dict[str, int], doubts: Sequence[Doubt]) -> int:
    """How many doubts a run with these sizes decides, weighted by how well."""
    return sum(doubt.count_decided(sizes[doubt.variable]) for doubt in doubts)


def _count(sample: Sample) -> dict[str, int]:
    macs = sum(sample.count_macs().values())
    activations = sum(sample.count_activation_bytes().values())
    return {"macs": macs, "flops": 2 * macs, "activation_bytes": activations, "peak_activation_bytes": sample.find_peak()}


def _describe_wrong(name: str, path: str, sizes: dict[str, int], value: int, actual: int) -> str:
    where = ", ".join(f"{each}={size}" for each, size in sizes.items())
    return f"{name} of {path or 'the model itself'} at {where}: {value:,} by the law, {actual:,} counted"
