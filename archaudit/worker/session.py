"""The worker: handles each request. Only here are the packages called that need torch."""

from __future__ import annotations

import gc
import os
import socket
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from archaudit.errors import ArchauditError, WorkerError, describe_error
from archaudit.schema import Checkout, Recipe
from archaudit.worker.dependencies import DependencyRecorder
from archaudit.worker.messages import (
    CompareOutputs,
    DeviceInspected,
    Explain,
    Explained,
    Failed,
    FindLaws,
    FixesProven,
    InspectDevice,
    LawsFound,
    Load,
    Loaded,
    Measure,
    Measured,
    ModelRequest,
    ModulesTimed,
    OutputsCompared,
    OutputsRecorded,
    PrepareTiming,
    Progress,
    ProveFixes,
    RecordOutputs,
    Reply,
    Request,
    TimeBlock,
    Timed,
    TimeModules,
    TimingReady,
    receive_request,
    send,
)
from archaudit.worker.process_guard import guard_builtins, guard_process, record_forks

if TYPE_CHECKING:
    from archaudit.load.reference import Reference
    from archaudit.measure.latency import TimedModel


class Session:
    """The state of one side: the recipe once it is loaded, and the model once it is prepared for timing."""

    def __init__(self, notify: Callable[[Progress], None] = lambda progress: None, announce: Callable[[str], None] | None = None) -> None:
        self._announce = announce
        self.recipe: Recipe | None = None
        self.notify = notify
        self._timed: TimedModel | None = None
        self._checkout: Checkout | None = None
        self._dependencies: DependencyRecorder | None = None

    def handle(self, request: Request) -> Reply:
        """The reply to one request. An error becomes Failed; any other exception than an ArchauditError is a defect, or one that the model
        raises where archaudit does not expect it, and its message says where."""
        if self._announce is not None:
            self._announce("")
        try:
            return self._handle(request)
        except ArchauditError as error:
            return Failed(type(error).__name__, error.message, error.hint)
        except MemoryError:
            return Failed("WorkerError", "the model needs more memory than the machine has")
        except Exception as error:  # noqa: BLE001 - the parent shows it as a message
            return _explain_defect(error, self.recipe)

    def _handle(self, request: Request) -> Reply:
        if isinstance(request, Load):
            return self._load(request)
        if self.recipe is None:
            raise WorkerError("no model is loaded")
        with guard_process(self.recipe.name):
            return self._run_model(self.recipe, request)

    def _run_model(self, recipe: Recipe, request: ModelRequest) -> Reply:
        if isinstance(request, Measure):
            return self._measure(recipe, request)
        if isinstance(request, Explain):
            return self._explain(recipe, request)
        if isinstance(request, FindLaws):
            return self._find_laws(recipe, request)
        if isinstance(request, ProveFixes):
            return self._prove_fixes(recipe, request)
        if isinstance(request, RecordOutputs | CompareOutputs):
            return self._run_with_values(recipe, request)
        return self._time(recipe, request)

    def _announce_modules(self) -> None:
        """From now on, announces each module that runs, for the message if this process dies in it."""
        if self._announce is not None:
            from archaudit.measure.tape.module_calls import report_running_module

            report_running_module(self._announce)

    def _load(self, request: Load) -> Reply:
        from archaudit.load.reference import parse_reference

        self.notify(Progress(f"loading {request.name}"))
        reference = parse_reference(request.reference)
        self._checkout = request.checkout
        with guard_builtins(request.name):
            recipe = msgspec.structs.replace(self._load_recipe(reference, request), device=request.device)
        if request.batch is not None:
            from archaudit.measure.building import set_batch

            recipe = set_batch(recipe, request.batch)
        self.recipe = recipe
        self._timed = None
        return Loaded(recipe.name)

    def _load_recipe(self, reference: Reference, request: Load) -> Recipe:
        from archaudit.load import import_formulas, load_recipe

        if request.checkout is not None:
            from archaudit.load.checkout_imports import check_origins, enter_checkout

            self._dependencies = DependencyRecorder(request.checkout)
            import_formulas(request.formulas)
            enter_checkout(request.checkout)
            reference = msgspec.structs.replace(reference, text=request.checkout.text)
            recipe = load_recipe(reference, request.inputs, request.name, dtype=request.dtype, arg_file=request.arg_file)
            check_origins(request.checkout)
            return recipe
        if request.recorded:
            self._dependencies = DependencyRecorder(None)
        import_formulas(request.formulas)
        return load_recipe(reference, request.inputs, request.name, dtype=request.dtype, arg_file=request.arg_file)

    def _explain(self, recipe: Recipe, request: Explain) -> Reply:
        from archaudit.measure.recipe import explain_recipe

        self.notify(Progress(f"explaining {recipe.name}"))
        self._announce_modules()
        return Explained(explain_recipe(recipe, request.path))

    def _find_laws(self, recipe: Recipe, request: FindLaws) -> Reply:
        from archaudit.measure.scaling_law import find_laws

        self.notify(Progress(f"finding the formulas of {recipe.name}"))
        self._announce_modules()
        return LawsFound(find_laws(recipe, checks=request.checks))

    def _measure(self, recipe: Recipe, request: Measure) -> Reply:
        from archaudit.measure.recipe import inspect_recipe, measure_recipe

        self.notify(Progress(f"measuring {recipe.name}"))
        self._announce_modules()
        if request.inspected:
            profile, inspection = inspect_recipe(recipe)
            return Measured(profile, inspection=inspection)
        profile = measure_recipe(
            recipe,
            other_counters=request.other_counters,
            symbolic=request.symbolic,
            params_only=request.params_only,
            with_values=request.with_values,
            training=request.training,
        )
        if self._dependencies is None:
            return Measured(profile)
        if self._checkout is not None:
            from archaudit.load.checkout_imports import check_origins

            check_origins(self._checkout)  # a forward pass can import, too
        return Measured(profile, self._dependencies.list_dependencies())

    def _prove_fixes(self, recipe: Recipe, request: ProveFixes) -> Reply:
        from archaudit.measure.fix_proofs import prove_fixes

        self.notify(Progress(f"proving fixes of {recipe.name}"))
        self._announce_modules()
        proofs, totals, total = prove_fixes(recipe, request.fixes, request.refusal)
        return FixesProven(tuple(proofs), totals, total)

    def _run_with_values(self, recipe: Recipe, request: RecordOutputs | CompareOutputs) -> Reply:
        from archaudit.measure.equivalence import compare_outputs, record_outputs

        self.notify(Progress(f"running {recipe.name} with values"))
        self._announce_modules()
        if isinstance(request, RecordOutputs):
            record_outputs(recipe, Path(request.path), request.dtype, request.modules, request.ties, operators=request.operators)
            return OutputsRecorded()
        path, sources = Path(request.path), request.sources
        return OutputsCompared(
            *compare_outputs(recipe, path, request.dtype, sources, request.modules, request.input_modules, request.questions)
        )

    def _time(self, recipe: Recipe, request: PrepareTiming | TimeBlock | TimeModules | InspectDevice) -> Reply:
        if isinstance(request, PrepareTiming):
            return self._prepare(recipe, request)
        model = self._timed
        if model is None:
            raise WorkerError("no model is prepared for timing")
        if isinstance(request, InspectDevice):
            return self._inspect_device(model, request)
        self.notify(Progress(f"timing {recipe.name} on {model.settings.device}"))
        if isinstance(request, TimeModules):
            times = model.time_modules(request.repeats)
            return ModulesTimed(times.own_s, times.total_s, times.launches, times.attribution, times.notes)
        return Timed(model.time_passes(request.repeats, request.form))

    def _prepare(self, recipe: Recipe, request: PrepareTiming) -> Reply:
        from archaudit.measure.latency import TimedModel
        from archaudit.measure.latency.devices import release_memory

        self.notify(Progress(f"warming up {recipe.name} on {request.settings.device}"))
        if self._timed is not None:  # free the previous model first: two may not fit
            self._timed = None
            gc.collect()  # it is part of a reference cycle
            release_memory(request.settings.device)
        model = self._timed = TimedModel(recipe, request.settings)
        warmed = model.prepare(request.limit_s)
        return TimingReady(model.settings, model.machine, model.forms, warmed.samples_s, warmed.stable, model.notes)

    def _inspect_device(self, model: TimedModel, request: InspectDevice) -> Reply:
        from archaudit.measure.latency.ceilings import measure_ceilings
        from archaudit.measure.latency.devices import read_state

        ceilings = None
        if request.ceilings:
            self.notify(Progress(f"measuring the ceilings of {model.settings.device}"))
            ceilings = measure_ceilings(model.settings, model.clock, model.synchronize)
        # read after the work: the clocks of an idle device are lower than those that the models run at
        return DeviceInspected(read_state(model.settings.device, request.own_processes), ceilings)


def _explain_defect(error: BaseException, recipe: Recipe | None) -> Failed:
    if os.environ.get("ARCHAUDIT_TRACEBACK"):
        traceback.print_exception(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    name = f"{recipe.name}: " if recipe is not None else ""
    return Failed("WorkerError", f"{name}measuring raised {describe_error(error)}{place}", "ARCHAUDIT_TRACEBACK=1 shows where it happened.")


# --- the worker process: answers requests from a socket until it is closed ---


def serve(channel: socket.socket, threads: int | None, announce: Callable[[str], None]) -> None:
    """Answers requests on `channel`. `announce` gets each module that runs."""
    if threads is not None:
        from archaudit.measure.process_state import limit_threads

        limit_threads(threads)
    session = Session(notify=lambda progress: send(channel, progress), announce=announce)
    warned = record_warnings()
    while True:
        request = receive_request(channel)
        if request is None:
            return
        try:
            reply = session.handle(request)
        except BaseException as error:  # noqa: BLE001 - the model raised KeyboardInterrupt, for example
            reply = _explain_defect(error, session.recipe)
        if isinstance(reply, Measured):
            reply = msgspec.structs.replace(reply, warnings=tuple(warned))
        elif isinstance(reply, Failed):  # they may say why
            sys.stderr.writelines(f"{text}\n" for text in warned)
        if isinstance(reply, Measured | Failed):
            warned.clear()
        send(channel, reply)


# A longer warning is cut.
_LONGEST_WARNING = 300


def record_warnings() -> dict[str, None]:
    """From now on, the warnings that this process would print, each once: `UserWarning: too narrow (net.py:6)`."""
    warned: dict[str, None] = {}

    def record(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        text = f"{category.__name__}: {' '.join(str(message).split())[:_LONGEST_WARNING]}"
        warned[f"{text} ({Path(filename).name}:{lineno})"] = None

    warnings.showwarning = record
    return warned


def serve_and_exit(channel: socket.socket, threads: int | None, announce: Callable[[str], None]) -> None:
    """Serves and ends the process. In a process that the model forks, the socket is closed: it must not answer."""
    worker = os.getpid()
    os.register_at_fork(after_in_child=channel.close)
    record_forks()
    code = 1
    try:
        serve(channel, threads, announce)
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        code = 0  # the parent is gone
    except BaseException:  # noqa: BLE001 - a defect: shown with its traceback, and the parent sees the exit status
        if os.getpid() == worker:
            traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
