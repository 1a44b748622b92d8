"""A recipe's model built for real on a device, ready to be timed in blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import msgspec
import torch
from torch import nn
from torch.utils import _pytree

from archaudit.errors import ArchauditError, MeasureError
from archaudit.measure.building import build_real, make_inputs
from archaudit.measure.latency.clocks import CallClock, EventClock
from archaudit.measure.latency.devices import (
    cast_passes,
    check_precision,
    choose_threads,
    describe_machine,
    fixed_threads,
    float32_precision,
    resolve_device,
)
from archaudit.measure.latency.graph_capture import capture_graph, compile_model, first_line
from archaudit.measure.latency.kernels import PassKernels, profile_kernels
from archaudit.measure.module_tree import ModuleTree, walk_tree
from archaudit.measure.process_state import set_training
from archaudit.measure.tape.module_calls import CallObserver, observe_calls
from archaudit.schema import Recipe, TimingSettings
from archaudit.timing import Clock, WarmUp, warm_up

# Clocks have a resolution of nanoseconds.
_DIGITS = 9

# An idle GPU needs some tenths of a second of work to raise its clocks.
_WARM_UP_S = 0.5
# Refilling the caches of a GPU takes far less than a hundredth of this.
_LONG_PASS_S = 0.2

# Kernels in close succession overlap by a fraction of a per cent, which is not reported.
_LEAST_OVERLAP = 0.01

Form = Literal["eager", "replay", "compiled"]

BY_CLOCK = "a clock around every call"
BY_KERNELS = "kernels joined to the module that launched them by correlation id"
BY_EVENTS = "CUDA events around every call: gaps between kernels are included"


class ModuleTimes(NamedTuple):
    """Seconds by path, one figure for each instrumented pass: in a module's own operators, and with all modules inside it.

    `launches` is the number of a module's own kernels in one pass (on the CPU: its calls). `attribution` is the method that assigned time
    to modules.
    """

    own_s: dict[str, tuple[float, ...]]
    total_s: dict[str, tuple[float, ...]]
    launches: dict[str, int]
    attribution: str
    notes: tuple[str, ...] = ()


class TimedModel:
    """The model on the device of the settings (`auto`: CUDA if there is one), with its inputs and the forms that it can be timed in.

    `settings` are the given ones, with the number of CPU threads that is used. Tests pass their own `clock` and `synchronize`. Raises
    MeasureError if there is no such device, or the model does not run on it.
    """

    def __init__(
        self, recipe: Recipe, settings: TimingSettings, clock: Clock = time.perf_counter, synchronize: Callable[[], None] | None = None
    ) -> None:
        device = resolve_device(settings.device)
        # the CPU threads matter only on the CPU: one thread launches all kernels of a GPU
        threads = choose_threads() if settings.threads is None and device == "cpu" else settings.threads
        settings = msgspec.structs.replace(settings, device=device, threads=threads)
        check_precision(settings.dtype, settings.device)
        self.settings = settings
        self._name = recipe.name
        self.machine = describe_machine(settings.device)
        self.notes: tuple[str, ...] = ()
        self.clock = clock
        self._pass_s = 0.0  # set by the warm-up
        self.synchronize = synchronize or (torch.cuda.synchronize if settings.device == "cuda" else _wait_for_nothing)
        with self._convert_errors("cannot be built to be timed"):
            model, self._context = build_real(recipe)
            with self._context():
                args, kwargs = make_inputs(recipe, model)
        with self._convert_errors("does not fit"):
            set_training(model, False)
            self._model = _move_to_device(model, settings)
            self._args, self._kwargs = _pytree.tree_map(lambda leaf: _move_to_device(leaf, settings), (args, kwargs))
        self._forms: dict[Form, Callable[[], Any]] = {"eager": lambda: self._run_pass(self._model)}

    def prepare(self, limit_s: float) -> WarmUp:
        """Runs passes until their times are stable (at least two passes, for at most `limit_s` seconds), then makes the other forms."""
        with self._timing_context():
            with self._convert_errors("does not run"):
                warmed = self._warm_up(self._forms["eager"], limit_s)
            self._pass_s = warmed.pass_s
            if self.settings.device == "cuda":
                replay, why = capture_graph(self._forms["eager"])
                self._add_form("replay", replay, why)
            if self.settings.compiled:
                compiled, why = compile_model(self._model, lambda model: self._warm_up(lambda: self._run_pass(model), limit_s))
                self._add_form("compiled", None if compiled is None else lambda: self._run_pass(compiled), why)
        return warmed

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms that can be timed."""
        return tuple(self._forms)

    def time_passes(self, repeats: int, form: Form = "eager") -> tuple[float, ...]:
        """Seconds of each of `repeats` passes in inference mode, without instrumentation.

        On a GPU that several processes use in turn, the caches hold the data of another process: a first pass is then not counted, unless
        a pass takes so long that this is negligible.
        """
        with self._timing_context(), self._convert_errors("does not run"):
            if self.settings.device == "cuda" and self._pass_s < _LONG_PASS_S:
                self._time_pass(form)
            return tuple(self._time_pass(form) for _ in range(repeats))

    def time_modules(self, repeats: int) -> ModuleTimes:
        """Each module's time in `repeats` instrumented passes."""
        tree = walk_tree(self._model)
        with self._timing_context():
            if self.settings.device == "cpu":
                return self._time_by_clock(tree, repeats)
            with self._convert_errors("does not run"):
                self._warm_up(self._forms["eager"], _WARM_UP_S)  # the clocks drop while the other model is timed
            try:
                passes = profile_kernels(tree, self._run_and_wait, self._launch_probe, repeats)
                why = "the profiler saw no kernels: CUPTI is not permitted on this machine"
            except RuntimeError as error:
                passes, why = [], f"the profiler failed: {first_line(error)}"
            if not passes:
                return self._time_by_events(tree, repeats, why)
        own = [{position: spent / 1e9 for position, spent in each.own_ns.items()} for each in passes]
        return _collect_times(tree, own, passes[0].launches, BY_KERNELS, tuple(_describe_problems(passes, repeats)))

    def _time_by_clock(self, tree: ModuleTree, repeats: int) -> ModuleTimes:
        clock = CallClock(self.clock)
        own = self._observe_passes(tree, clock, repeats, lambda: dict(clock.own), clock.clear)
        return _collect_times(tree, own, clock.calls, BY_CLOCK, ())

    def _time_by_events(self, tree: ModuleTree, repeats: int, why: str) -> ModuleTimes:
        clock = EventClock()
        with self._convert_errors("does not run"):
            own = self._observe_passes(tree, clock, repeats, clock.read_own, clock.clear)
        return _collect_times(tree, own, clock.counts, BY_EVENTS, (why,))

    def _observe_passes(
        self, tree: ModuleTree, observer: CallObserver, repeats: int, read: Callable[[], dict[int, float]], clear: Callable[[], None]
    ) -> list[dict[int, float]]:
        """The result of `read` after each of `repeats` passes; an extra pass before them warms up the instrumentation."""
        found = []
        with observe_calls(tree, observer):
            for number in range(1 + repeats):
                clear()
                self._run_and_wait()
                if number:
                    found.append(read())
        return found

    def _add_form(self, name: Form, run: Callable[[], Any] | None, why: str) -> None:
        if run is None:
            self.notes = (*self.notes, why)
        else:
            self._forms[name] = run

    def _warm_up(self, run: Callable[[], Any], limit_s: float) -> WarmUp:
        return warm_up(lambda: self._time_run(run), limit_s, _WARM_UP_S if self.settings.device == "cuda" else 0.0)

    def _time_pass(self, form: Form) -> float:
        return self._time_run(self._forms[form])

    def _time_run(self, run: Callable[[], Any]) -> float:
        self.synchronize()
        start = self.clock()
        run()
        self.synchronize()
        return round(self.clock() - start, _DIGITS)

    def _run_and_wait(self) -> None:
        self._run_pass(self._model)
        self.synchronize()

    def _launch_probe(self) -> None:
        torch.zeros(1, device=self.settings.device)
        self.synchronize()

    def _run_pass(self, model: nn.Module) -> Any:
        with cast_passes(self.settings.dtype, self.settings.device):
            return model(*self._args, **self._kwargs)

    @contextmanager
    def _convert_errors(self, what: str) -> Iterator[None]:
        """Turns an error of the model or the device into a MeasureError."""
        try:
            yield
        except ArchauditError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the user's model may raise anything
            raise MeasureError(
                f"{self._name} {what} on {self.settings.device} in {self.settings.dtype}: {type(error).__name__}: {first_line(error)}",
                "Try other settings: --dtype, --batch, --device.",
            ) from error

    @contextmanager
    def _timing_context(self) -> Iterator[None]:
        settings = self.settings
        with (
            fixed_threads(settings.threads),
            self._context(),
            torch.inference_mode(),
            float32_precision(settings.dtype, settings.device),
        ):
            yield


def _wait_for_nothing() -> None:
    """Does nothing: on the CPU a call returns when it is finished."""


def _describe_problems(passes: list[PassKernels], repeats: int) -> Iterator[str]:
    """Notes on kernels that were lost, that overlap, or that the profiler did not see."""
    lost, overlap = max(each.lost_ns for each in passes), max(each.overlap_ns for each in passes)
    if lost:
        yield f"{lost / 1e6:.3f} ms of kernels in a pass could not be joined to a module"
    if overlap > _LEAST_OVERLAP * sum(passes[0].own_ns.values()):
        yield f"{overlap / 1e6:.3f} ms of kernels in a pass ran in parallel with others: the sum of the layers counts them twice"
    if len(passes) < repeats:
        yield f"{repeats - len(passes)} of {repeats} instrumented passes were dropped: the profiler lost some of their kernels"


def _move_to_device(value: Any, settings: TimingSettings) -> Any:
    """A model or a tensor on the device, in the requested memory format; any other value unchanged."""
    if not isinstance(value, torch.Tensor | nn.Module):
        return value
    placed: Any = value.to(settings.device)
    images = isinstance(placed, nn.Module) or placed.dim() == 4
    return placed.to(memory_format=torch.channels_last) if settings.channels_last and images else placed


def _collect_times(
    tree: ModuleTree, own: list[dict[int, float]], launches: dict[int, int], attribution: str, notes: tuple[str, ...]
) -> ModuleTimes:
    """Times by path; totals are summed up the tree. Modules that did not run are not included."""
    totals = [dict(each) for each in own]
    for each in totals:
        for position in reversed(range(1, len(tree))):
            if position in each:
                each[tree.parents[position]] = each.get(tree.parents[position], 0.0) + each[position]
    ran = sorted({position for each in totals for position in each})
    return ModuleTimes(
        own_s={tree.paths[position]: tuple(round(each.get(position, 0.0), _DIGITS) for each in own) for position in ran},
        total_s={tree.paths[position]: tuple(round(each.get(position, 0.0), _DIGITS) for each in totals) for position in ran},
        launches={tree.paths[position]: launches[position] for position in ran if position in launches},
        attribution=attribution,
        notes=notes,
    )


# --- another batch size ---
