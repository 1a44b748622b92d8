"""Whether two models compute the same outputs: each runs in its own worker, with the same weights and inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import msgspec

from archaudit.diff.checkpoint.key_map import list_loading, list_used
from archaudit.diff.checkpoint.weight_sources import WeightMap, WeightPlan, plan_weights
from archaudit.errors import ArchauditError
from archaudit.index import index_modules
from archaudit.pipeline.measuring import make_load_request, open_targets, open_workers
from archaudit.pipeline.options import Options
from archaudit.pipeline.profile_diff import map_keys
from archaudit.pipeline.targets import Target
from archaudit.pipeline.timing import receive_reply
from archaudit.schema import CheckpointMap, Equivalence, FoldedAdapter, Match, Pair, Profile, WeightSource
from archaudit.worker import CompareOutputs, Loaded, OutputsCompared, OutputsRecorded, RecordOutputs, Worker

# In float64 that is twice as much, on each side and in a file: a CI machine with 7 GiB of memory can hold it.
PARAM_BYTES_LIMIT = 512 * 2**20
# The output of every module is recorded to find the first that differs; beyond this, only the model's outputs are compared.
ACTIVATION_BYTES_LIMIT = 2 * 2**30
_DTYPES = ("float64", "float32")
_MOST_NAMED = 3


class Proof(NamedTuple):
    """The verdict on two models, and the map of weights that they ran with (the likeliest one where they did not run)."""

    equivalence: Equivalence
    weight_map: WeightMap
    by_size: frozenset[str]

    @property
    def holds(self) -> bool:
        """Whether both models had equal outputs with this map."""
        return self.equivalence.outcome == "equivalent"


def prove_equivalence(targets: Sequence[Target], profiles: Sequence[Profile], matches: Iterable[Match], options: Options) -> Proof:
    """The answer of running both models; models that cannot be run give `not comparable`, never an error."""
    plan = plan_weights(profiles[0], profiles[1], matches)
    likeliest = plan.choose()
    reason = _find_obstacle(targets, profiles, likeliest)
    if reason:
        return Proof(_refuse(reason), likeliest, plan.by_size)
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
            return _run_both(_ProofWorkers(Pair(*workers), Path(folder, "outputs"), plan), Pair(*profiles))
        except ArchauditError as error:
            return Proof(_refuse(error.message), likeliest, plan.by_size)


def _find_obstacle(targets: Sequence[Target], profiles: Sequence[Profile], weight_map: WeightMap) -> str:
    """Why the models cannot be run with the same weights; empty where they can."""
    if weight_map.mismatched:
        return f"weights have other shapes, so the models cannot run with the same ones: {_shorten(weight_map.mismatched)}"
    if weight_map.new:
        return f"parameters of after have no counterpart before to take their values from: {_shorten(weight_map.new)}"
    for target, profile in zip(targets, profiles, strict=True):
        if target.reference is None or target.reference.kind == "saved":
            return f"{target.name} is a saved profile or a live model: there is no code to run"
        if profile.totals.param_bytes > PARAM_BYTES_LIMIT:
            size = f"{profile.totals.param_bytes:,} bytes of parameters, more than {PARAM_BYTES_LIMIT:,}"
            return f"{target.name} is too large to run twice: it has {size}"
    return ""


class _ProofWorkers(NamedTuple):
    """The worker of each side, the file that passes weights, inputs and outputs from the first to the second, and the plan of weights."""

    workers: Pair[Worker]
    path: Path
    plan: WeightPlan

    def record_outputs(
        self, dtype: str, modules: Iterable[str] = (), ties: dict[str, str] | None = None, *, operators: bool = False
    ) -> None:
        """Runs before, and writes its outputs, with those of the named modules and all operators, to the file."""
        self.workers.before.send(RecordOutputs(str(self.path), dtype, tuple(dict.fromkeys(modules)), ties or {}, operators))
        receive_reply(self.workers.before, OutputsRecorded)

    def compare_outputs(
        self, dtype: str, choice: Sequence[int] | None = None, after: Profile | None = None
    ) -> tuple[Equivalence, WeightMap]:
        """Runs after with these answers, or searches them, and compares the outputs; with the profile of after, those of modules too."""
        weight_map = self.plan.choose(choice)
        questions: tuple[tuple[dict[str, WeightSource], ...], ...] = ()
        if choice is None:
            questions = tuple(tuple(answer.sources for answer in question) for question in self.plan.questions)
        sources = index_modules(after).inputs if after is not None else {}
        self.workers.after.send(CompareOutputs(str(self.path), dtype, weight_map.sources, weight_map.modules, sources, questions))
        reply = receive_reply(self.workers.after, OutputsCompared)
        if choice is None:
            weight_map = self.plan.choose(reply.choice)
        factors = {
            name: msgspec.structs.replace(source, scale=reply.factors[name])
            for name, source in weight_map.sources.items()
            if isinstance(source, FoldedAdapter) and name in reply.factors
        }
        return reply.equivalence, weight_map._replace(sources=weight_map.sources | factors)


def _run_both(workers: _ProofWorkers, profiles: Pair[Profile]) -> Proof:
    """In float64, or in float32 where a model requires it; where the outputs differ, a second time to compare each module."""
    failure: ArchauditError | None = None
    plan = workers.plan
    small = all(profile.totals.activation_bytes <= ACTIVATION_BYTES_LIMIT for profile in profiles)
    modules = tuple(plan.known.modules.values()) if small else ()
    for dtype in _DTYPES:
        try:
            # the outputs of modules choose between many answers
            workers.record_outputs(dtype, modules if len(plan.questions) > 1 else ())
            answer, weight_map = workers.compare_outputs(dtype)
        except ArchauditError as error:
            failure = failure or error
            continue
        if answer.outcome == "equivalent":
            return Proof(_name_assumed(answer, weight_map), weight_map, plan.by_size)
        if answer.outcome == "different" and plan.ties:
            workers.record_outputs(dtype, ties=plan.ties)
            tied, tied_map = workers.compare_outputs(dtype)
            if tied.outcome == "equivalent":
                return Proof(_state_condition(plan.ties), tied_map, plan.by_size)
        if answer.outcome == "different" and small:
            workers.record_outputs(dtype, modules, operators=True)
            answer, weight_map = workers.compare_outputs(dtype, after=profiles.after)
        return Proof(_weaken_assumed(answer, weight_map, plan, profiles), weight_map, plan.by_size)
    assert failure is not None
    raise failure


def _state_condition(ties: dict[str, str]) -> Equivalence:
    conditions = _shorten([f"{one} equals {other}" for one, other in ties.items()])
    return _refuse(f"after has one tensor where before has two; the outputs are equal only if {conditions} before")


def _name_assumed(answer: Equivalence, weight_map: WeightMap) -> Equivalence:
    """The answer with the assumed sources of weights: equal outputs confirm them."""
    if not weight_map.assumed:
        return answer
    groups = f", in each of {weight_map.groups} groups of rows" if weight_map.groups > 1 else ""
    reason = f"{answer.reason}, with the weights of {_list_assumed(weight_map.assumed)}{groups}"
    return msgspec.structs.replace(answer, reason=reason)


def _weaken_assumed(answer: Equivalence, weight_map: WeightMap, plan: WeightPlan, profiles: Pair[Profile]) -> Equivalence:
    """`not comparable` where weights were dropped or their sources assumed: other outputs prove nothing then."""
    if answer.outcome != "different":
        return answer
    reason = ""
    if weight_map.unused:
        reason = f"weights of before have no counterpart after: {_shorten(weight_map.unused)}; without them, "
    elif plan.ties:
        tied = _shorten([f"{one} and {other}" for one, other in plan.ties.items()])
        reason = f"tensors of before are one tensor after: {tied}; with its values for both, "
    elif weight_map.assumed:
        count = prod(len(question) for question in plan.questions)
        ways = f", in {count:,} arrangements" if count > 1 else ""
        tried = f"with the weights of {_list_assumed(weight_map.assumed)}{ways}"
        reason = f"it is not known which weights belong together; tried {tried}, where another one may give equal outputs; "
    elif (doubtful := _find_doubtful(answer, plan, profiles)) is not None:
        reason = f"only the structure matches {doubtful[0]} to {doubtful[1]}, and another match may give equal outputs; with this one, "
    return msgspec.structs.replace(answer, outcome="not comparable", reason=f"{reason}{answer.reason}") if reason else answer


def _find_doubtful(answer: Equivalence, plan: WeightPlan, profiles: Pair[Profile]) -> Pair[str] | None:
    """The first module that differs, if it has another name and is not changed itself, and others of its type could be the right match."""
    first = answer.first_difference
    if first is None or first.before_path == first.after_path:
        return None
    before, after = index_modules(profiles.before)[first.before_path], index_modules(profiles.after)[first.after_path]
    if not after.tensors or (before.type, before.settings) != (after.type, after.settings):
        return None
    shapes = [tensor.shape for tensor in after.tensors]
    modules = plan.known.modules
    rivals = [
        path
        for path, origin in modules.items()
        if path not in (first.after_path, origin) and [tensor.shape for tensor in index_modules(profiles.after)[path].tensors] == shapes
    ]
    return Pair(first.before_path, first.after_path) if rivals else None


# --- the entries of a checkpoint map ---


def judge_keys(before: Profile, after: Profile, matches: Sequence[Match], proof: Proof) -> CheckpointMap:
    """The checkpoint map that the proof used, with the entries that it proves; the others are plausible, each with the reason.

    Tensors that only their size pairs have an entry only if it is proven.
    """
    weight_map = proof.weight_map
    mapping = map_keys(before, after, matches, weight_map, () if proof.holds else proof.by_size)
    loading = list_loading(mapping)
    used = list_used(mapping, Pair(before, after), weight_map.sources)
    if not proof.holds:
        known = "the outputs differ with this map" if proof.equivalence.outcome == "different" else "the models are not comparable"
        return msgspec.structs.replace(mapping, plausible=dict.fromkeys(loading, f"{known}: {proof.equivalence.reason}"))
    plausible = {key: "the run that gave equal outputs did not use this entry" for key in loading if key not in used}
    return msgspec.structs.replace(mapping, proven=tuple(key for key in loading if key in used), plausible=plausible)


def _list_assumed(assumed: dict[str, tuple[str, ...]]) -> str:
    return _shorten(
        [
            f"{whole} in another order of its values" if parts == (whole,) else f"{whole or 'the model'} for {', '.join(parts)}"
            for whole, parts in assumed.items()
        ]
    )


def _shorten(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST_NAMED
    return "; ".join(texts[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _refuse(reason: str) -> Equivalence:
    return Equivalence(outcome="not comparable", reason=reason)
