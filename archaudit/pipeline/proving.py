"""Whether two models that claim to be only rewritten compute the same: two workers, weights and inputs handed from one to the other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from archaudit.diff.checkpoint.weight_sources import Inheritance, inherit_weights
from archaudit.errors import ArchauditError
from archaudit.pipeline.measuring import make_load_request, open_targets, open_workers
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import Target
from archaudit.pipeline.timing import receive_reply
from archaudit.schema import Equivalence, Match, ModuleRecord, Profile
from archaudit.worker import CompareOutputs, Loaded, OutputsCompared, OutputsRecorded, RecordOutputs, Worker

# Twice that in doubles, on each side, and a file of the same size: what a CI machine of 7 GiB can do.
PARAM_BYTES_LIMIT = 512 * 2**20
# Every module's output is written down to find the first that differs.
ACTIVATION_BYTES_LIMIT = 2 * 2**30
_DTYPES = ("float64", "float32")
_MOST_NAMED = 3


def prove_equivalence(targets: Sequence[Target], profiles: Sequence[Profile], matches: Iterable[Match], options: Options) -> Equivalence:
    """The answer, whatever it is: what cannot be tried is `not comparable`, never an error."""
    inheritances = list(inherit_weights(profiles[0], profiles[1], matches))
    if inheritances[0].unfitting:
        return Equivalence(outcome="different", reason=f"the weights do not fit: {_shorten(inheritances[0].unfitting)}")
    if inheritances[0].new:
        return _refuse(f"parameters of after have no counterpart before whose values they could take: {_shorten(inheritances[0].new)}")
    for target, profile in zip(targets, profiles, strict=True):
        if target.reference is None or target.reference.kind == "saved":
            return _refuse(f"{target.name} is a saved profile or a live model: there is no code to run")
        if profile.totals.param_bytes > PARAM_BYTES_LIMIT:
            return _refuse(f"{target.name} is too large to be run for real twice: {profile.totals.param_bytes:,} bytes of parameters")
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
            return _try(_Stage(workers, Path(folder, "exhibit")), inheritances, profiles)
        except ArchauditError as error:
            return _refuse(error.message)


class _Stage(NamedTuple):
    """Two workers, and the file through which weights, inputs and outputs go from one to the other."""

    workers: Sequence[Worker]
    path: Path

    def exhibit(self, dtype: str, modules: Iterable[str] = ()) -> None:
        self.workers[0].send(RecordOutputs(str(self.path), dtype, tuple(dict.fromkeys(modules))))
        receive_reply(self.workers[0], OutputsRecorded)

    def imitate(self, dtype: str, inheritance: Inheritance, after: Profile | None = None) -> Equivalence:
        """Compares the outputs; with the profile of after, also those of its modules."""
        modules = inheritance.modules if after is not None else {}
        feeders = {module.path: tuple(_list_feeders(module)) for module in after.modules} if after is not None else {}
        self.workers[1].send(CompareOutputs(str(self.path), dtype, inheritance.sources, modules, feeders))
        return receive_reply(self.workers[1], OutputsCompared).equivalence


def _try(stage: _Stage, inheritances: Sequence[Inheritance], profiles: Sequence[Profile]) -> Equivalence:
    """In doubles, or in floats where the model insists on them; a second time, module by module, where the outputs differ."""
    failure: ArchauditError | None = None
    for dtype in _DTYPES:
        try:
            stage.exhibit(dtype)
            answers = []
            for inheritance in inheritances:
                answers.append(stage.imitate(dtype, inheritance))
                if answers[-1].outcome == "equivalent":
                    return _name_guesses(answers[-1], inheritance)
        except ArchauditError as error:
            failure = failure or error
            continue
        answer = answers[0]
        if all(profile.totals.activation_bytes <= ACTIVATION_BYTES_LIMIT for profile in profiles):
            stage.exhibit(dtype, inheritances[0].modules.values())
            answer = stage.imitate(dtype, inheritances[0], profiles[1])
        return _doubt(answer, inheritances)
    assert failure is not None
    raise failure


def _list_feeders(module: ModuleRecord) -> Iterable[str]:
    return dict.fromkeys(feeder for call in module.calls for feeder in call.inputs_from)


def _name_guesses(answer: Equivalence, inheritance: Inheritance) -> Equivalence:
    """The answer, which tells what a proof rests on where sources of weights were guessed: since it holds, so do they."""
    if not inheritance.guesses:
        return answer
    groups = f", in each of {inheritance.groups} groups of rows" if inheritance.groups > 1 else ""
    reason = f"{answer.reason}, taking the weights of {_write_guesses(inheritance.guesses)}{groups}"
    return msgspec.structs.replace(answer, reason=reason)


def _doubt(answer: Equivalence, inheritances: Sequence[Inheritance]) -> Equivalence:
    """That outputs differ proves nothing where the sources of weights were guessed: they may lie otherwise, by heads, say."""
    guesses = inheritances[0].guesses
    if not guesses:
        return answer
    orders = ", in whichever order" if len(inheritances) > 1 else ""
    orders += " of all rows or within each head" if any(inheritance.groups > 1 for inheritance in inheritances) else ""
    reason = f"{answer.reason}. That was taking the weights of {_write_guesses(guesses)}{orders}; taken otherwise, they may be the same"
    return msgspec.structs.replace(answer, outcome="not comparable", reason=reason)


def _write_guesses(guesses: dict[str, tuple[str, ...]]) -> str:
    return _shorten([f"{whole or 'the model'} for {', '.join(parts)}" for whole, parts in guesses.items()])


def _shorten(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST_NAMED
    return "; ".join(texts[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _refuse(reason: str) -> Equivalence:
    return Equivalence(outcome="not comparable", reason=reason)
