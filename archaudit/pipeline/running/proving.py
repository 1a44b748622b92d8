"""Whether two models that claim to be only rewritten compute the same: two workers, weights and inputs handed from one to the other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from archaudit.errors import ArchauditError
from archaudit.pipeline.options import Options
from archaudit.pipeline.running.asking import expect
from archaudit.pipeline.running.measuring import load_request, opened_targets
from archaudit.pipeline.sides.targets import Target
from archaudit.schema import Equivalence, Match, Profile, Shape
from archaudit.worker import Exhibit, Exhibited, Imitate, Imitated, Loaded, Worker, start_workers

# Twice that in doubles, on each side, and a file of the same size: what a CI machine of 7 GiB can do.
PARAM_BYTES_LIMIT = 512 * 2**20
# Every module's output is written down to find the first that differs.
ACTIVATION_BYTES_LIMIT = 2 * 2**30
_DTYPES = ("float64", "float32")
_MOST_NAMED = 3


def prove_equivalence(targets: Sequence[Target], profiles: Sequence[Profile], matches: Iterable[Match], options: Options) -> Equivalence:
    """The answer, whatever it is: what cannot be tried is `not comparable`, never an error."""
    both = [(match.before_path, match.after_path) for match in matches]
    modules = {after: before for before, after in both if before is not None and after is not None}
    names, obstacle = _map_weights(profiles[0], profiles[1], modules)
    if obstacle is not None:
        return obstacle
    for target, profile in zip(targets, profiles, strict=True):
        if target.reference is None:
            return _refuse(f"{target.name} is a saved profile or a live model: there is no code to run")
        if profile.totals.param_bytes > PARAM_BYTES_LIMIT:
            return _refuse(f"{target.name} is too large to be run for real twice: {profile.totals.param_bytes:,} bytes of parameters")
    preload = tuple(dict.fromkeys((*options.workers.preload, *(name for target in targets for name in target.preload))))
    with (
        opened_targets(targets, options) as opened,
        tempfile.TemporaryDirectory(prefix="archaudit-") as folder,
        start_workers(
            [target.name for target in targets],
            msgspec.structs.replace(options.workers, preload=preload),
            options.notify,
            [options.workers.choose_python(side) for side in range(len(targets))],
        ) as workers,
    ):
        try:
            for target, worker in zip(opened, workers, strict=True):
                worker.send(load_request(target, options))
            for worker in workers:
                expect(worker, Loaded)
            return _try(workers, Path(folder, "exhibit"), names, modules, profiles)
        except ArchauditError as error:
            return _refuse(error.message)


def _try(workers: Sequence[Worker], path: Path, names: dict[str, str], modules: dict[str, str], profiles: Sequence[Profile]) -> Equivalence:
    """In doubles, or in floats where the model insists on them; a second time, module by module, where the outputs differ."""
    failure: ArchauditError | None = None
    for dtype in _DTYPES:
        try:
            answer = _run_both(workers, path, dtype, names, {})
        except ArchauditError as error:
            failure = failure or error
            continue
        small = all(profile.totals.activation_bytes <= ACTIVATION_BYTES_LIMIT for profile in profiles)
        return _run_both(workers, path, dtype, names, modules) if answer.outcome == "different" and small else answer
    assert failure is not None
    raise failure


def _run_both(workers: Sequence[Worker], path: Path, dtype: str, names: dict[str, str], modules: dict[str, str]) -> Equivalence:
    before, after = workers
    before.send(Exhibit(str(path), dtype, tuple(dict.fromkeys(modules.values()))))
    expect(before, Exhibited)
    after.send(Imitate(str(path), dtype, names, modules))
    return expect(after, Imitated).equivalence


def _map_weights(before: Profile, after: Profile, modules: dict[str, str]) -> tuple[dict[str, str], Equivalence | None]:
    """The tensors of after to those of before, or why they do not fit. Tensors go where their modules went."""
    given = _list_tensors(before)
    names: dict[str, str] = {}
    unfitting: list[str] = []
    new: list[str] = []
    for module in after.modules:
        for tensor in module.tensors:
            name = _join(module.path, tensor.name)
            source = _join(modules[module.path], tensor.name) if module.path in modules else ""
            shape = given.get(source)
            if shape is not None and shape != tensor.shape:
                unfitting.append(f"{name} is {_write(tensor.shape)}, before {_write(shape)}")
            elif shape is not None:
                names[name] = source
            elif tensor.kind == "parameter" and tensor.tied_to is None:
                new.append(name)
    if unfitting:
        return names, Equivalence(outcome="different", reason=f"the weights do not fit: {_shorten(unfitting)}")
    if new:
        return names, _refuse(f"parameters of after have no counterpart before whose values they could take: {_shorten(new)}")
    return names, None


def _list_tensors(profile: Profile) -> dict[str, Shape]:
    return {_join(module.path, tensor.name): tensor.shape for module in profile.modules for tensor in module.tensors}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _write(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _shorten(texts: list[str]) -> str:
    more = len(texts) - _MOST_NAMED
    return "; ".join(texts[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _refuse(reason: str) -> Equivalence:
    return Equivalence(outcome="not comparable", reason=reason)
