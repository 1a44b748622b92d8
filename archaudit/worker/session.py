"""What a worker does with each request. The only place where the rooms that need torch are called."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from archaudit.errors import ArchauditError, WorkerError
from archaudit.schema import Checkout, Recipe
from archaudit.worker.dependencies import FootprintRecorder
from archaudit.worker.messages import (
    Exhibit,
    Exhibited,
    Explain,
    Explained,
    Failed,
    Imitate,
    Imitated,
    Load,
    Loaded,
    Measure,
    Measured,
    ModelRequest,
    ModulesTimed,
    PrepareTiming,
    Progress,
    Reply,
    Request,
    Survey,
    Surveyed,
    TimeBlock,
    Timed,
    TimeModules,
    TimingReady,
    receive_request,
    send,
)
from archaudit.worker.process_guard import good_conduct, tell_forks

if TYPE_CHECKING:
    from archaudit.measure.latency import TimedModel


class Session:
    """The state of one side: the recipe once loaded, and its model once prepared to be timed."""

    def __init__(self, notify: Callable[[Progress], None] = lambda progress: None, announce: Callable[[str], None] | None = None) -> None:
        self._announce = announce
        self.recipe: Recipe | None = None
        self.notify = notify
        self._timed: TimedModel | None = None
        self._checkout: Checkout | None = None
        self._footprint: FootprintRecorder | None = None

    def handle(self, request: Request) -> Reply:
        """The reply to one request; what archaudit can explain becomes Failed, anything else is a defect and passes through."""
        if self._announce is not None:
            self._announce("")
        try:
            return self._handle(request)
        except ArchauditError as error:
            return Failed(type(error).__name__, error.message, error.hint)

    def _handle(self, request: Request) -> Reply:
        if isinstance(request, Load):
            return self._load(request)
        if self.recipe is None:
            raise WorkerError("nothing was loaded yet")
        with good_conduct(self.recipe.name):
            return self._run_model(self.recipe, request)

    def _run_model(self, recipe: Recipe, request: ModelRequest) -> Reply:
        if isinstance(request, Measure):
            return self._measure(recipe, request)
        if isinstance(request, Explain):
            return self._explain(recipe, request)
        if isinstance(request, Exhibit | Imitate):
            return self._prove(recipe, request)
        return self._time(recipe, request)

    def _tell_modules(self) -> None:
        """From now on it is announced which module is running, for the case that this process dies in it."""
        if self._announce is not None:
            from archaudit.measure.tape.module_calls import report_running_module

            report_running_module(self._announce)

    def _load(self, request: Load) -> Reply:
        from archaudit.load import import_formulas, load_recipe, parse_reference

        self.notify(Progress(f"loading {request.name}"))
        reference = parse_reference(request.reference)
        self._checkout = request.checkout
        if request.checkout is not None:
            from archaudit.load.checkout import check_origins, enter_checkout

            self._footprint = FootprintRecorder(request.checkout)
            import_formulas(request.formulas)
            enter_checkout(request.checkout)
            recipe = load_recipe(msgspec.structs.replace(reference, text=request.checkout.text), request.inputs, request.name)
            check_origins(request.checkout)
        else:
            import_formulas(request.formulas)
            recipe = load_recipe(reference, request.inputs, request.name)
        if request.batch is not None:
            from archaudit.measure.latency.timed_model import set_batch

            recipe = set_batch(recipe, request.batch)
        self.recipe = recipe
        self._timed = None
        return Loaded(recipe.name)

    def _explain(self, recipe: Recipe, request: Explain) -> Reply:
        from archaudit.measure.recipe import explain_recipe

        self.notify(Progress(f"explaining {recipe.name}"))
        self._tell_modules()
        return Explained(explain_recipe(recipe, request.path))

    def _measure(self, recipe: Recipe, request: Measure) -> Reply:
        from archaudit.measure.recipe import measure_recipe

        self.notify(Progress(f"measuring {recipe.name}"))
        self._tell_modules()
        profile = measure_recipe(recipe, witnesses=request.witnesses, symbolic=request.symbolic)
        if self._checkout is None or self._footprint is None:
            return Measured(profile)
        from archaudit.load.checkout import check_origins

        check_origins(self._checkout)  # a forward pass may import, too
        return Measured(profile, self._footprint.take())

    def _prove(self, recipe: Recipe, request: Exhibit | Imitate) -> Reply:
        from archaudit.measure.equivalence import compare_outputs, record_outputs

        self.notify(Progress(f"running {recipe.name} for real"))
        self._tell_modules()
        if isinstance(request, Exhibit):
            record_outputs(recipe, Path(request.path), request.dtype, request.modules)
            return Exhibited()
        return Imitated(compare_outputs(recipe, Path(request.path), request.dtype, request.sources, request.modules, request.feeders))

    def _time(self, recipe: Recipe, request: PrepareTiming | TimeBlock | TimeModules | Survey) -> Reply:
        if isinstance(request, PrepareTiming):
            return self._prepare(recipe, request)
        model = self._timed
        if model is None:
            raise WorkerError("nothing was prepared to be timed yet")
        if isinstance(request, Survey):
            return self._survey(model, request)
        self.notify(Progress(f"timing {recipe.name} on {model.settings.device}"))
        if isinstance(request, TimeModules):
            times = model.time_modules(request.repeats)
            return ModulesTimed(times.own_s, times.total_s, times.launches, times.attribution, times.notes)
        return Timed(model.time_passes(request.repeats, request.form))

    def _prepare(self, recipe: Recipe, request: PrepareTiming) -> Reply:
        from archaudit.measure.latency import TimedModel
        from archaudit.measure.latency.devices import release_memory

        self.notify(Progress(f"warming {recipe.name} up on {request.settings.device}"))
        if self._timed is not None:  # a model before it goes first: two may not fit
            self._timed = None
            gc.collect()  # it knows the functions that know it
            release_memory(request.settings.device)
        model = self._timed = TimedModel(recipe, request.settings)
        warmed = model.prepare(request.limit_s)
        return TimingReady(model.settings, model.machine, model.forms, warmed.samples_s, warmed.stable, model.notes)

    def _survey(self, model: TimedModel, request: Survey) -> Reply:
        from archaudit.measure.latency.ceilings import measure_ceilings
        from archaudit.measure.latency.devices import read_state

        ceilings = None
        if request.ceilings:
            self.notify(Progress(f"measuring what {model.settings.device} can do"))
            ceilings = measure_ceilings(model.settings, model.clock, model.synchronize)
        # after the work: an idle device has low clocks, which say nothing of those that the models run at
        return Surveyed(read_state(model.settings.device, request.own_processes), ceilings)


# --- the worker's end: reads requests from a socket and answers them, until told to quit or the parent is gone ---


def serve(channel: socket.socket, threads: int | None, announce: Callable[[str], None]) -> None:
    """Answers requests on `channel`; `announce` is told which module is running."""
    if threads is not None:
        from archaudit.measure.process_state import limit_threads

        limit_threads(threads)
    session = Session(notify=lambda progress: send(channel, progress), announce=announce)
    while True:
        request = receive_request(channel)
        if request is None:
            return
        try:
            reply = session.handle(request)
        except MemoryError:
            reply = Failed("WorkerError", "the model needs more memory than there is")
        send(channel, reply)


def serve_and_exit(channel: socket.socket, threads: int | None, announce: Callable[[str], None]) -> None:
    """Serves, and ends the process. One that the model forks is no worker: what it would answer goes nowhere."""
    worker = os.getpid()
    os.register_at_fork(after_in_child=channel.close)
    tell_forks()
    code = 1
    try:
        serve(channel, threads, announce)
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        code = 0  # the parent is gone: nobody is left to tell
    except BaseException:  # noqa: BLE001 - a defect of ours: shown whole, and the parent sees the exit status
        if os.getpid() == worker:
            import traceback

            traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
