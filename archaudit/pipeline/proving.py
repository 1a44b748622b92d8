"""Whether two models compute the same outputs: each runs in its own worker, with the same weights and inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from archaudit.diff.checkpoint.adapters import ADAPTER_SCALES
from archaudit.diff.checkpoint.weight_sources import WeightMap, map_weights
from archaudit.errors import ArchauditError
from archaudit.index import index_modules
from archaudit.pipeline.measuring import make_load_request, open_targets, open_workers
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import Target
from archaudit.pipeline.timing import receive_reply
from archaudit.schema import Equivalence, Match, Pair, Profile
from archaudit.worker import CompareOutputs, Loaded, OutputsCompared, OutputsRecorded, RecordOutputs, Worker

# In float64 that is twice as much, on each side and in a file: a CI machine with 7 GiB of memory can hold it.
PARAM_BYTES_LIMIT = 512 * 2**20
# The output of every module is recorded to find the first that differs; beyond this, only the model's outputs are compared.
ACTIVATION_BYTES_LIMIT = 2 * 2**30
_DTYPES = ("float64", "float32")
_MOST_NAMED = 3


def prove_equivalence(targets: Sequence[Target], profiles: Sequence[Profile], matches: Iterable[Match], options: Options) -> Equivalence:
    """The answer of running both models; models that cannot be run give `not comparable`, never an error."""
    weight_maps = list(map_weights(profiles[0], profiles[1], matches))
    first = weight_maps[0]
    if first.mismatched:
        return _refuse(f"weights have other shapes, so the models cannot run with the same ones: {_shorten(first.mismatched)}")
    if first.new:
        return _refuse(f"parameters of after have no counterpart before to take their values from: {_shorten(first.new)}")
    for target, profile in zip(targets, profiles, strict=True):
        if target.reference is None or target.reference.kind == "saved":
            return _refuse(f"{target.name} is a saved profile or a live model: there is no code to run")
        if profile.totals.param_bytes > PARAM_BYTES_LIMIT:
            size = f"{profile.totals.param_bytes:,} bytes of parameters, more than {PARAM_BYTES_LIMIT:,}"
            return _refuse(f"{target.name} is too large to run twice: it has {size}")
    with (
        open_targets(targets, options) as opened,
        tempfile.TemporaryDirectory(prefix="archaudit-") as folder,
        open_workers(opened, options) as workers,
    ):
        try:
            for target, worker in zip(opened, workers, strict=True):
                worker.send(make_load_request(target, options))
            for worker in workers:
                receive_reply(worker, Loaded)
            return _run_both(_ProofWorkers(Pair(*workers), Path(folder, "outputs")), weight_maps, Pair(*profiles))
        except ArchauditError as error:
            return _refuse(error.message)


class _ProofWorkers(NamedTuple):
    """The worker of each side, and the file that passes weights, inputs and outputs from the first to the second."""

    workers: Pair[Worker]
    path: Path

    def record_outputs(self, dtype: str, modules: Iterable[str] = ()) -> None:
        """Runs before, and writes its outputs, with those of the named modules, to the file."""
        self.workers.before.send(RecordOutputs(str(self.path), dtype, tuple(dict.fromkeys(modules))))
        receive_reply(self.workers.before, OutputsRecorded)

    def compare_outputs(self, dtype: str, weight_map: WeightMap, after: Profile | None = None) -> Equivalence:
        """Runs after with these weights and compares the outputs; with the profile of after, those of its modules too."""
        modules = weight_map.modules if after is not None else {}
        sources = index_modules(after).inputs if after is not None else {}
        self.workers.after.send(CompareOutputs(str(self.path), dtype, weight_map.sources | weight_map.adapters, modules, sources))
        return receive_reply(self.workers.after, OutputsCompared).equivalence


def _run_both(workers: _ProofWorkers, weight_maps: Sequence[WeightMap], profiles: Pair[Profile]) -> Equivalence:
    """In float64, or in float32 where a model requires it; where the outputs differ, a second time to compare each module."""
    failure: ArchauditError | None = None
    for dtype in _DTYPES:
        try:
            workers.record_outputs(dtype)
            answers = []
            for weight_map in weight_maps:
                answers.append(workers.compare_outputs(dtype, weight_map))
                if answers[-1].outcome == "equivalent":
                    return _name_assumed(answers[-1], weight_map)
        except ArchauditError as error:
            failure = failure or error
            continue
        answer = answers[0]
        if answer.outcome == "different" and all(profile.totals.activation_bytes <= ACTIVATION_BYTES_LIMIT for profile in profiles):
            workers.record_outputs(dtype, weight_maps[0].modules.values())
            answer = workers.compare_outputs(dtype, weight_maps[0], profiles.after)
        return _weaken_assumed(answer, weight_maps)
    assert failure is not None
    raise failure


def _name_assumed(answer: Equivalence, weight_map: WeightMap) -> Equivalence:
    """The answer with the assumed sources of weights: equal outputs confirm them."""
    if not weight_map.assumed:
        return answer
    groups = f", in each of {weight_map.groups} groups of rows" if weight_map.groups > 1 else ""
    reason = f"{answer.reason}, with the weights of {_list_assumed(weight_map.assumed)}{groups}"
    return msgspec.structs.replace(answer, reason=reason)


def _weaken_assumed(answer: Equivalence, weight_maps: Sequence[WeightMap]) -> Equivalence:
    """`not comparable` where weights were dropped or their sources assumed: other outputs prove nothing then."""
    assumed, unused = weight_maps[0].assumed, weight_maps[0].unused
    if answer.outcome == "not comparable":
        return answer
    if unused:
        reason = (
            f"{answer.reason}. Weights of before have no counterpart after, so both models do not have the same weights: {_shorten(unused)}"
        )
        return msgspec.structs.replace(answer, outcome="not comparable", reason=reason)
    if not assumed:
        return answer
    orders = ", in every order" if any(weight_map.sources != weight_maps[0].sources for weight_map in weight_maps) else ""
    orders += f", with {len(ADAPTER_SCALES)} factors" if weight_maps[0].adapters else ""
    orders += " of all rows or within each head" if any(weight_map.groups > 1 for weight_map in weight_maps) else ""
    reason = f"{answer.reason}. Tried with the weights of {_list_assumed(assumed)}{orders}; another arrangement may give equal outputs"
    return msgspec.structs.replace(answer, outcome="not comparable", reason=reason)


def _list_assumed(assumed: dict[str, tuple[str, ...]]) -> str:
    return _shorten([f"{whole or 'the model'} for {', '.join(parts)}" for whole, parts in assumed.items()])


def _shorten(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST_NAMED
    return "; ".join(texts[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _refuse(reason: str) -> Equivalence:
    return Equivalence(outcome="not comparable", reason=reason)
